"""Fit trainings of all families in as many processes as a launcher starts; argv: folder for the results."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sktl._device import accelerate_state
from sktl.adaptation import (
    DomainAdaptedClassifier,
    DomainAdaptedRegressor,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.adaptation.losses import LOSSES
from sktl.advisor import AutoTransferClassifier
from sktl.fewshot import (
    CNAPsLearner,
    ConditionalNeuralProcessLearner,
    EpisodeSampler,
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
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.finetuning import FineTunedClassifier

RNG = np.random.default_rng(0)
N = 48
Y = np.arange(N) % 3
MARKED = np.where(np.arange(N) < N // 2, Y, -1)
ROWS = RNG.normal(size=(N, 5)) + Y[:, None] + (np.arange(N)[:, None] >= N // 2)
DOMAINS = np.where(np.arange(N) < N // 4, "a", np.where(np.arange(N) < N // 2, "b", "c"))
PICTURES = (RNG.integers(0, 99, (N, 12, 12, 3)) + 50 * Y[:, None, None, None]).astype(np.uint8)
TASKS = np.arange(N) // 8
SOURCES = ("irm", "group_dro", "coral_sources")
DRAWING = ("mixstyle",)  # each process draws for its own rows
COMMON = {"random_state": 0, "max_epochs": 2}
EPISODES = {
    "n_way": 2, "n_shot": 2, "n_query": 2, "n_episodes": 15, "meta_batch_size": 3, "random_state": 0, "schedule": None
}  # fmt: skip


def seeded(*layers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(*(layer() for layer in layers))


def of_rows() -> nn.Module:
    return seeded(lambda: nn.Linear(5, 9), lambda: nn.BatchNorm1d(9), nn.ReLU)


def of_pictures() -> nn.Module:
    return seeded(
        lambda: nn.Conv2d(3, 6, 3, stride=2, bias=False),
        lambda: nn.BatchNorm2d(6),
        nn.ReLU,
        lambda: nn.AdaptiveAvgPool2d(2),
    )


def adapted(device: str, **params):
    options = {"bottleneck": 7, "batch_size": 9, "optimizer": "sgd", "learning_rate": 0.01, **COMMON, **params}
    return DomainAdaptedClassifier(of_rows(), device=device, **options)


def losses(device: str, folder: Path):
    for name in LOSSES:
        if name not in DRAWING:
            domains = DOMAINS if name in SOURCES else None
            yield f"loss-{name}", adapted(device, loss=name).fit(ROWS, MARKED, sample_domain=domains)


def adaptations(device: str, folder: Path):
    yield "shared-norm", adapted(device, loss="dann", batch_norm="shared").fit(ROWS, MARKED)
    yield "weighted", adapted(device, loss="mmd").fit(ROWS, MARKED, sample_weight=1 + np.arange(N) % 4)
    yield "selected", adapted(device, loss="coral", selection=right_on_all).fit(ROWS, MARKED)
    yield "kept", adapted(device, loss="coral", checkpoint_dir=folder / "kept").fit(ROWS, MARKED)
    yield "own", DomainAdaptedClassifier(device=device, **COMMON).fit(ROWS, MARKED)
    values = np.where(MARKED[:, None] < 0, np.nan, ROWS[:, :2] ** 2)
    yield "regressor", DomainAdaptedRegressor(device=device, optimizer="sgd", **COMMON).fit(ROWS, values)
    options = {"image_size": 12, "batch_size": 7, "optimizer": "sgd", "device": device, **COMMON}
    seen = DomainAdaptedClassifier(of_pictures(), loss="cdan", **options)
    yield "pictures", seen.fit(PICTURES, MARKED)
    few = {"random_state": 0, "batch_size": 5}
    yield "shot", SourceFreeAdaptedClassifier(seen, max_epochs=2, **few).fit(PICTURES[N // 2 :])
    tuned = FineTunedClassifier(device=device, **COMMON).fit(ROWS, Y)
    steps = np.arange(N) // 16
    yield "gradual", GradualAdaptedClassifier(tuned, max_epochs=1, **few).fit(ROWS, sample_domain=steps)
    yield "norms", FineTunedClassifier(of_pictures(), strategy="full", augment=None, **options).fit(PICTURES, Y)


def right_on_all(model, X, y) -> float:
    return model.score(X, Y)


def meta_learners(device: str, folder: Path):
    options = {**EPISODES, "device": device}
    for kind in (ProtoNetLearner, MatchingNetLearner, RelationNetLearner, CNAPsLearner):
        yield kind.__name__, kind(backbone=of_pictures(), image_size=12, **options).fit(PICTURES, Y)
    for kind in (MAMLLearner, ReptileLearner, MetaLSTMLearner):
        yield kind.__name__, kind(**options).fit(ROWS, Y)
        yield f"{kind.__name__}-pictures", kind(backbone=of_pictures(), image_size=12, **options).fit(PICTURES, Y)
    yield "in-context", InContextLearner(width=16, n_heads=2, learning_rate=1e-5, **options).fit(ROWS, Y)
    del options["n_way"]
    yield "process", ConditionalNeuralProcessLearner(**options).fit(ROWS, ROWS[:, :1], groups=TASKS)
    stopping = {"validation_fraction": 0.4, "n_iter_no_change": 1, "checkpoint_dir": folder / "meta"}
    yield "stopping", ProtoNetLearner(**options, n_way=2, **stopping).fit(ROWS, np.arange(N) % 6)


def drawing(device: str, folder: Path):
    """Yield trainings that draw as they go, each process for its own rows or tasks."""
    mixed = DomainAdaptedClassifier(of_pictures(), loss="mixstyle", image_size=12, device=device, **COMMON)
    yield "loss-mixstyle", mixed.fit(PICTURES, MARKED)
    for kind in (SNAILLearner, MANNLearner):
        yield kind.__name__, kind(device=device, **EPISODES).fit(ROWS, Y)


KINDS = {"losses": losses, "adaptations": adaptations, "meta": meta_learners, "drawing": drawing}


def values_of(model) -> dict:
    history = [row["train_loss"] for row in model.history_]
    if isinstance(model, MetaLearner):  # Adam makes a step of what rounding leaves where a weight changes no answer
        X = ROWS if model._spec.is_rows else PICTURES
        is_regression = model.is_regression_
        tasks = EpisodeSampler(TASKS if is_regression else Y, n_way=1 if is_regression else 2, n_shot=2, n_query=2)
        return {"losses": history, "logits": model.episode_logits(X, tasks.draw(9), ROWS[:, :1])}
    fitted = getattr(model, "estimator_", model)
    learned = fitted._learned
    tensors = learned.tensors if hasattr(learned, "tensors") else dict(learned.network.state_dict())
    return {"losses": history, **{name: np.asarray(value.detach()) for name, value in tensors.items()}}


def refusals(device: str):
    """Yield the messages of what cannot be shared."""
    fitted = adapted(device, loss="coral").fit(ROWS, MARKED)
    for build in (
        lambda: TestTimeAdaptedClassifier(fitted, method="tent").fit(ROWS),
        lambda: AutoTransferClassifier(device=device).fit(ROWS, Y),
        lambda: ProtoNetLearner(**{**EPISODES, "meta_batch_size": 1}, device=device).fit(ROWS, Y),
    ):
        try:
            build()
        except ValueError as error:
            yield str(error)
        else:
            yield "nothing"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    state = accelerate_state()
    rank = state.process_index
    assert state.num_processes == 2
    torch.set_num_threads(1)
    for kind in KINDS:
        for name, model in KINDS[kind]("accelerate", folder):
            np.savez(folder / f"{name}-{rank}.npz", **values_of(model))
    (folder / f"refusals-{rank}.txt").write_text("\n".join(refusals("accelerate")))
    state.destroy_process_group()  # else gloo's threads may outlive what they use, as the process ends
