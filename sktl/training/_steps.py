"""What a training step is, and the supervised ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sktl.training._structure import Batch, features_and_target


class StepResult(NamedTuple):
    """What a step returns where the loss alone does not say it all; a plain tuple of these does too.

    Attributes
    ----------
    loss : Tensor, 0-d
        The mean over the batch.
    weight : float or Tensor, optional
        What that mean weighs among those of other batches; by default the number of the batch's rows.
    parts : dict of str to 0-d Tensor, optional
        Further means, recorded in the history by name: parts of the loss, an accuracy.
    """

    loss: Tensor
    weight: float | Tensor | None = None
    parts: Mapping[str, Tensor] | None = None


Step = Callable[[nn.Module, Batch], Any]  # -> Tensor or StepResult


def classification_losses(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross entropy of each row, of class numbers (n,) or of probabilities (n, n_classes)."""
    # -sum_c q_c log softmax(z)_c,   q = (1 - s) target + s / C
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing, reduction="none")


def weighted_mean(losses: Tensor, sample_weight: Tensor | None) -> StepResult:
    """Return sum_i w_i l_i / n of a batch of n rows, weighing n; weights have mean 1 over the training set.

    Dividing by the batch's own weights instead would take away what they say: a batch of one heavy row would count
    no more than a batch of one light row.
    """
    if sample_weight is None:
        return StepResult(losses.mean(), len(losses))
    return StepResult((losses * sample_weight).mean(), len(losses))


def unit_mean(sample_weight: np.ndarray, mean: float | None = None) -> np.ndarray:
    """Return float32 weights divided by their mean, or by the `mean` of all that is trained on."""
    if mean is None:
        sample_weight = to_largest(sample_weight)
        mean = float(sample_weight.mean())
    return (sample_weight / mean).astype(np.float32)


def to_largest(sample_weight: np.ndarray) -> np.ndarray:
    """Return weights divided by the largest one, for what asks for their ratios only: no sum of them leaves float32."""
    return sample_weight / (sample_weight.max(initial=0) or 1.0)


@dataclass(frozen=True)
class ClassificationStep:
    """Cross entropy of ``module(X)`` and y; batches are (X, y), (X, y, sample_weight) or a dict of these names.

    y holds class numbers, or probabilities (mixed or smoothed labels). Weights have mean 1 over the training set, not
    over the batch: see `unit_mean`.
    """

    label_smoothing: float = 0.0

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor | StepResult:
        X, y, sample_weight = features_and_target(batch)
        if sample_weight is None:
            return F.cross_entropy(module(X), y, label_smoothing=self.label_smoothing)
        losses = classification_losses(module(X), y, label_smoothing=self.label_smoothing)
        return weighted_mean(losses, sample_weight)


@dataclass(frozen=True)
class RegressionStep:
    """An elementwise loss of ``module(X)`` and y, averaged over the outputs; batches as in `ClassificationStep`.

    `loss` is called as ``loss(prediction, y, reduction=...)``, as torch's ``mse_loss``, ``l1_loss`` and
    ``huber_loss`` are.
    """

    loss: Callable[..., Tensor] = F.mse_loss

    def __call__(self, module: nn.Module, batch: Batch) -> Tensor | StepResult:
        X, y, sample_weight = features_and_target(batch)
        prediction = module(X)  # (n, n_outputs) or (n,)
        y = y.reshape(prediction.shape)
        if sample_weight is None:
            return self.loss(prediction, y, reduction="mean")
        losses = self.loss(prediction, y, reduction="none")
        return weighted_mean(losses.reshape(len(losses), -1).mean(1), sample_weight)
