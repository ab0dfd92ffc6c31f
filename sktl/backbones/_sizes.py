"""Sizes that a network takes, near to one that it refuses."""

from __future__ import annotations

import itertools

import torch
from torch import nn

STEPS = (8, 14, 16, 32)  # patches and strides of most networks, in pixels


@torch.no_grad()
def nearest_sizes(network: nn.Module, refused: tuple[int, int], channels: int) -> list[tuple[int, int]]:
    """Return up to two sizes (height, width) near to `refused` that a network in eval mode takes, found by trying.

    Tried are the multiples of usual patches below and above, and the size that a network says it was trained with.
    """
    around = ([(max(step, side // step * step), -(-side // step) * step) for side in refused] for step in STEPS)
    tried = {size for sides in around for size in itertools.product(*sides)}
    own = _own_size(network)
    distance = lambda size: (sum(abs(side - wanted) for side, wanted in zip(size, refused)), size)  # noqa: E731
    candidates = sorted((tried | ({own} if own else set())) - {refused}, key=distance)
    found: list[tuple[int, int]] = []
    for height, width in candidates:
        if len(found) < 2 and _takes(network, (height, width), channels):
            found.append((height, width))
    return found


def _own_size(network: nn.Module) -> tuple[int, int] | None:
    cfg = getattr(network, "pretrained_cfg", None)
    declared = cfg.get("input_size", ())[1:] if isinstance(cfg, dict) else getattr(network, "image_size", None)
    sides = (declared, declared) if isinstance(declared, int) else tuple(declared or ())
    return sides if len(sides) == 2 else None  # type: ignore[return-value]


def _takes(network: nn.Module, size: tuple[int, int], channels: int) -> bool:
    reference = next(network.parameters(), torch.zeros(()))
    try:
        network(torch.zeros(1, channels, *size, dtype=reference.dtype, device=reference.device))
    except Exception:  # networks refuse sizes with whatever their layers raise
        return False
    return True
