"""On which scale flattened pictures are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sktl.images._arraylike import blocks, dtype_of, take
from sktl.images._inputs import Items, as_array_or_items
from sktl.images._pixels import check_values


def row_value_range(X: Any) -> tuple[float, float] | None:
    """Return the `value_range` that suits rows which are flattened pictures, or feature rows taken for ones.

    Parameters
    ----------
    X : array-like
        What `as_pictures` takes.

    Returns
    -------
    (float, float) or None
        None where the dtype says it all: uint8, bool, floats within [0, 1], and input that is not 2-D. (0, 255) for
        values from at least 0 up to a maximum in (128, 255]. The exact minimum and maximum for everything else, which
        counts integers of 0 and 1 only; the maximum is one above the minimum where they are the same.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.images import row_value_range
    >>> row_value_range(np.array([[0.0, 16.0], [3.0, 9.0]]))
    (0.0, 16.0)
    """
    array = as_array_or_items(X, "X")
    if isinstance(array, Items) or len(array.shape) != 2:
        return None
    dtype = dtype_of(array)
    if dtype == np.bool_ or dtype == np.uint8:
        return None
    low, high = math.inf, -math.inf
    for indices in blocks(tuple(array.shape)):
        values = take(array, indices)
        # A range is given so that only what is not finite is refused here.
        check_values(values, (0, 1), indices, "X")
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if dtype.kind == "f" and low >= 0 and high <= 1:
        return None
    if low >= 0 and 128 < high <= 255:
        return 0.0, 255.0
    return low, high if high > low else low + 1
