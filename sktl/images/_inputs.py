"""What a user holds -> one array, or one list of paths and PIL images."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from sktl._array_api import column_of_arrays
from sktl._torch_datasets import DatasetPicture, opened
from sktl.images._arraylike import dtype_of, is_array_like, is_lazy, to_numpy
from sktl.images._encoded import EncodedPicture, as_encoded, is_encoded

_ACCEPTED = (
    "arrays or tensors of pictures, 2-D arrays or data frames of flattened pictures, or lists, object arrays and "
    "Series of file paths, PIL images or encoded pictures (bytes, base64 text, open files)"
)


@dataclass(frozen=True)
class Items:
    """Paths, PIL images, encoded pictures, and pictures of a data set."""

    values: list[str | os.PathLike | Image.Image | DatasetPicture | EncodedPicture]


def as_array_or_items(X: Any, name: str) -> Any:
    """Return `X` as `Items`, or as an array-like of numbers with at least two axes, one picture and one value.

    Lazy arrays are returned as they are, and not read.
    """
    _refuse_single(X, name)
    X = column_of_arrays(opened(X, name))
    if hasattr(X, "to_numpy") and hasattr(X, "columns"):
        X = _from_frame(X)
    elif hasattr(X, "to_list") and not hasattr(X, "columns"):
        X = X.to_list()
    if isinstance(X, Sequence):
        X = _from_sequence(list(X), name)
    elif not is_array_like(X):
        X = _from_protocol(X, name)
    elif not isinstance(X, (torch.Tensor, np.memmap)) and hasattr(X, "__cuda_array_interface__"):
        X = torch.as_tensor(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "OUST":
        X = _from_objects(X, name)
    if isinstance(X, Items):
        return X
    _check_array(X, name)
    return X if is_lazy(X) or isinstance(X, torch.Tensor) else np.asarray(X)


def _refuse_single(X: Any, name: str) -> None:
    if isinstance(X, (str, os.PathLike)) and os.path.isdir(X):
        raise TypeError(
            f"{name} is the path of a folder, {os.fspath(X)!r}; pass a list of its files. Of a folder with one "
            f"sub-folder a class, paths, labels = sktl.datasets.load_pictures({os.fspath(X)!r}) gives it; of another, "
            f"sorted(pathlib.Path({os.fspath(X)!r}).glob('*.jpg')) does."
        )
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(f"{name} is one path, {os.fspath(X)!r}; it must be a list of pictures. Pass [{name}].")
    if isinstance(X, Image.Image):
        raise TypeError(f"{name} is one PIL image; it must be a list of pictures. Pass [{name}].")
    if isinstance(X, (bytes, bytearray, memoryview)):
        raise TypeError(f"{name} is of type bytes, one picture; it must be a list of pictures. Pass [{name}].")
    sparse_tensor = isinstance(X, torch.Tensor) and X.layout != torch.strided
    if sparse_tensor or (hasattr(X, "toarray") and hasattr(X, "nnz")):
        raise TypeError(f"{name} is sparse, but pictures are dense. Use {name}.to_dense() or {name}.toarray().")


def refuse_mixed_frame(X: Any, name: str = "X") -> None:
    """Raise ValueError where a data frame has a column of pictures beside others, with what to do."""
    columns = list(X.columns) if hasattr(X, "columns") and hasattr(X, "to_numpy") else []
    if len(columns) < 2 or not len(X):
        return
    firsts = {column: np.asarray(X[column])[0] for column in columns}
    pictures = [column for column, first in firsts.items() if _is_picture(first)]
    if not pictures:
        return
    column, others = pictures[0], [str(column) for column in columns if column not in pictures]
    beside = ", ".join(others[:5]) or f"others of pictures, {', '.join(map(repr, pictures[1:5]))}"
    domain = next((other for other in others if "domain" in other.lower()), None)
    remedy = (
        f"pass X=df[{column!r}] and, to fit, sample_domain=df[{domain!r}]"
        if domain is not None
        else f"pass df[{column!r}] alone, or let sklearn.compose.ColumnTransformer([('pictures', "
        f"CNNCodesTransformer(), {column!r}), ...]) make codes of it beside the other columns"
    )
    raise ValueError(f"{name} is a data frame with pictures in column {column!r} beside {beside}: {remedy}.")


def _is_picture(item: Any) -> bool:
    is_array = is_array_like(item) and len(item.shape) > 1
    return _is_path(item) or isinstance(item, Image.Image) or is_encoded(item) or is_array


def _is_path(item: Any) -> bool:
    text = os.fspath(item) if isinstance(item, (str, os.PathLike)) else ""
    return isinstance(text, str) and "\n" not in text and 1 < len(os.path.splitext(text)[1]) < 6


def _from_frame(X: Any) -> np.ndarray:
    refuse_mixed_frame(X)
    values = X.to_numpy()
    # Nullable columns of pandas come as objects; their missing values become NaN, which is named later.
    nullable = values.dtype == object and all(getattr(dtype, "kind", "O") in "biuf" for dtype in X.dtypes)
    return X.to_numpy(dtype=np.float64, na_value=np.nan) if nullable else values


def _from_protocol(X: Any, name: str) -> np.ndarray:
    if not any(hasattr(X, p) for p in ("__array__", "__array_interface__", "__cuda_array_interface__")) and not (
        isinstance(X, numbers.Number)
    ):
        remedy = f" Use list({name})." if isinstance(X, Iterator) else ""
        raise TypeError(f"{name} must be {_ACCEPTED}; got {type(X).__name__}.{remedy}")
    return np.asarray(X)


def _from_objects(X: np.ndarray, name: str) -> Any:
    """Return what an array of objects or text holds."""
    if X.ndim == 1:
        return _from_sequence(X.tolist(), name)
    if X.ndim == 2 and X.shape[1] == 1 and any(_is_item(item) for item in X.flat):
        return _from_sequence(X.ravel().tolist(), name)
    if X.dtype.kind != "O":
        raise ValueError(f"{name} holds text in shape {X.shape}; paths must come in one column or a list.")
    # Objects that are no numbers raise here, in NumPy's words, as in scikit-learn.
    return X.astype(np.float64)


_ITEM_TYPES = (str, os.PathLike, Image.Image, DatasetPicture, EncodedPicture)


def _is_item(item: Any) -> bool:
    return isinstance(item, _ITEM_TYPES) or is_encoded(item)


def _from_sequence(items: list[Any], name: str) -> Any:
    if any(_is_item(item) for item in items):
        return _checked_items(items, name)
    if items and all(is_array_like(item) and len(item.shape) for item in items):
        return _stacked(items, name)
    for i, item in enumerate(items):
        if not isinstance(item, (numbers.Number, np.generic, np.ndarray, torch.Tensor, list, tuple)):
            raise TypeError(f"{name} must be {_ACCEPTED}; {name}[{i}] is {_described(item)}.")
    try:
        return np.asarray(items)
    except ValueError as error:
        raise ValueError(f"{name} is a ragged list: its rows differ in length ({error}).") from error


def _checked_items(items: list[Any], name: str) -> Items:
    items = [as_encoded(item) for item in items]
    for i, item in enumerate(items):
        if not isinstance(item, _ITEM_TYPES):
            raise TypeError(
                f"{name} must hold file paths, PIL images or encoded pictures only; {name}[{i}] is {_described(item)}."
            )
    return Items(items)


def _stacked(items: list[Any], name: str) -> Any:
    shapes = [tuple(item.shape) for item in items]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise ValueError(
            f"{name} is a ragged list: {name}[0] has shape {shapes[0]}, but {name}[{odd}] has shape {shapes[odd]}. "
            "Resize arrays to one shape, or pass PIL images (PIL.Image.fromarray), which may differ in size."
        )
    if all(isinstance(item, torch.Tensor) for item in items):
        return torch.stack([item.detach() for item in items])
    return np.stack([to_numpy(item) for item in items])


def _described(item: Any) -> str:
    text = " ".join(repr(item).split())
    return f"{text if len(text) <= 40 else text[:37] + '...'} of type {type(item).__name__}"


def _check_array(X: Any, name: str) -> None:
    dtype, shape = dtype_of(X), tuple(X.shape)
    if dtype.kind == "c":
        raise ValueError(f"Complex data not supported; {name} is of dtype {dtype}.")
    if dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {dtype}; pictures must be of bool, integers or floats.")
    if any(length != length for length in shape):
        raise ValueError(f"{name} has an unknown length, shape {shape}. Call compute_chunk_sizes() on it first.")
    if not shape:
        raise ValueError(f"Expected 2D array, got scalar array instead: {name}={X!r}.")
    if shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
    if len(shape) == 1:
        raise ValueError(
            f"Expected 2D array, got 1D array instead: {name} has shape {shape}. Reshape your data either using "
            "array.reshape(-1, 1) if it has a single feature or array.reshape(1, -1) if it is a single sample; "
            "pictures come as (n, height, width) or (n, height, width, channels)."
        )
    if 0 in shape:
        raise ValueError(f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
