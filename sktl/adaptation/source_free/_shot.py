"""The training of SHOT: information maximisation, and pseudo-labels that are taken anew."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from skorch.callbacks import Callback
from torch import Tensor, cat

from sktl.adaptation._batches import DomainBatch, DomainBatches
from sktl.adaptation.from_fitted._target_rows import TargetRows
from sktl.adaptation.losses._centroids import centroid_labels
from sktl.adaptation.losses._entropy import entropy
from sktl.adaptation.losses._information import marginal_entropy
from sktl.training import Processes, StepResult


class InformationStep:
    """Certain predictions, spread over the classes, that agree with pseudo-labels.

    Parameters
    ----------
    weight : float
        Of the cross entropy to the pseudo-labels.
    diversity : float
        Of the entropy of the mean prediction.
    processes : Processes, optional
        Each of which runs the network on a share of the rows.
    """

    def __init__(self, weight: float, diversity: float, processes: Processes | None = None):
        self.weight = weight
        self.diversity = diversity
        self.processes = processes

    def __call__(self, module: Any, batch: DomainBatch) -> StepResult:
        """Return the batch's loss and its parts."""
        # L = E[H(p)] - d H(E[p]) + w E[-log p_label]
        logits = (module(batch.X) if self.processes is None else self.processes.through(module, batch.X)).float()
        certain, spread = entropy(logits), marginal_entropy(logits)
        agreeing = F.cross_entropy(logits, batch.labels)
        loss = certain - self.diversity * spread + self.weight * agreeing
        parts = {"entropy": certain, "diversity": spread, "pseudo_labels": agreeing}
        return StepResult(loss, len(logits), {name: part.detach() for name, part in parts.items()})


class RefreshLabels(Callback):
    """Takes the pseudo-labels anew before each epoch, by the network in evaluation mode.

    Parameters
    ----------
    target : TargetRows
        All rows, in their order.
    batches : DomainBatches
        Their labels are written.
    """

    def __init__(self, target: TargetRows, batches: DomainBatches):
        self.target = target
        self.batches = batches

    def on_epoch_begin(self, net, **kwargs):
        """Pass all rows, and label them; training sets the network's mode itself afterwards."""
        labels = pseudo_labels(self.target)
        if net.processes is not None:
            labels = net.processes.agreed(labels.cpu()).to(labels.device)
        changed = (labels != self.batches.labels).float().mean().item() if len(net.history) > 1 else 1.0
        self.batches.labels = labels
        net.history.record("pseudo_labels_changed", changed)


def pseudo_labels(target: TargetRows) -> Tensor:
    """Return the label of the nearest centroid of each row, (n_rows,)."""
    network = target.network

    def of_batch(batch: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(batch)
        return features.float(), network.head(features).float().softmax(1)

    passed = target.passed(of_batch)
    return centroid_labels(cat([features for features, _ in passed]), cat([proba for _, proba in passed]))
