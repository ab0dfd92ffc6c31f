"""The step of TENT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sktl._functional import call_with
from sktl.adaptation.losses._entropy import entropy
from sktl.adaptation.test_time._collapse import Collapse
from sktl.training import StepResult


class NormsAlone(nn.Module):
    """A network in evaluation mode of which, in training, batch norms alone go by their batches' statistics."""

    def __init__(self, network: nn.Module, norms: list[_BatchNorm]):
        super().__init__()
        self.network = network
        self.norms = list(norms)

    def train(self, mode: bool = True) -> NormsAlone:
        """Set the norms' mode; everything else, dropout too, evaluates."""
        super().train(False)
        for norm in self.norms:
            norm.train(mode)
        return self

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits."""
        return self.network(X)


class EntropyStep:
    """Mean entropy of the predictions (Wang et al. 2021).

    Parameters
    ----------
    start : mapping of str to Tensor
        The affine parameters before, by their names in the network.
    collapse : Collapse
        Shown each batch's predictions, by the parameters now and before.
    """

    def __init__(self, start: Mapping[str, Tensor], collapse: Collapse):
        self.start = dict(start)
        self.collapse = collapse
        self.listening: Callable[[], AbstractContextManager] = nullcontext  # around the pass that is learned from
        self.logits: Tensor | None = None  # of the last batch
        self.logits_before: Tensor | None = None

    def __call__(self, module: Any, batch: Any) -> StepResult:
        """Return the batch's loss."""
        X = batch if isinstance(batch, Tensor) else batch.X
        with torch.no_grad():
            self.logits_before = call_with(module.network, self.start, X).float()
        with self.listening():
            logits = module(X).float()
        self.logits = logits.detach()
        self.collapse.add(self.logits_before, self.logits)
        return StepResult(entropy(logits), len(logits))
