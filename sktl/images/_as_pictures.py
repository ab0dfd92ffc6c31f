"""The way in for every kind of picture input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sktl.images._array_source import ArraySource
from sktl.images._dask_rows import DaskRows
from sktl.images._inputs import Items, as_array_or_items
from sktl.images._item_source import ItemSource
from sktl.images._shapes import picture_layout, row_layout
from sktl.images._source import PictureSource


def as_pictures(
    X: Any,
    *,
    image_shape: Sequence[int] | None = None,
    value_range: tuple[float, float] | None = None,
    name: str = "X",
) -> PictureSource:
    """Return pictures in any form as one kind of object that reads them as uint8 batches.

    Parameters
    ----------
    X : array-like, tensor, data frame, or sequence of paths, PIL images or encoded pictures
        - Arrays and tensors (n, H, W), (n, H, W, 1|3|4) or (n, 1|3, H, W); where both ends could be the channels, an
          array has them last and a torch tensor first. Dask arrays, memory maps and the like are read slice by slice.
        - 2-D arrays and data frames of numbers, each row a flattened picture of `image_shape`.
        - Lists, object arrays, Series or single columns of file paths, PIL images, encoded pictures (bytes, base64
          text, open files) or a mix of them, of any sizes.
        - Lists of arrays of one shape.
        - Data sets of torch and torchvision that have a length, whose items are pictures, or pairs of picture and
          target; each is read when it is asked for, an `ImageFolder` without a transform by its files. Transforms
          must not be random, since pictures may be read more than once.

        Four channels are RGBA and are composited over white, drawings in white alone over black. Values are uint8,
        bool, uint16 (scaled by 1/257), other integers within 0..255, or floats in [0, 1].
    image_shape : tuple of int, default=None
        (H, W), (H, W, C) or (C, H, W) of flattened pictures; None means `infer_image_shape`.
    value_range : (float, float), default=None
        Values that become 0 and 255; what is outside is clipped. None goes by the dtype, as above. Of files and PIL
        images those of more than 8 bits are meant (modes "I", "I;16" and "F"); the others are 0..255 always.
    name : str, default="X"
        What messages call `X`.

    Returns
    -------
    PictureSource

    Raises
    ------
    TypeError
        If `X`, or an item in it, is not of these kinds; sparse matrices are not.
    ValueError
        If shape or values are not those of pictures.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.backbones import Preprocessing
    >>> from sktl.images import as_pictures
    >>> source = as_pictures(np.random.default_rng(0).random((10, 784)))
    >>> source.kind, source.shape
    ('rows', (10, 28, 28, 1))
    >>> source.batch([0, 3], Preprocessing(size=(64, 64))).shape
    torch.Size([2, 3, 64, 64])
    """
    if isinstance(X, PictureSource):
        return X
    value_range = checked_range(value_range)
    array = as_array_or_items(X, name)
    if isinstance(array, Items):
        return ItemSource(array.values, value_range=value_range)
    if hasattr(array, "__dask_graph__"):
        array = DaskRows(array)
    shape = tuple(map(int, array.shape))
    if len(shape) == 2:
        layout = row_layout(shape[1], image_shape, name)
    else:
        layout = picture_layout(shape, is_tensor=isinstance(array, torch.Tensor), name=name)
    return ArraySource(array, layout, value_range=value_range, name=name)


def checked_range(value_range: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a `value_range` as two floats, or raise ValueError where it is none."""
    if value_range is None:
        return None
    try:
        low, high = (float(bound) for bound in value_range)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (low < high and np.isfinite(high - low)):
        raise ValueError(f"value_range must be two finite numbers, the first below the second; got {value_range!r}.")
    return low, high
