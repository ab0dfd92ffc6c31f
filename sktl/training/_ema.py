"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of the weights over the steps, kept beside the network and swapped into it when it is used.

    The decay warms up, so that the first, random weights are soon forgotten; buffers (running statistics) are
    copied, for they are averages themselves.

    Parameters
    ----------
    module : nn.Module
        Whose weights are averaged.
    decay : float in [0, 1)
        How much of the average remains at a step.
    """

    def __init__(self, module: nn.Module, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of the weights' average must be in [0, 1); got {decay!r}.")
        self.decay = decay
        self.n_updates = 0
        self.is_shown = False  # whether the network holds the average now, and `averages` the trained weights
        with torch.no_grad():
            self._weights: list[Tensor] = [p for p in module.parameters() if p.is_floating_point()]
            self._averages = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        # a <- a + (1 - d_t) (w - a),   d_t = min(d, (1 + t) / (10 + t))
        self.n_updates += 1
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)

    @torch.no_grad()
    def show(self, is_shown: bool) -> None:
        """Put the average into the network, or the trained weights back."""
        if is_shown == self.is_shown:
            return
        for weight, average in zip(self._weights, self._averages):
            held = weight.detach().clone()
            weight.copy_(average)
            average.copy_(held)
        self.is_shown = is_shown

    def state_dict(self) -> dict:
        """Return what `load_state_dict` goes on from."""
        return {
            "n_updates": self.n_updates,
            "is_shown": self.is_shown,
            "averages": [average.clone() for average in self._averages],
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping) -> None:
        """Go on from a state; the network's own weights must come from the same moment."""
        self.n_updates = state["n_updates"]
        self.is_shown = state["is_shown"]
        saved: list[Tensor] = state["averages"]
        for average, value in zip(self._averages, saved, strict=True):
            average.copy_(value)
