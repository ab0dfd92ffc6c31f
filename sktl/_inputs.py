"""What X is to a network, feature rows or pictures: one reading for all estimators that take both.

The rule: an X of two axes holds flattened pictures, one a row, where a parameter says so (`image_shape`, `image_size`
or `value_range`), or where it goes to something that takes pictures only: a network that is named, a module with
convolutions, `CNNCodesTransformer`. Elsewhere its rows are features.

A flattened picture is a square, or a square in colour, of at least 4 pixels a side; any other shape is given by
`image_shape`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import sparse
from sklearn.utils.validation import _check_feature_names, _check_n_features

from sktl._array_api import rows_on_host, validate_data
from sktl._magnitudes import check_magnitude
from sktl._preprocessing import Preprocessing
from sktl._torch_datasets import DatasetPicture
from sktl.backbones import first_channels, load_backbone
from sktl.images import (
    PictureSource,
    as_pictures,
    check_row_width,
    checked_range,
    is_nested,
    is_numeric_rows,
    iter_batches,
    one_picture,
    refuse_mixed_frame,
    row_value_range,
)

ROWS, FLAT_PICTURES, PICTURES = "feature rows", "flattened pictures", "pictures"
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
DECODED_AT_ONCE = 256
ABOUT_PICTURES = ("image_shape", "image_size", "value_range")  # parameters


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
    channels : {"none", "first", "last", "any", ""}
        Where pictures that were no rows had their channels; "any" is for files and PIL images.
    """

    name: str
    image_shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    channels: str = ""

    @property
    def is_rows(self) -> bool:
        """Whether X holds feature rows."""
        return self.name == ROWS


def is_2d(X: Any) -> bool:
    """Whether X is a table of numbers."""
    return is_numeric_rows(X) or (getattr(X, "ndim", None) == 2 and _is_lazy(X))


def understand(estimator: Any, X: Any, network: Any, *, modules_take_rows: bool = True) -> InputKind:
    """Decide what X is, by the rule above.

    Parameters
    ----------
    estimator : estimator
        Its parameters `image_shape`, `image_size` and `value_range` speak of pictures.
    X : array-like or sequence of pictures
        As in `fit`.
    network : str, Module, callable or None
        Where X goes to; None takes pictures only.
    modules_take_rows : bool, default=True
        Whether the estimator can train a module of the user's on feature rows.

    Raises
    ------
    ValueError
        If rows are of no picture's width, or features for a module that cannot have them.
    """
    X = rows_on_host(X)
    refuse_mixed_frame(X)
    said = [name for name in ABOUT_PICTURES if getattr(estimator, name, None) is not None]
    value_range = checked_range(estimator.value_range)
    if not is_2d(X):
        return InputKind(PICTURES, value_range=value_range, channels=_channel_axis(X))
    if not said and takes_rows(network):
        if not (modules_take_rows or isinstance(network, str)):
            raise ValueError(
                "X has two axes, and rows are features for a network without a convolution; "
                f"{type(estimator).__name__} takes features with backbone='auto' only. If the rows are "
                "flattened pictures, pass image_shape=(height, width)."
            )
        return InputKind(ROWS)
    shape = None if estimator.image_shape is None else tuple(estimator.image_shape)
    try:
        check_row_width(X, shape)
    except ValueError:
        if isinstance(network, str) and network not in ("auto", "conv4"):
            load_backbone(network)  # a name that nothing answers to is the nearer mistake
        raise
    return InputKind(FLAT_PICTURES, shape, row_value_range(X) if value_range is None else value_range)


def takes_rows(network: Any) -> bool:
    """Whether a network takes feature rows: sktl's own for them, or the user's without a convolution."""
    if network is None or isinstance(network, str):
        return network == "auto"
    module = network if isinstance(network, torch.nn.Module) else load_backbone(network).module
    return first_channels(module) is None


def read(estimator: Any, X: Any, kind: InputKind, *, reset: bool, **row_options: Any) -> Any:
    """Return the rows as an array (float64, unless `row_options` of `validate_data` say otherwise), or a source.

    Raises
    ------
    ValueError
        If X is of another kind than in `fit`, or malformed.
    """
    given, X = X, rows_on_host(X)
    if not reset:
        _check_kind(estimator, X, kind, is_tensor=_is_tensor(given) or _is_tensor(X))
    if kind.is_rows:
        X = np.asarray(X) if _is_lazy(X) else X
        return validate_data(estimator, X, reset=reset, **{"dtype": np.float64, **row_options})
    if kind.name == FLAT_PICTURES and _is_on_demand(X):
        _check_n_features(estimator, X, reset=reset)
    elif kind.name == FLAT_PICTURES:
        X = np.asarray(X) if _is_lazy(X) else X
        is_bytes = getattr(X, "dtype", None) in (np.uint8, np.bool_)
        X = validate_data(estimator, X, reset=reset, dtype=None if is_bytes else "numeric")
    else:
        _check_feature_names(estimator, given, reset=reset)
    return as_pictures(X, image_shape=kind.image_shape, value_range=kind.value_range)


def read_dense(estimator: Any, X: Any, kind: InputKind, *, reset: bool) -> Any:
    """Return the same; sparse rows become dense ones."""
    data = read(estimator, X, kind, reset=reset, **({"accept_sparse": "csr"} if kind.is_rows else {}))
    return data.toarray() if sparse.issparse(data) else data


def _check_kind(estimator: Any, X: Any, kind: InputKind, *, is_tensor: bool) -> None:
    """Raise ValueError where X is of another kind than in `fit`, one picture without its batch axis above all."""
    name, shape = type(estimator).__name__, _shape_of(X)
    if kind.name == PICTURES and kind.channels and shape is not None:
        first = len(shape) == 3 and shape[0] in (1, 3) and (kind.channels == "first" or is_tensor)
        last = len(shape) == 3 and shape[2] in (1, 3, 4)
        grey = len(shape) == 2 and kind.channels == "none"
        if grey or ((first or last) and kind.channels != "none"):
            raise one_picture("X", shape, f" This {name} was fitted on many.")
    if not (is_2d(X) if kind.name == PICTURES else _holds_pictures(X)):
        return
    found, remedy = (
        (
            "a 2-D array",
            "Pass pictures as (n, height, width), (n, height, width, channels), paths or PIL images; one grey picture "
            "as X[None]; rows that are flattened pictures need image_shape in fit.",
        )
        if is_2d(X)
        else ("pictures", f"Expected 2D array of shape (n, {getattr(estimator, 'n_features_in_', 'n_features')}).")
    )
    raise ValueError(f"This {name} was fitted on {kind.name}, but X holds {found}. {remedy}")


def _channel_axis(X: Any) -> str:
    """Return where pictures have their channels; "any" where their shape does not say it."""
    shape = _shape_of(X)
    if shape is None or len(shape) not in (3, 4):
        return "any"
    if len(shape) == 3:
        return "none"
    return "last" if shape[3] in (1, 3, 4) and not (_is_tensor(X) and shape[1] in (1, 3)) else "first"


def _shape_of(X: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, or of the array that a list is; None where X is neither."""
    if hasattr(X, "shape") and not hasattr(X, "columns") and getattr(getattr(X, "dtype", None), "kind", "f") != "O":
        return tuple(X.shape)
    if isinstance(X, (list, tuple)) and len(X):
        inner = _shape_of(X[0])
        if inner is None:
            return (len(X),) if isinstance(X[0], (int, float)) else None
        return (len(X), *inner)
    return None


def _is_tensor(X: Any) -> bool:
    return isinstance(X[0] if isinstance(X, (list, tuple)) and len(X) else X, torch.Tensor)


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
        return isinstance(X[0], (str, bytes, os.PathLike, Image.Image, DatasetPicture)) or (
            getattr(X[0], "ndim", 0) > 1 or is_nested(X[0])
        )
    return (getattr(X, "ndim", None) or 0) > 2 or (
        not is_2d(X) and getattr(getattr(X, "dtype", None), "kind", "f") in "OUST"
    )


def _is_lazy(X: Any) -> bool:
    return type(X).__module__.startswith(("torch", "dask"))


def _is_on_demand(X: Any) -> bool:
    """Whether rows are read or computed when they are asked for, so that they are never all in memory."""
    return type(X).__module__.startswith(("dask.array", "h5py", "zarr")) or isinstance(X, np.memmap)
