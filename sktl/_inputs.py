"""What X is to a network, feature rows or pictures: one reading for all estimators that take both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import sparse
from sklearn.utils.validation import _check_feature_names

from sktl._array_api import rows_on_host, validate_data
from sktl._magnitudes import check_magnitude
from sktl._preprocessing import Preprocessing
from sktl.images import PictureSource, as_pictures, checked_range, is_numeric_rows, iter_batches, row_value_range

ROWS, FLAT_PICTURES, PICTURES = "feature rows", "flattened pictures", "pictures"
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
DECODED_AT_ONCE = 256


@dataclass(frozen=True)
class InputKind:
    """How X was understood in `fit`.

    Attributes
    ----------
    name : {"feature rows", "flattened pictures", "pictures"}
        What it was.
    image_shape : tuple of int or None
        Of flattened pictures, as the user gave it.
    value_range : (float, float) or None
        What is black and white in pictures: as the user gave it, or as it was in flattened ones.
    """

    name: str
    image_shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None

    @property
    def is_rows(self) -> bool:
        """Whether X holds feature rows."""
        return self.name == ROWS


def is_2d(X: Any) -> bool:
    """Whether X is a table of numbers."""
    return is_numeric_rows(X) or (getattr(X, "ndim", None) == 2 and _is_lazy(X))


def understand(X: Any, image_shape: Any, *, takes_rows: bool, value_range: Any = None) -> InputKind:
    """Decide what X is; a table holds features if the network takes such rows and no picture's shape is named."""
    X = rows_on_host(X)
    if value_range is not None:
        value_range = checked_range(value_range)
    if not is_2d(X):
        return InputKind(PICTURES, value_range=value_range)
    if takes_rows and image_shape is None:
        if value_range is not None:
            raise ValueError(
                f"value_range={value_range} is for pictures, but X is 2-D and its rows are read as features. If they "
                "are flattened pictures, pass image_shape=(height, width) too."
            )
        return InputKind(ROWS)
    value_range = row_value_range(X) if value_range is None else value_range
    return InputKind(FLAT_PICTURES, None if image_shape is None else tuple(image_shape), value_range)


def read(estimator: Any, X: Any, kind: InputKind, *, reset: bool, **row_options: Any) -> Any:
    """Return the rows as an array (float64, unless `row_options` of `validate_data` say otherwise), or a source.

    Raises
    ------
    ValueError
        If X is of another kind than in `fit`, or malformed.
    """
    X = rows_on_host(X)
    if not reset and (is_2d(X) if kind.name == PICTURES else _holds_pictures(X)):
        found, remedy = (
            (
                "a 2-D array",
                "Pass pictures as (n, height, width), (n, height, width, channels), paths or PIL images; rows that are "
                "flattened pictures need image_shape in fit.",
            )
            if is_2d(X)
            else ("pictures", f"Expected 2D array of shape (n, {getattr(estimator, 'n_features_in_', 'n_features')}).")
        )
        raise ValueError(f"This {type(estimator).__name__} was fitted on {kind.name}, but X holds {found}. {remedy}")
    if _is_lazy(X) and kind.name != PICTURES:
        X = np.asarray(X)
    if kind.is_rows:
        return validate_data(estimator, X, reset=reset, **{"dtype": np.float64, **row_options})
    if kind.name == FLAT_PICTURES:
        is_bytes = getattr(X, "dtype", None) in (np.uint8, np.bool_)
        X = validate_data(estimator, X, reset=reset, dtype=None if is_bytes else "numeric")
    else:
        _check_feature_names(estimator, X, reset=reset)
    return as_pictures(X, image_shape=kind.image_shape, value_range=kind.value_range)


def as_rows(data: Any) -> torch.Tensor:
    """Return rows as a dense float32 tensor.

    Raises
    ------
    ValueError
        If a number is too large for it.
    """
    check_magnitude(data)
    data = data.toarray() if sparse.issparse(data) else data
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))


def in_channels(pictures: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Return pictures (n, 3, h, w) with one or three channels; grey is the luminance."""
    if n_channels == 3:
        return pictures
    weights = torch.tensor(LUMINANCE).view(1, 3, 1, 1)
    return (pictures.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)


def decoded(
    source: PictureSource, preprocessing: Preprocessing, n_channels: int, n_jobs: int | None = None
) -> torch.Tensor:
    """Return pictures in memory, uint8 (n, channels, height, width)."""
    out = torch.empty((len(source), n_channels, *preprocessing.size), dtype=torch.uint8)
    start = 0
    for which, batch in iter_batches(source, preprocessing, batch_size=DECODED_AT_ONCE, n_jobs=n_jobs):
        out[start : start + len(which)] = in_channels(batch, n_channels)
        start += len(which)
    return out


def _holds_pictures(X: Any) -> bool:
    """Whether X holds pictures rather than a table of numbers, well-formed or not."""
    if isinstance(X, (list, tuple)) and len(X):
        return isinstance(X[0], (str, os.PathLike, Image.Image)) or getattr(X[0], "ndim", 0) > 1
    return (getattr(X, "ndim", None) or 0) > 2 or (
        not is_2d(X) and getattr(getattr(X, "dtype", None), "kind", "f") in "OUST"
    )


def _is_lazy(X: Any) -> bool:
    return type(X).__module__.startswith(("torch", "dask"))
