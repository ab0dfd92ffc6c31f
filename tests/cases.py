"""Small cases of every estimator: how to make it, what to fit it on, and what it then gives."""

import atexit
import functools
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import sktl
from sktl.adaptation import (
    GradualAdaptedClassifier,
    PerDomainClassifier,
    RollingAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.aligners import (
    CORALAligner,
    DomainStandardizer,
    GeodesicFlowKernel,
    JointDistributionAligner,
    LabelledOnly,
    MarginalizedDenoiser,
    StructuralCorrespondence,
    SubspaceAligner,
    TransferComponentAnalysis,
    TransferKernelLearning,
)
from sktl.fewshot import (
    CNAPsLearner,
    ConditionalNeuralProcessLearner,
    EpisodeSampler,
    FewShotClassifier,
    FewShotRegressor,
    InContextLearner,
    MAMLLearner,
    MANNLearner,
    MatchingNetLearner,
    MetaLSTMLearner,
    ProtoNetLearner,
    RelationNetLearner,
    ReptileLearner,
    SNAILLearner,
)
from sktl.fewshot.heads import PrototypeHead
from sktl.reweighting import ReweightedClassifier, TrAdaBoostClassifier
from sktl.safety import SafelyAdaptedClassifier

RNG = np.random.default_rng(0)
LABELS = np.arange(24) % 3
ROWS = RNG.normal(size=(24, 5)) + LABELS[:, None]
PICTURES = RNG.integers(0, 255, (24, 12, 12, 3), dtype=np.uint8)
MARKED = np.where(np.arange(24) % 2, LABELS, -1)
VALUES = ROWS[:, :2] ** 2
HALF_VALUES = np.where(np.arange(24)[:, None] % 2, VALUES, np.nan)
EPISODES = {
    "n_way": 2, "n_shot": 1, "n_query": 1, "n_episodes": 4, "meta_batch_size": 2, "random_state": 0
}  # fmt: skip
SHORT = {"max_epochs": 1, "batch_size": 12, "random_state": 0}
STEPS = {"max_steps": 2, "batch_size": 12, "random_state": 0}


def network() -> nn.Module:
    """A picture network with what training and evaluation do differently."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(0.3), nn.Linear(4, 6),
        )  # fmt: skip


def row_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 6))


class Case(NamedTuple):
    name: str
    make: Callable[[], Any]
    X: Any
    y: Any


def _adapted() -> Any:
    return sktl.DomainAdaptedClassifier(**SHORT)


def _of_pictures(net: nn.Module, kind: Any = sktl.DomainAdaptedClassifier, **options: Any) -> Any:
    return kind(net, image_size=12, **SHORT, **options)


@functools.cache
def encoder() -> str:
    """Write a tiny encoder of texts the first time that one is asked for; its folder stands as long as this process."""
    from tests.texts.tiny_encoders import save_tiny_encoder

    folder = tempfile.mkdtemp(prefix="sktl-encoder-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_tiny_encoder(Path(folder))


def _of_texts(head: Any = None) -> Any:
    codes = sktl.TextCodesTransformer(encoder(), engine="torch", cache=None)
    return codes if head is None else make_pipeline(codes, head)


TEXTS = [f"{'good' if label else 'bad'} film {i}, the book" * (1 + i % 3) for i, label in enumerate(LABELS)]
NETWORK, ROW_NETWORK, HEAD = network(), row_network(), PrototypeHead()
LEARNERS = (
    CNAPsLearner, ConditionalNeuralProcessLearner, InContextLearner, MAMLLearner, MANNLearner, MatchingNetLearner,
    MetaLSTMLearner, ProtoNetLearner, RelationNetLearner, ReptileLearner, SNAILLearner,
)  # fmt: skip

TEXT_CASES = [
    Case("TextCodesTransformer", _of_texts, TEXTS, LABELS),
    Case("TextCodesTransformer-few-shot", lambda: _of_texts(FewShotClassifier()), TEXTS, LABELS),
    Case("TextCodesTransformer-tuned", lambda: _of_texts(sktl.FineTunedClassifier(**STEPS)), TEXTS, LABELS),
    Case("TextCodesTransformer-adapted", lambda: _of_texts(_adapted()), TEXTS, MARKED),
]  # fmt: skip
if importlib.util.find_spec("sentence_transformers") is None:
    TEXT_CASES = []

CASES = [
    *TEXT_CASES,
    Case(
        "CNNCodesTransformer",
        lambda: sktl.CNNCodesTransformer(
            NETWORK, image_size=12, engine="torch", cache=None, layers=["0", "penultimate"]
        ),
        PICTURES, LABELS,
    ),
    Case("FineTunedClassifier", lambda: sktl.FineTunedClassifier(**STEPS), ROWS, LABELS),
    Case(
        "FineTunedClassifier-pictures",
        lambda: sktl.FineTunedClassifier(NETWORK, strategy="full", image_size=12, cache=None, mixup=0.2, **STEPS),
        PICTURES, LABELS,
    ),
    Case(
        "FineTunedClassifier-last",
        lambda: sktl.FineTunedClassifier(NETWORK, strategy="last", image_size=12, cache="memory", **STEPS),
        PICTURES, LABELS,
    ),
    Case(
        "FineTunedClassifier-lora",
        lambda: sktl.FineTunedClassifier(
            NETWORK, strategy="full", adapter="lora", image_size=12, cache=None, ema=0.9, l2_sp=0.1, **STEPS
        ),
        PICTURES, LABELS,
    ),
    Case(
        "FineTunedClassifier-head",
        lambda: sktl.FineTunedClassifier(NETWORK, strategy="head", image_size=12, cache=None, random_state=0),
        PICTURES, LABELS,
    ),
    Case("FineTunedRegressor", lambda: sktl.FineTunedRegressor(**STEPS), ROWS, VALUES),
    Case("DomainAdaptedClassifier", _adapted, ROWS, MARKED),
    Case("DomainAdaptedRegressor", lambda: sktl.DomainAdaptedRegressor(**SHORT), ROWS, HALF_VALUES),
    Case("DomainAdaptedClassifier-pictures", lambda: _of_pictures(NETWORK), PICTURES, MARKED),
    Case("DomainAdaptedClassifier-rows", lambda: sktl.DomainAdaptedClassifier(ROW_NETWORK, **SHORT), ROWS, MARKED),
    *(
        Case(
            f"DomainAdaptedClassifier-{loss}", lambda loss=loss: sktl.DomainAdaptedClassifier(loss=loss, **SHORT), ROWS,
            MARKED,
        )
        for loss in ("mcd", "adda", "deepjdot", "mean_teacher")
    ),
    Case("SourceFreeAdaptedClassifier", lambda: SourceFreeAdaptedClassifier(_adapted(), **SHORT), ROWS, MARKED),
    Case(
        "GradualAdaptedClassifier", lambda: GradualAdaptedClassifier(_adapted(), n_steps=2, **SHORT), ROWS, MARKED
    ),
    *(
        Case(
            f"TestTimeAdaptedClassifier-{method}",
            lambda method=method: TestTimeAdaptedClassifier(_adapted(), method=method, batch_size=6, random_state=0),
            ROWS, MARKED,
        )
        for method in ("adabn", "tent")
    ),
    Case("ProtoNetClassifier", sktl.ProtoNetClassifier, ROWS, LABELS),
    Case("ProtoNetClassifier-pictures", lambda: sktl.ProtoNetClassifier(NETWORK, image_size=12), PICTURES, LABELS),
    Case("ProtoNetClassifier-tim", lambda: sktl.ProtoNetClassifier(transductive="tim"), ROWS, LABELS),
    Case("FewShotClassifier-ridge", FewShotClassifier, ROWS, LABELS),
    Case("FewShotClassifier-logistic", lambda: FewShotClassifier("logistic"), ROWS, LABELS),
    Case("FewShotClassifier-head", lambda: FewShotClassifier(HEAD), ROWS, LABELS),
    Case("FewShotClassifier-maml", lambda: FewShotClassifier(MAMLLearner(**EPISODES | {"n_way": 3})), ROWS, LABELS),
    Case("FewShotRegressor", FewShotRegressor, ROWS, VALUES),
    *(
        Case(kind.__name__, kind, ROWS, MARKED)
        for kind in (
            CORALAligner, DomainStandardizer, GeodesicFlowKernel, JointDistributionAligner, MarginalizedDenoiser,
            StructuralCorrespondence, SubspaceAligner, TransferComponentAnalysis, TransferKernelLearning,
        )
    ),
    Case("LabelledOnly", lambda: LabelledOnly(LogisticRegression()), ROWS, MARKED),
    Case("ReweightedClassifier", lambda: ReweightedClassifier(LogisticRegression()), ROWS, MARKED),
    Case("ReweightedClassifier-em", lambda: ReweightedClassifier(LogisticRegression(), weighter="em"), ROWS, MARKED),
    Case("TrAdaBoostClassifier", lambda: TrAdaBoostClassifier(n_estimators=5, random_state=0), ROWS, MARKED),
    Case("SourceSelector", lambda: sktl.SourceSelector(LogisticRegression(), random_state=0), ROWS, MARKED),
    Case(
        "PerDomainClassifier",
        lambda: PerDomainClassifier(TestTimeAdaptedClassifier(_adapted(), random_state=0), min_rows=2, random_state=0),
        ROWS, MARKED,
    ),
    Case(
        "RollingAdaptedClassifier", lambda: RollingAdaptedClassifier(_adapted()), ROWS, MARKED
    ),
    Case(
        "SafelyAdaptedClassifier",
        lambda: SafelyAdaptedClassifier(_adapted(), random_state=0),
        ROWS, MARKED,
    ),
    *(Case(kind.__name__, lambda kind=kind: kind(**EPISODES), ROWS, LABELS) for kind in LEARNERS),
    *(
        Case(f"{kind.__name__}-pictures", lambda kind=kind: kind(NETWORK, **EPISODES), PICTURES, LABELS)
        for kind in (ProtoNetLearner, MAMLLearner, SNAILLearner)
    ),
]  # fmt: skip


def outputs(fitted: Any, X: Any, y: Any) -> list[np.ndarray]:
    """Return all that a fitted estimator gives for rows."""
    if hasattr(fitted, "adapt_to"):
        few = np.array([0, 1, 3, 4])
        X = np.asarray(X)
        state = fitted.adapt_to(X[few], y[few])
        sampler = EpisodeSampler(y, n_way=2, n_shot=1, n_query=1, seed=0)
        found = [fitted.logits(state, X), fitted.episode_logits(X, sampler.draw(2))]
        return [*found, fitted.transform(X)] if hasattr(fitted, "transform") else found
    names = ("transform", "decision_function", "predict_proba", "predict", "features")
    return [getattr(fitted, name)(X) for name in names if hasattr(fitted, name)]
