"""Scale and centre crop: the one road for pictures from files, objects and arrays."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from sktl._preprocessing import Preprocessing
from sktl._warn_once import warn_user
from sktl.exceptions import PictureWarning

HARDLY_SEEN = 0.2  # of a picture
LONG = 3  # times its shorter side, for the crop's proportions


def placement(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (height, width) to scale a picture of `size` to, and the (top, left) where its centre is cut out.

    These are negative where the scaled picture is smaller than what is cut out of it, and so is set in a frame.
    Rounding is that of timm's transforms, and of torchvision's Resize and CenterCrop.
    """
    scaled, crop = _scaled(size, preprocessing), preprocessing.size
    return scaled, (_start(scaled[0], crop[0]), _start(scaled[1], crop[1]))


def _scaled(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    (height, width), target = size, preprocessing.scaled_size
    if preprocessing.crop_mode == "squash":
        return target
    if preprocessing.crop_mode == "center" and target[0] == target[1]:
        if height <= width:
            return target[0], target[0] * width // height
        return target[0] * height // width, target[0]
    ratios = height / target[0], width / target[1]
    ratio = max(ratios) if preprocessing.crop_mode == "border" else min(ratios)
    return max(1, round(height / ratio)), max(1, round(width / ratio))


def _start(scaled: int, crop: int) -> int:
    return round((scaled - crop) / 2) if scaled >= crop else -((crop - scaled) // 2)


def write_scaled(
    out: np.ndarray, pixels: np.ndarray, preprocessing: Preprocessing, original_size: tuple[int, int] | None = None
) -> None:
    """Write pictures of one size, scaled and cropped, into `out`.

    Parameters
    ----------
    out : uint8 array of shape (b, h, w, 3)
    pixels : uint8 array of shape (b, H, W, 1 or 3)
    preprocessing : Preprocessing
    original_size : (int, int), default=None
        Height and width that decide the geometry, where `pixels` were decoded at a reduced scale.
    """
    (scaled_height, scaled_width), (top, left) = placement(original_size or pixels.shape[1:3], preprocessing)
    height, width = preprocessing.size
    _warn_if_hardly_seen(scaled_height / height, scaled_width / width)
    if scaled_height < height or scaled_width < width:
        out[...] = preprocessing.fill
        out = out[:, max(0, -top) : max(0, -top) + scaled_height, max(0, -left) : max(0, -left) + scaled_width]
        top, left, (height, width) = max(0, top), max(0, left), out.shape[1:3]
    if pixels.shape[1:3] == (scaled_height, scaled_width):
        out[...] = pixels[:, top : top + height, left : left + width]
        return
    rows, top, scaled_height = _seen(pixels.shape[1], scaled_height, top, height)
    columns, left, scaled_width = _seen(pixels.shape[2], scaled_width, left, width)
    # Always three channels, the last axis the densest, whole in memory and writable: torch's fast uint8 kernel.
    seen = pixels[:, rows, columns]
    if not (seen.shape[3] == 3 and seen.flags.c_contiguous and seen.flags.writeable):
        part, seen = seen, np.empty((*seen.shape[:3], 3), dtype=np.uint8)
        seen[...] = part
    scaled = F.interpolate(
        torch.from_numpy(seen).permute(0, 3, 1, 2),
        size=(scaled_height, scaled_width),
        mode="nearest-exact" if preprocessing.interpolation == "nearest" else preprocessing.interpolation,
        antialias=preprocessing.interpolation != "nearest",
    )
    out[...] = scaled[:, :, top : top + height, left : left + width].permute(0, 2, 3, 1).numpy()


def _warn_if_hardly_seen(rows: float, columns: float) -> None:
    """Warn where the scaled picture is so many times as large as the crop, along each axis, that little is left."""
    share = 1 / (max(1.0, rows) * max(1.0, columns))
    if share < HARDLY_SEEN and max(rows, columns) > LONG * min(rows, columns):
        warn_user(
            "Of long pictures, several times as wide as they are high or the other way round, less than a fifth is "
            "seen: their centre. CNNCodesTransformer(preprocessing={'crop_mode': 'squash'}) sees them whole; 'border' "
            "keeps their proportions. Estimators without this parameter take that transformer (as backbones, encoder).",
            PictureWarning,
        )


def _seen(length: int, scaled: int, start: int, kept: int) -> tuple[slice, int, int]:
    """Return the part of an axis that the crop sees, and the crop's start and the scaled length within that part.

    Only cuts that leave every sampling point where it was are made: both ends lie where pixel edges before and after
    scaling meet. It spares most of the work, and memory, on long and narrow pictures.
    """
    step = length // math.gcd(length, scaled)
    # Bicubic weights reach two pixels of the coarser grid.
    reach = math.ceil(2 * max(1, length / scaled)) + 1
    first = max(0, start * length // scaled - reach) // step * step
    last = min(length, -(-(-(-(start + kept) * length // scaled) + reach) // step) * step)
    offset = first * scaled // length
    return slice(first, last), start - offset, (last - first) * scaled // length
