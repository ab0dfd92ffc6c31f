"""What `__getstate__` returns is plain values and arrays all the way down, which skops writes without pickle."""

import io

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from torch import nn

import sktl
from sktl.adaptation import SourceFreeAdaptedClassifier
from sktl.fewshot import FewShotClassifier, FewShotRegressor, MAMLLearner, MatchingNetLearner, ProtoNetLearner
from tests.cases import CASES, TEXT_CASES, outputs

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))
Y = (X[:, 0] > 0).astype(int)
MARKED = np.where(np.arange(60) < 40, Y, -1)
FEW = {"n_way": 2, "n_query": 2, "n_episodes": 2, "random_state": 0}
LEARNER = FrozenEstimator(ProtoNetLearner(**FEW).fit(X, Y))


def adapted():
    return sktl.DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=1, random_state=0)


ESTIMATORS = {
    "classifier": sktl.FineTunedClassifier(max_epochs=1, random_state=0).fit(X, Y),
    "regressor": sktl.FineTunedRegressor(max_epochs=1, random_state=0).fit(X, X[:, 0]),
    "adapted": adapted().fit(X, MARKED),
    "source-free": SourceFreeAdaptedClassifier(adapted(), max_epochs=1, random_state=0).fit(X, MARKED),
    "prototypes": sktl.ProtoNetClassifier(encoder=LEARNER).fit(X, Y),
    "head": FewShotClassifier("logistic").fit(X, Y),
    "ridge": FewShotRegressor().fit(X, X[:, 0]),
    "learner": FewShotClassifier(FrozenEstimator(MAMLLearner(**FEW).fit(X, Y))).fit(X, Y),
    "matching": MatchingNetLearner(**FEW).fit(X, Y),
}

BY_NAME = [
    *TEXT_CASES,  # not made here: their encoder is written when a test needs it, not when tests are collected
    *(
        case
        for case in CASES[len(TEXT_CASES) :]
        if not any(isinstance(value, nn.Module) for value in case.make().get_params().values())
        and case.name != "SourceSelector"  # its ranking is a table of pandas, which skops does not write
    ),
]


def answer(model, data):
    if hasattr(model, "adapt_to"):
        return model.logits(model.adapt_to(data[::4], Y[::4]), data)
    return model.predict_proba(data) if hasattr(model, "predict_proba") else model.predict(data)


def copied(value, path=""):
    """Take a value apart and build it anew, as skops does."""
    if isinstance(value, dict):
        return {key: copied(item, f"{path}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)([copied(item, path) for item in value])
    if value is None or isinstance(value, (bool, int, float, str, np.ndarray, np.generic, type)):
        return value
    assert not isinstance(value, (torch.Tensor, torch.dtype, torch.device)), path
    assert type(value).__module__.startswith(("sktl.", "sklearn.", "builtins", "collections")), f"{path}: {type(value)}"
    made = type(value).__new__(type(value))
    state = copied(value.__getstate__(), f"{path}/{type(value).__name__}")
    made.__setstate__(state) if hasattr(made, "__setstate__") else made.__dict__.update(state or {})
    return made


@pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)
def test_state_is_plain(model):
    found = copied(model)
    assert isinstance(found, BaseEstimator)
    assert np.array_equal(answer(found, X), answer(model, X))


@pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)
def test_torch_saves_it(model):
    file = io.BytesIO()  # by a protocol of pickle that knows fewer types
    torch.save(model, file)
    file.seek(0)
    assert np.array_equal(answer(torch.load(file, weights_only=False), X), answer(model, X))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", BY_NAME, ids=lambda case: case.name)
def test_skops_of_every_estimator(case):
    skops = pytest.importorskip("skops.io", reason="files are those of skops, an optional package")
    model = case.make().fit(case.X, case.y)
    content = skops.dumps(model)
    found = skops.loads(content, trusted=skops.get_untrusted_types(data=content))
    for value, expected in zip(outputs(found, case.X, case.y), outputs(model, case.X, case.y), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("model", ESTIMATORS.values(), ids=ESTIMATORS)
def test_skops(model):
    skops = pytest.importorskip("skops.io", reason="files are those of skops, an optional package")
    content = skops.dumps(model)
    found = skops.loads(content, trusted=skops.get_untrusted_types(data=content))
    assert np.array_equal(answer(found, X), answer(model, X))
