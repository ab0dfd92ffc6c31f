"""The peers of domain adaptation on rows: skada's methods, and tllib's losses in the loop of its example scripts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from _common import peer
from sklearn.preprocessing import StandardScaler
from torch import nn

BATCH, EPOCHS, LEAST_UPDATES = 64, 20, 300  # of an MLP over codes, as sktl makes
HIDDEN = 256


@dataclass(frozen=True)
class Rows:
    """Standardised rows of a task, and class codes (-1: target) and domains of the rows that are trained on."""

    X: np.ndarray
    y: np.ndarray
    domain: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    n_classes: int

    @classmethod
    def of(cls, task: dict[str, Any]) -> Rows:
        """Return them from what a task of the benchmark holds."""
        scaler = StandardScaler().fit(task["X"])
        is_target = np.array([label is None for label in task["y"]])
        classes, codes = np.unique(task["y"][~is_target].astype(str), return_inverse=True)
        y, domain = np.full(len(is_target), -1), np.full(len(is_target), -9)
        y[~is_target] = codes
        domain[~is_target] = 1 + np.unique(task["domain"][~is_target], return_inverse=True)[1]
        X, X_test = (scaler.transform(part).astype(np.float32) for part in (task["X"], task["X_test"]))
        return cls(X, y, domain, X_test, np.searchsorted(classes, task["y_test"]), len(classes))

    @property
    def n_epochs(self) -> int:
        """Epochs over the larger domain."""
        n_each = max((self.y == -1).sum(), (self.y != -1).sum())
        return max(EPOCHS, -(-LEAST_UPDATES // -(-n_each // BATCH)))

    @property
    def n_updates(self) -> int:
        """Updates in these epochs."""
        return self.n_epochs * -(-max((self.y == -1).sum(), (self.y != -1).sum()) // BATCH)


@dataclass(frozen=True)
class Peer:
    """A method of another package."""

    package: str
    method: str
    predict: Callable[[str, Rows], np.ndarray]

    def is_there(self) -> bool:
        """Whether its package can be imported."""
        return peer(self.package)[0] is not None

    def run(self, task: dict[str, Any], seed: int) -> dict[str, Any]:
        """Fit once; returns the accuracy, the seconds and the epochs."""
        rows = Rows.of(task)
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the peers draw from it
        start = time.perf_counter()
        with mock.patch.object(np, "float", float, create=True):  # which NumPy no longer has, and tllib calls
            found = self.predict(self.method, rows)
        seconds = time.perf_counter() - start
        return {"last": float((found == rows.y_test).mean()), "seconds": seconds, "epochs": rows.n_epochs}


def module(name: str) -> Any:
    """Return a module of a peer that is there."""
    found, reason = peer(name)
    if found is None:
        raise ImportError(reason)
    return found


def by_skada(method: str, rows: Rows) -> np.ndarray:
    """Return what a method of skada predicts, with its defaults around an MLP."""
    skada = module("skada.deep")
    make, options = {
        "coral": (skada.DeepCoral, {}),
        "dann": (skada.DANN, {"num_features": HIDDEN}),
        "cdan": (skada.CDAN, {"num_features": HIDDEN, "n_classes": rows.n_classes}),
        "mcc": (skada.MCC, {}),
    }[method]
    body = nn.Sequential()
    body.add_module("features", nn.Sequential(nn.Linear(rows.X.shape[1], HIDDEN), nn.ReLU()))
    body.add_module("head", nn.Linear(HIDDEN, rows.n_classes))
    net = make(
        TakesWeights(body), "body.features", **options, batch_size=BATCH, iterator_train__batch_size=BATCH,
        max_epochs=rows.n_epochs, train_split=None, verbose=0, optimizer=torch.optim.SGD, optimizer__momentum=0.9,
        lr=0.01,
    )  # fmt: skip
    net.fit(rows.X, rows.y, sample_domain=rows.domain)
    return net.predict(rows.X_test, sample_domain=np.full(len(rows.X_test), -9), allow_source=True)


class TakesWeights(nn.Module):
    """A network that skada may hand sample weights to."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, X: torch.Tensor, sample_weight: Any = None) -> torch.Tensor:
        """Return the logits."""
        return self.body(X)


def by_tllib(method: str, rows: Rows) -> np.ndarray:
    """Return what tllib's loss learns: its bottleneck and discriminator, Nesterov SGD and inverse decay."""
    n_codes, n_classes = rows.X.shape[1], rows.n_classes
    classifier, features_dim = tllib_classifier(n_codes, n_classes)
    term, groups = tllib_term(method, n_classes, features_dim)
    optimizer = torch.optim.SGD(
        classifier.get_parameters() + groups, lr=0.01, momentum=0.9, weight_decay=1e-3, nesterov=True
    )  # the groups' own rates are multiples of the schedule's
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.01 * (1 + 0.001 * step) ** -0.75)
    is_target = rows.y == -1
    source, labels = torch.from_numpy(rows.X[~is_target]), torch.from_numpy(rows.y[~is_target])
    target = torch.from_numpy(rows.X[is_target])
    classifier.train()
    for ours, theirs in zip(drawn(len(source), rows.n_updates), drawn(len(target), rows.n_updates)):
        logits, codes = classifier(torch.cat([source[ours], target[theirs]]))
        loss = F.cross_entropy(logits[:BATCH], labels[ours])
        loss = loss + term(logits[:BATCH], codes[:BATCH], logits[BATCH:], codes[BATCH:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    classifier.eval()
    with torch.no_grad():
        return classifier(torch.from_numpy(rows.X_test)).argmax(1).numpy()


def tllib_classifier(n_codes: int, n_classes: int) -> tuple[Any, int]:
    """Return tllib's classifier over codes, which keep their values (a backbone that passes them on)."""
    made = module("tllib.modules.classifier")
    bottleneck = nn.Sequential(nn.Linear(n_codes, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
    backbone = nn.Identity()
    backbone.out_features = n_codes  # type: ignore[assignment]
    model = made.Classifier(backbone, n_classes, bottleneck, HIDDEN, finetune=False, pool_layer=nn.Identity())
    return model, model.features_dim


def tllib_term(method: str, n_classes: int, features_dim: int) -> tuple[Callable[..., torch.Tensor], list]:
    """Return a term of (source logits, source codes, target logits, target codes), and what is trained for it."""
    if method == "mcc":
        mcc = module("tllib.self_training.mcc").MinimumClassConfusionLoss(2.0)
        return lambda ys, fs, yt, ft: mcc(yt), []
    if method == "coral":
        coral = module("tllib.alignment.coral").CorrelationAlignmentLoss()
        return lambda ys, fs, yt, ft: coral(fs, ft), []
    discriminator = module("tllib.modules.domain_discriminator").DomainDiscriminator
    if method == "dann":
        judge = discriminator(features_dim, hidden_size=1024)
        dann = module("tllib.alignment.dann").DomainAdversarialLoss(judge)
        return lambda ys, fs, yt, ft: dann(fs, ft), judge.get_parameters()
    judge = discriminator(features_dim * n_classes, hidden_size=1024)
    cdan = module("tllib.alignment.cdan").ConditionalDomainAdversarialLoss(
        judge, entropy_conditioning=method == "cdan+e", num_classes=n_classes, features_dim=features_dim
    )
    return cdan, judge.get_parameters()


def drawn(n_rows: int, n_batches: int) -> torch.Tensor:
    """Return the rows of each batch: one permutation after another, (n_batches, BATCH)."""
    n_orders = -(-n_batches * BATCH // n_rows)
    rows = torch.cat([torch.randperm(n_rows) for _ in range(n_orders)])
    return rows[: n_batches * BATCH].view(n_batches, BATCH)


PEERS = {f"skada {method}": Peer("skada", method, by_skada) for method in ("coral", "dann", "cdan", "mcc")} | {
    f"tllib {method}": Peer("tllib", method, by_tllib) for method in ("coral", "dann", "cdan", "cdan+e", "mcc")
}
