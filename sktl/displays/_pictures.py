"""Pictures as people see them, in arrays that matplotlib draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktl._array_api import rows_on_host
from sktl._inputs import InputKind, is_2d
from sktl._preprocessing import Preprocessing
from sktl.displays._fitted import parts_of
from sktl.images import as_pictures, row_value_range

LARGEST = 160  # pixels a side


def kind_of(estimator: Any) -> InputKind | None:
    """Return how the first part of an estimator that reads X has understood it; None where nothing says it."""
    steps = [part for outer in parts_of(estimator) if isinstance(outer, Pipeline) for _, part in outer.steps]
    parts = [inner for step in steps for inner in parts_of(step)] or list(parts_of(estimator))
    return next((part._kind for part in parts if isinstance(getattr(part, "_kind", None), InputKind)), None)


def shown(
    X: Any,
    rows: np.ndarray,
    display: str,
    kind: InputKind | None = None,
    *,
    image_shape: Any = None,
    value_range: Any = None,
) -> np.ndarray:
    """Return some pictures, uint8 (n, height, width, 3): small ones as they are, others scaled to fit, on white.

    Parameters
    ----------
    X : array-like or sequence of pictures
        Only the rows asked for are decoded.
    rows : ndarray of int
        Which.
    display : str
        Who asks.
    kind : InputKind, default=None
        How an estimator has understood X.
    image_shape, value_range
        As in `CNNCodesTransformer`; they go before `kind`.

    Raises
    ------
    ValueError
        If the estimator was fitted on feature rows, or a picture cannot be read.
    """
    if kind is not None and kind.is_rows and image_shape is None:
        raise ValueError(
            f"{display} shows pictures, but the estimator was fitted on feature rows. If each row is a flattened "
            "picture, pass image_shape=(height, width)."
        )
    if kind is not None:
        image_shape = kind.image_shape if image_shape is None else image_shape
        value_range = kind.value_range if value_range is None else value_range
    X = rows_on_host(X)
    if value_range is None and is_2d(X):
        value_range = row_value_range(X)
    source = as_pictures(X, image_shape=image_shape, value_range=value_range)
    size = (LARGEST, LARGEST)
    if source.shape is not None and max(source.shape[1:3]) <= LARGEST:
        size = source.shape[1:3]
    whole = Preprocessing(size=size, crop_pct=1.0, crop_mode="border", mean=(1.0, 1.0, 1.0))
    return source.batch(rows, whole).permute(0, 2, 3, 1).numpy().copy()


def framed(ax: Any, picture: np.ndarray, colour: Any = None, **options: Any) -> Any:
    """Draw a picture, in a frame of a colour if there is one, and return its artist."""
    image = ax.imshow(picture, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set(visible=colour is not None, color=colour, linewidth=3)
    return image
