"""Random changes of training pictures, drawn on the device: each has one word, the same in all estimators."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sktl._preprocessing import Preprocessing

ROTATION = 0.35  # radians, at most
SHIFT = 0.15  # of half the side
ZOOM = 0.2
HOLE = 0.5  # side of the largest hole, as a share of the picture's


def augmented(
    augment: Any, pictures: Tensor, generator: torch.Generator, size: tuple[int, int] | None = None
) -> Tensor:
    """Return pictures (n, channels, height, width) changed at random.

    Parameters
    ----------
    augment : a key of `AUGMENTATIONS`, callable(pictures, generator) or None
        None leaves them as they are.
    pictures : Tensor, values in 0..255
        Left alone.
    generator : torch.Generator
        On their device.
    size : (int, int), optional
        What crops are scaled to; by default the pictures' own.
    """
    if augment is None or callable(augment):
        return pictures if augment is None else augment(pictures, generator)
    height, width = pictures.shape[-2:]
    return AUGMENTATIONS[augment](pictures, generator, size or (height, width))


def with_margin(preprocessing: Preprocessing, augment: Any) -> Preprocessing:
    """Return how pictures are held for an augmentation: crops draw from the margin that a centre crop would cut off."""
    if augment not in ("crop", "crop_flip") or preprocessing.crop_pct > 1:
        return preprocessing
    return dataclasses.replace(preprocessing, size=preprocessing.scaled_size, crop_pct=1.0)


def cropped(
    pictures: Tensor,
    generator: torch.Generator,
    size: tuple[int, int],
    *,
    area: tuple[float, float] = (0.35, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flips: bool = False,
) -> Tensor:
    """Return a random part of each picture, scaled to `size`, every other one mirrored (Szegedy et al. 2015)."""
    n, device = len(pictures), pictures.device

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, device=device)

    share, aspect = draw(*area), torch.exp(draw(math.log(ratio[0]), math.log(ratio[1])))
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    x, y = (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)  # the part's centre, the picture being [-1, 1]^2
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0) if flips else torch.ones(n, device=device)
    nothing = torch.zeros_like(x)
    maps = torch.stack([torch.stack([width * mirror, nothing, x], 1), torch.stack([nothing, height, y], 1)], 1)
    grid = F.affine_grid(maps, [n, pictures.shape[1], *size], align_corners=False)
    return F.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)


def flipped(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return the pictures, every other one mirrored."""
    flips = torch.rand(len(pictures), generator=generator, device=pictures.device) < 0.5
    return torch.where(flips[:, None, None, None], pictures.flip(3), pictures)


def shifted(pictures: Tensor, generator: torch.Generator, *, pixels: int = 2) -> Tensor:
    """Return pictures moved by up to some pixels, edges repeated."""
    n, _, height, width = pictures.shape
    moves = torch.randint(-pixels, pixels + 1, (2, n), generator=generator, device=pictures.device)
    rows = (torch.arange(height, device=pictures.device) + moves[0][:, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=pictures.device) + moves[1][:, None]).clamp(0, width - 1)
    which = torch.arange(n, device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def distorted(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures turned, moved, zoomed, in other light, with a hole; values stay in 0..255.

    This is the strong change of a second view, to be held against the first one.
    """
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


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator, tuple[int, int]], Tensor]] = {
    "crop_flip": lambda pictures, generator, size: cropped(pictures, generator, size, flips=True),
    "crop": lambda pictures, generator, size: cropped(pictures, generator, size),
    "flip": lambda pictures, generator, size: flipped(pictures, generator),
    "shift_flip": lambda pictures, generator, size: flipped(shifted(pictures, generator), generator),
    "shift": lambda pictures, generator, size: shifted(pictures, generator),
}
