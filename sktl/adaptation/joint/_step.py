"""One training step: one pass of both domains, what is learned of the labelled rows, and the losses on slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl.adaptation._batches import DomainBatch, Layout
from sktl.adaptation.joint._network import AdaptedNetwork
from sktl.adaptation.losses import DomainLoss, View
from sktl.training import Processes, StepResult, classification_losses, weighted_mean


class Training(nn.Module):
    """The network, and what the losses learn beside it."""

    def __init__(self, network: AdaptedNetwork, losses: Sequence[DomainLoss], n_classes: int, seed: int):
        super().__init__()
        self.network = network
        with OwnDraws(seed):
            built = [loss.build(network.n_features, n_classes, network) for loss in losses]
        self.states = nn.ModuleList([nn.Identity() if state is None else state for state in built])

    def forward(self, X: Tensor) -> Tensor:
        """Return the network's logits."""
        return self.network(X)

    def close(self) -> None:
        """Take off what the losses put on the network."""
        for state in self.states:
            if hasattr(state, "close"):
                state.close()  # type: ignore[operator]


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross entropy of rows with class numbers; `label_smoothing` of the label is spread over all classes."""

    label_smoothing: float = 0.0

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Return the mean; weights have mean 1 over the training."""
        if weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        losses = classification_losses(logits, labels, label_smoothing=self.label_smoothing)
        return weighted_mean(losses, weights).loss


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error of rows with numbers, over rows and outputs."""

    def __call__(self, outputs: Tensor, values: Tensor, weights: Tensor | None) -> Tensor:
        """Return the mean; weights have mean 1 over the training."""
        if weights is None:
            return F.mse_loss(outputs, values)
        return weighted_mean((outputs - values).pow(2).mean(1), weights).loss


class AdaptationStep:
    """What is learned of the labelled rows, plus the losses.

    Parameters
    ----------
    losses : sequence of DomainLoss
        What is added.
    layout : Layout
        Which rows of a batch are which.
    supervised : callable(outputs, labels, weights) -> Tensor
        The mean loss of labelled rows; weights may be None.
    processes : Processes, optional
        Each of which runs the network on a share of the rows; the losses are shown all of them.
    class_shares : array of shape (n_classes,), optional
        Of the target, for the losses.

    Raises
    ------
    ValueError
        If a batch has fewer rows of a domain than there are processes.
    """

    def __init__(
        self,
        losses: Sequence[DomainLoss],
        layout: Layout,
        supervised: Callable[..., Tensor],
        processes: Processes | None = None,
        class_shares: np.ndarray | None = None,
    ):
        if processes is not None:
            processes.check_rows(layout.n_source, "A batch's source")
            processes.check_rows(layout.n_target or processes.count, "A batch's target")
        self.processes = processes
        self.losses = list(losses)
        self.layout = layout
        self.supervised = supervised
        self.class_shares = None if class_shares is None else torch.from_numpy(class_shares).float()
        self.names = _unique([type(loss).__name__.lower() for loss in losses])

    def __call__(self, module: Any, batch: DomainBatch) -> StepResult:
        """Return the batch's loss and its parts."""
        network, layout, processes = module.network, self.layout, self.processes
        network.split.n_source = layout.n_source if layout.n_target else None
        if processes is None:
            features = network.features(batch.X)
        else:
            features = self._shared_features(network, batch.X, processes)
        logits = network.classify(features)
        if logits.dtype == torch.float32 and features.dtype == torch.float32:
            return self._sum(module, batch, features, logits)
        with torch.autocast(logits.device.type, enabled=False):  # moments and kernels need the digits
            return self._sum(module, batch, features.float(), logits.float())

    def _shared_features(self, network: AdaptedNetwork, X: Tensor, processes: Processes) -> Tensor:
        n_source = network.split.n_source
        network.split.n_source = n_source and processes.n_mine(n_source)
        features = processes.through(network.features, X)
        network.split.n_source = n_source
        return features

    def _sum(self, module: Training, batch: DomainBatch, features: Tensor, logits: Tensor) -> StepResult:
        # L = share * sum_i w_i l(y_i, z_i) / n + sum_k L_k,   with weights of mean 1 over the training
        layout = self.layout
        if self.class_shares is not None:
            self.class_shares = self.class_shares.to(logits.device)
        view = View(
            features, logits, batch.labels, batch.weights, layout.sizes, layout.n_target, batch.progress,
            module.network, batch.X, layout.mean_weights, self.class_shares,
        )  # fmt: skip
        if layout.n_apart:
            view = _without(view, layout.n_apart)
        share = min([loss.supervised_share(batch.progress) for loss in self.losses], default=1.0)
        supervised = self.supervised(logits[: layout.n_labelled], batch.labels, batch.weights)
        parts = {"supervised": supervised.detach()}
        total = supervised if share == 1 else share * supervised
        for name, loss, state in zip(self.names, self.losses, module.states):
            term = loss(view, state)
            total = total + term
            parts[name] = term.detach()
        return StepResult(total, layout.n_labelled, parts)


def _without(view: View, n_apart: int) -> View:
    """Return the view without the first target rows, and without their second views."""
    first, end, n_source = view.n_source + n_apart, view.n_rows, view.n_source

    def kept(rows: Tensor) -> Tensor:
        return torch.cat([rows[:n_source], rows[first:end], rows[end + n_apart :]])

    return replace(
        view, features=kept(view.features), logits=kept(view.logits), X=kept(view.X), labels=view.labels[:n_source],
        weights=None if view.weights is None else view.weights[:n_source], n_target=view.n_target - n_apart,
    )  # fmt: skip


def _unique(names: list[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]
