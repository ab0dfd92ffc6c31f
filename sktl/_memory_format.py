"""How a network's weights lie in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Lay a network's weights of maps out with their channels last, in place; those of volumes have no such layout."""
    return network._apply(_laid_out)


def _laid_out(weight: Tensor) -> Tensor:
    return weight.to(memory_format=torch.channels_last) if weight.ndim == 4 else weight
