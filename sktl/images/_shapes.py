"""Which axis of an array is which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CHANNELS_LAST = (1, 3, 4)
CHANNELS_FIRST = (1, 3)
LEAST_SIDE = 4  # of what is taken for a square picture: tables of a few columns are none


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
        times one.

    Raises
    ------
    ValueError
        If the width is neither, or the square has fewer than 4 pixels a side.

    Examples
    --------
    >>> from sktl.images import infer_image_shape
    >>> infer_image_shape(784), infer_image_shape(3072)
    ((28, 28), (32, 32, 3))
    """
    if width < 1:
        raise ValueError(f"A flattened picture needs at least one value; got width {width}.")
    for channels in (1, 3):
        side = math.isqrt(width // channels)
        if channels * side * side == width and side >= LEAST_SIDE:
            return (side, side) if channels == 1 else (side, side, 3)
    raise ValueError(
        f"Rows of width {width} are no flattened square pictures, (side * side) or (side * side * 3) values of at "
        f"least {LEAST_SIDE} pixels a side. If they are pictures, pass their image_shape: (height, width) or (height, "
        "width, channels), or (1, -1) for rows of one line of pixels, spectra say. If they are features, give them to "
        "a classifier without a picture network."
    )


def check_row_width(X: Any, image_shape: Sequence[int] | None) -> None:
    """Raise ValueError where the rows of X are no flattened pictures of `image_shape`, None for squares."""
    shape = X.shape if hasattr(X, "shape") else np.asarray(X[:1] if isinstance(X, (list, tuple)) else X).shape
    if len(shape) == 2 and 0 not in shape:  # of nothing, the estimators say so themselves
        row_layout(int(shape[1]), image_shape, "X")


def one_picture(name: str, shape: tuple[int, ...], known: str = "") -> ValueError:
    """Return the error for a picture that came without its batch axis, which would be read as many."""
    return ValueError(
        f"{name} has shape {shape}: one picture without its batch axis, which would be read as {shape[0]} pictures."
        f"{known} Pass {name}[None], a batch of one; grey pictures as narrow as that as (n, height, width, 1)."
    )


def row_layout(width: int, image_shape: Sequence[int] | None, name: str) -> Layout:
    """Return the layout of rows that are flattened pictures of `image_shape`."""
    if image_shape is None:
        return Layout(infer_image_shape(width), False)
    try:
        stored = tuple(int(length) for length in image_shape)
    except (TypeError, ValueError):
        stored = ()
    if stored.count(-1) == 1:  # what is left of the row, as in numpy.reshape
        rest = -math.prod(stored)
        stored = tuple(width // rest if length == -1 and rest > 0 else length for length in stored)
    channels_last = len(stored) == 3 and stored[2] in CHANNELS_LAST
    channels_first = len(stored) == 3 and not channels_last and stored[0] in CHANNELS_FIRST
    if min(stored, default=0) < 1 or not (len(stored) == 2 or channels_last or channels_first):
        raise ValueError(
            "image_shape must be (height, width), (height, width, 1|3|4) or (1|3, height, width), all of it at least "
            f"1, one of them -1 for what is left; got {image_shape!r}."
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
        if shape[2] in (3, 4) and shape[1] != shape[2]:  # squares as small as that are grey
            raise one_picture(name, shape)
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
