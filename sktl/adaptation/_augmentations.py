"""Random changes of rows and pictures on the device: a strong second view, and what the user asks for."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

ROTATION = 0.35  # radians, at most
SHIFT = 0.15  # of half the side
ZOOM = 0.2
HOLE = 0.5  # side of the largest hole, as a share of the picture's
DROPPED = 0.2  # share of the features
NOISE = 0.1  # of a feature's deviation within the batch


def shifted(pictures: Tensor, generator: torch.Generator, *, pixels: int = 2) -> Tensor:
    """Return pictures moved by up to some pixels, edges repeated."""
    n, _, height, width = pictures.shape
    moves = torch.randint(-pixels, pixels + 1, (2, n), generator=generator, device=pictures.device)
    rows = (torch.arange(height, device=pictures.device) + moves[0][:, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=pictures.device) + moves[1][:, None]).clamp(0, width - 1)
    which = torch.arange(n, device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mirrored(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return the pictures, every other one mirrored."""
    flips = torch.rand(len(pictures), generator=generator, device=pictures.device) < 0.5
    return torch.where(flips[:, None, None, None], pictures.flip(3), pictures)


def strong_pictures(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures turned, moved, zoomed, in other light, with a hole; values stay in 0..255."""
    n, _, height, width = pictures.shape
    device = pictures.device

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, device=device)

    angle, zoom = draw(-ROTATION, ROTATION), draw(1 - ZOOM, 1 + ZOOM)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    maps = torch.stack(
        [torch.stack([cos, -sin, draw(-SHIFT, SHIFT)], 1), torch.stack([sin, cos, draw(-SHIFT, SHIFT)], 1)], 1
    )
    grid = F.affine_grid(maps, list(pictures.shape), align_corners=False)
    changed = F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)
    gain, lift = draw(0.7, 1.3).view(n, 1, 1, 1), draw(-25, 25).view(n, 1, 1, 1)
    changed = (changed * gain + lift).clamp(0, 255)
    row, column, side = draw(0, 1), draw(0, 1), draw(0, HOLE) / 2
    in_rows = ((torch.arange(height, device=device) + 0.5) / height - row[:, None]).abs() < side[:, None]
    in_columns = ((torch.arange(width, device=device) + 0.5) / width - column[:, None]).abs() < side[:, None]
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
    return torch.where(hole, changed.mean((1, 2, 3), keepdim=True), changed)


def strong_rows(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return rows with some features set to the batch's mean and noise on the others."""
    mean, std = rows.mean(0), rows.std(0)
    kept = torch.rand(rows.shape, generator=generator, device=rows.device) >= DROPPED
    noise = torch.randn(rows.shape, generator=generator, device=rows.device) * std * NOISE
    return torch.where(kept, rows + noise, mean)


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
    if augment == "shift":
        return shifted
    return lambda pictures, generator: mirrored(shifted(pictures, generator), generator)
