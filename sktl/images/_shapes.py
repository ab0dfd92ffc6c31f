"""Which axis of an array is which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CHANNELS_LAST = (1, 3, 4)
CHANNELS_FIRST = (1, 3)


@dataclass(frozen=True)
class Layout:
    """How one picture lies in memory.

    Parameters
    ----------
    stored : tuple of int
        Shape of one picture as it is stored, rows of a table unflattened.
    channels_first : bool
        Whether that is (C, H, W) rather than (H, W) or (H, W, C).
    """

    stored: tuple[int, ...]
    channels_first: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        if len(self.stored) == 2:
            return self.stored[0], self.stored[1], 1
        if self.channels_first:
            return self.stored[1], self.stored[2], self.stored[0]
        return self.stored[0], self.stored[1], self.stored[2]


def infer_image_shape(width: int) -> tuple[int, ...]:
    """Return the shape that a flattened picture of `width` values is taken to have.

    Parameters
    ----------
    width : int
        Length of the row.

    Returns
    -------
    tuple of int
        A square (side, side) where `width` is a square number, a square in colour (side, side, 3) where it is three
        times one, else one row of pixels (1, width).

    Examples
    --------
    >>> from sktl.images import infer_image_shape
    >>> infer_image_shape(784), infer_image_shape(3072), infer_image_shape(10)
    ((28, 28), (32, 32, 3), (1, 10))
    """
    if width < 1:
        raise ValueError(f"A flattened picture needs at least one value; got width {width}.")
    side = math.isqrt(width)
    if side * side == width:
        return side, side
    side = math.isqrt(width // 3)
    return (side, side, 3) if 3 * side * side == width else (1, width)


def row_layout(width: int, image_shape: Sequence[int] | None, name: str) -> Layout:
    """Return the layout of rows that are flattened pictures of `image_shape`."""
    if image_shape is None:
        return Layout(infer_image_shape(width), False)
    try:
        stored = tuple(int(length) for length in image_shape)
    except (TypeError, ValueError):
        stored = ()
    channels_last = len(stored) == 3 and stored[2] in CHANNELS_LAST
    channels_first = len(stored) == 3 and not channels_last and stored[0] in CHANNELS_FIRST
    if min(stored, default=0) < 1 or not (len(stored) == 2 or channels_last or channels_first):
        raise ValueError(
            "image_shape must be (height, width), (height, width, 1|3|4) or (1|3, height, width), all of it at least "
            f"1; got {image_shape!r}."
        )
    if math.prod(stored) != width:
        raise ValueError(
            f"{name} has {width} features, but image_shape={stored} is a picture of "
            f"{' x '.join(map(str, stored))} = {math.prod(stored)} values."
        )
    return Layout(stored, channels_first)


def picture_layout(shape: tuple[int, ...], *, is_tensor: bool, name: str) -> Layout:
    """Return the layout of pictures in an array of three or four axes.

    Where both ends could be the channels, an array has them last and a torch tensor has them first, as is the habit of
    each library.
    """
    if len(shape) == 3:
        return Layout(shape[1:], False)
    channels_last = len(shape) == 4 and shape[3] in CHANNELS_LAST
    channels_first = len(shape) == 4 and shape[1] in CHANNELS_FIRST
    if not channels_last and not channels_first:
        raise ValueError(
            f"{name} has shape {shape}, which is not one of pictures: expected (n, height, width), "
            "(n, height, width, channels) with 1 (grey), 3 (RGB) or 4 (RGBA) channels, (n, channels, height, width) "
            "with 1 or 3 channels, or flattened pictures as (n, features)."
        )
    return Layout(shape[1:], channels_first and (is_tensor or not channels_last))
