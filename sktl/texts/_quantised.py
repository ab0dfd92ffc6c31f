"""Linear layers whose weights are kept in 8 bits."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class QuantisedLinear(nn.Module):
    """A linear layer of int8 weights, one scale a row; OpenVINO knows the form and multiplies in int8."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach()  # (out, in)
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight", (weight / scale).round().clamp(-127, 127).to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x @ (scale * weight).T + bias``."""
        return F.linear(x, self.weight.to(torch.float32) * self.scale, self.bias)


def quantised(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which linear layers keep 8 bits; embeddings stay as they are."""
    network = copy.deepcopy(network)
    for part in list(network.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Linear):
                setattr(part, name, QuantisedLinear(child))
    return network
