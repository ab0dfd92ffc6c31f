"""Random changes of training rows, pictures or not: what the user asks for, and a strong second view."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from sktl.images import augmented, distorted

DROPPED = 0.2  # share of the features
NOISE = 0.1  # of a feature's deviation within the batch


def change_for(augment: Any, *, is_rows: bool) -> Any:
    """Return the change of training rows that `augment` means, or None.

    Raises
    ------
    ValueError
        If pictures' changes are asked for feature rows.
    """
    if augment is None or callable(augment):
        return augment
    if is_rows:
        raise ValueError(f"augment={augment!r} changes pictures, but X holds feature rows. Use None or a callable.")
    return partial(augmented, augment)


def second_change_for(*, is_rows: bool) -> Any:
    """Return the strong change that makes second views."""
    return distorted_rows if is_rows else distorted


def distorted_rows(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return rows with some features set to the batch's mean and noise on the others."""
    mean, std = rows.mean(0), rows.std(0)
    kept = torch.rand(rows.shape, generator=generator, device=rows.device) >= DROPPED
    noise = torch.randn(rows.shape, generator=generator, device=rows.device) * std * NOISE
    return torch.where(kept, rows + noise, mean)
