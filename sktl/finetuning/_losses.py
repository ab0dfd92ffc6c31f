"""Steps beyond plain cross entropy and squared error: the pull to the starting point, accuracy in validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sktl.training import Step, StepResult, classification_losses, features_and_target, weighted_mean


@dataclass(frozen=True)
class StartingPointStep:
    """Another step's loss and L2-SP (Li et al. 2018): the squared way that pretrained weights have gone.

    Parameters
    ----------
    step : Step
        Gives the loss on the data.
    start : sequence of (Parameter, Tensor)
        Weights and where they started.
    strength : float
        Called alpha in the paper.
    """

    step: Step
    start: Sequence[tuple[nn.Parameter, Tensor]]
    strength: float

    def __call__(self, module: nn.Module, batch) -> StepResult:
        result = self.step(module, batch)
        loss, weight, parts = (result, None, None) if isinstance(result, Tensor) else (*tuple(result), None, None)[:3]
        penalty = self.penalty()
        return StepResult(loss + penalty, weight, {**(parts or {}), "l2_sp": penalty})

    def penalty(self) -> Tensor:
        """Return the term that is added to the loss."""
        # alpha / 2 * ||w - w0||^2
        ways = [(parameter - value).pow(2).sum() for parameter, value in self.start if parameter.requires_grad]
        total = torch.stack(ways).sum() if ways else torch.zeros((), device=self.start[0][0].device)
        return self.strength / 2 * total


@dataclass(frozen=True)
class ValidationStep:
    """Cross entropy without smoothing, and accuracy."""

    def __call__(self, module: nn.Module, batch) -> StepResult:
        X, y, sample_weight = features_and_target(batch)
        logits = module(X)
        loss, weight, _ = weighted_mean(classification_losses(logits, y), sample_weight)
        accuracy, _, _ = weighted_mean((logits.argmax(1) == y).to(logits.dtype), sample_weight)
        return StepResult(loss, weight, {"accuracy": accuracy})
