"""What X is to a fine-tuned estimator: feature rows, or pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from sklearn.utils.validation import _check_feature_names, validate_data

from sktl.images import PictureSource, as_pictures, is_numeric_rows, row_value_range

ROWS, FLAT_PICTURES, PICTURES = "feature rows", "flattened pictures", "pictures"


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
        What was black and white in flattened pictures.
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
    return is_numeric_rows(X) or (getattr(X, "ndim", None) == 2 and type(X).__module__.startswith(("torch", "dask")))


def understand(estimator: Any, X: Any) -> InputKind:
    """Decide what X is; rows are features unless a backbone or a picture's shape is named."""
    image_shape = estimator.image_shape
    if not is_2d(X):
        return InputKind(PICTURES)
    if isinstance(estimator.backbone, str) and estimator.backbone == "auto" and image_shape is None:
        return InputKind(ROWS)
    value_range = row_value_range(X)
    return InputKind(FLAT_PICTURES, None if image_shape is None else tuple(image_shape), value_range)


def read(estimator: Any, X: Any, kind: InputKind, *, reset: bool) -> np.ndarray | PictureSource:
    """Return the rows as a float64 array, or the pictures as a source.

    Raises
    ------
    ValueError
        If X is of another kind than in `fit`.
    """
    if is_2d(X) if kind.name == PICTURES else _holds_pictures(X):
        found = "a 2-D array" if is_2d(X) else "pictures"
        remedy = (
            "Pass pictures as (n, height, width), (n, height, width, channels), paths or PIL images; rows that are "
            "flattened pictures need image_shape in fit."
            if is_2d(X)
            else f"Expected 2D array of shape (n, {getattr(estimator, 'n_features_in_', 'n_features')})."
        )
        raise ValueError(f"This {type(estimator).__name__} was fitted on {kind.name}, but X holds {found}. {remedy}")
    if kind.is_rows:
        return validate_data(estimator, np.asarray(X) if _is_lazy(X) else X, reset=reset, dtype=np.float64)
    if kind.name == FLAT_PICTURES:
        is_bytes = getattr(X, "dtype", None) in (np.uint8, np.bool_)
        X = validate_data(
            estimator, np.asarray(X) if _is_lazy(X) else X, reset=reset, dtype=None if is_bytes else "numeric"
        )
    else:
        _check_feature_names(estimator, X, reset=reset)
    return as_pictures(X, image_shape=kind.image_shape, value_range=kind.value_range)


def _holds_pictures(X: Any) -> bool:
    """Whether X holds pictures rather than a table of numbers, well-formed or not."""
    if isinstance(X, (list, tuple)) and len(X):
        return isinstance(X[0], (str, os.PathLike, Image.Image)) or getattr(X[0], "ndim", 0) > 1
    return (getattr(X, "ndim", None) or 0) > 2 or (
        not is_2d(X) and getattr(getattr(X, "dtype", None), "kind", "f") in "OUST"
    )


def _is_lazy(X: Any) -> bool:
    return type(X).__module__.startswith(("torch", "dask"))
