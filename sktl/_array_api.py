"""Array API dispatch stays outside: our estimators read every array into NumPy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from inspect import signature
from typing import Any

import numpy as np
import sklearn
import torch
from scipy import sparse
from sklearn.utils import _safe_indexing, validation
from sklearn.utils._array_api import _convert_to_numpy
from torch import Tensor

from sktl._torch_datasets import opened

OF_NUMPY = (torch.float16, torch.float32, torch.float64)
NO_ARRAYS = (str, bytes, os.PathLike, Mapping, AbstractSet, Iterator, type)
COLUMN_OPTIONS = signature(validation.column_or_1d).parameters  # no input_name before scikit-learn 1.8
REMEDIES: dict[type, str] = {
    str: " One path or text is [{0}]; the pictures of a folder are paths, labels = sktl.datasets.load_pictures({0}).",
    os.PathLike: " One path is [{0}]; the pictures of a folder are paths, labels = sktl.datasets.load_pictures({0}).",
    Mapping: " A table of its columns is pandas.DataFrame({0}).",
    AbstractSet: " Its order is lost: give a list.",
    Iterator: " Use list({0}).",
}


def on_host(values: Any, name: str = "X") -> Any:
    """Return a tensor, or an array of another library's, as a NumPy array, lists of tensors too; else what was given.

    What a masked array hides is missing.

    Raises
    ------
    ValueError, TypeError
        If it holds no numbers that NumPy could hold.
    """
    if isinstance(values, Tensor):
        return _of_tensor(values, name)
    if isinstance(values, (list, tuple)) and any(isinstance(value, Tensor) for value in values):
        return [on_host(value, name) for value in values]
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values)
    if is_foreign(values):
        try:
            return _convert_to_numpy(values, values.__array_namespace__())
        except Exception as error:  # each library has its own
            raise TypeError(
                f"{name} is a {type(values).__name__}, which does not become a NumPy array ({error}). Convert it first."
            ) from error
    return values


def is_foreign(values: Any) -> bool:
    """Whether `values` is an array of another library's that follows the array API (tensors do not say so)."""
    return (
        hasattr(values, "__array_namespace__")
        and not isinstance(values, (np.ndarray, np.generic))
        and not hasattr(values, "__dask_graph__")
    )


def rows_on_host(X: Any) -> Any:
    """Return tables of numbers in NumPy; tensors of pictures stay, whose channels stand elsewhere than in arrays.

    Data sets of torch become lists.
    """
    X = column_of_arrays(opened(X))
    if isinstance(X, Tensor):
        return on_host(X) if X.ndim < 3 or X.is_nested or X.layout != torch.strided else X
    first = X[0] if isinstance(X, (list, tuple)) and len(X) else None
    if isinstance(first, np.ndarray) and first.dtype.kind == "O" and first.ndim == 1:
        return np.asarray([list(row) for row in X])  # scikit-learn leaves such numbers as objects
    return on_host(X)


def column_of_arrays(X: Any) -> Any:
    """Return the one column of a table, or of an array of objects, as a list where it holds arrays."""
    if isinstance(X, Tensor):  # a nested one does not even tell its shape
        return X
    if type(X).__module__.startswith("pyarrow"):
        return _of_arrow(X)
    shape: tuple[int, ...] = tuple(getattr(X, "shape", ()))
    if len(shape) != 2 or shape[1] != 1 or shape[0] == 0:
        return X
    if hasattr(X, "columns"):
        column = X[next(iter(X.columns))]
        return column.to_list() if hasattr(column, "to_list") and _is_nested(column[:1].to_list()[0]) else X
    if isinstance(X, np.ndarray) and X.dtype.kind == "O" and _is_nested(X[0, 0]):
        return list(X[:, 0])
    return X


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Return some rows of X, which stays of its kind."""
    X = rows_on_host(X)
    if isinstance(X, Tensor):
        return X[torch.from_numpy(rows).to(X.device)]
    if sparse.issparse(X):
        return X.tocsr()[rows]
    with sklearn.config_context(array_api_dispatch=False):
        return _safe_indexing(X if hasattr(X, "__getitem__") else np.asarray(X), rows)


def n_rows(X: Any, name: str = "X") -> int:
    """Return the number of rows.

    Raises
    ------
    TypeError
        If X has none: a dict, a generator, text and the like.
    """
    _refuse_no_array(X, name)
    with sklearn.config_context(array_api_dispatch=False):
        is_plain = isinstance(X, Tensor) and not X.is_nested and X.layout == torch.strided
        return int(validation._num_samples(X if is_plain else on_host(X, name)))


def validate_data(estimator: Any, X: Any = "no_validation", y: Any = "no_validation", **options: Any) -> Any:
    """Call scikit-learn's function of this name; what it returns is NumPy's even under ``array_api_dispatch=True``."""
    if not isinstance(X, str):
        _refuse_no_array(X, "X")
    with sklearn.config_context(array_api_dispatch=False):
        return _forward(validation.validate_data(estimator, on_host(X), on_host(y, "y"), **options))


def check_array(values: Any, **options: Any) -> Any:
    """Call scikit-learn's function of this name, for NumPy arrays alone."""
    name = options.get("input_name") or "X"
    _refuse_no_array(values, name)
    with sklearn.config_context(array_api_dispatch=False):
        return _forward(validation.check_array(on_host(values, name), **options))


def column_or_1d(values: Any, **options: Any) -> Any:
    """Call scikit-learn's function of this name, for NumPy arrays alone."""
    name = options.get("input_name") or "y"
    _refuse_no_array(values, name)
    values = on_host(values, name)
    if not hasattr(values, "iloc") and hasattr(values, "__array__"):  # pandas' Categorical, Series of polars
        values = np.asarray(values)
    with sklearn.config_context(array_api_dispatch=False):
        return validation.column_or_1d(values, **{key: options[key] for key in options if key in COLUMN_OPTIONS})


def check_no_tuples(y: Any, name: str = "y") -> None:
    """Raise a ValueError where a list holds tuples of several values, of which NumPy would make columns."""
    if not isinstance(y, (list, tuple)):
        return
    several = next((entry for entry in y if isinstance(entry, tuple) and len(entry) != 1), None)
    if several is not None:
        raise ValueError(
            f"{name} is a list that holds tuples, such as {repr(several)[:60]}. Entries are numbers, text or dates: "
            f"make texts of them, [str(entry) for entry in {name}]. Several labels a row are an array of zeros and "
            "ones, a column for each label."
        )


def _unmasked(values: np.ma.MaskedArray) -> np.ndarray:
    """Return an array with NaN, NaT or None where a masked array hides something: NumPy would bring that to light."""
    hidden, shown = np.ma.getmaskarray(values), np.ma.getdata(values)
    if not hidden.any():
        return np.asarray(shown)
    missing: Any = {"f": np.nan, "c": np.nan, "m": "NaT", "M": "NaT"}.get(shown.dtype.kind)
    found = np.array(shown, dtype=object if missing is None else shown.dtype)
    found[hidden] = missing
    return found


def _of_tensor(values: Tensor, name: str) -> np.ndarray:
    if values.is_nested or values.layout != torch.strided:
        raise TypeError(
            f"{name} is a sparse or nested tensor; a dense one is needed. Use {name}.to_dense() or "
            f"{name}.to_padded_tensor(...)."
        )
    if values.is_meta:
        raise ValueError(f"{name} is a tensor on the device 'meta', which holds no values. Give one that holds some.")
    values = values.detach().resolve_conj().resolve_neg()
    if values.is_quantized:
        values = values.dequantize()
    if values.is_floating_point() and values.dtype not in OF_NUMPY:
        values = values.float()
    return values.cpu().numpy()


def _refuse_no_array(values: Any, name: str) -> None:
    if sparse.issparse(values):  # some of these are dicts too
        return
    if values is None or isinstance(values, NO_ARRAYS) or callable(values):
        is_folder = isinstance(values, (str, os.PathLike)) and name == "X"
        kinds = [
            kind for kind in REMEDIES if isinstance(values, kind) and (is_folder or kind not in (str, os.PathLike))
        ]
        remedy = "".join(REMEDIES[kind] for kind in kinds[:1])
        raise TypeError(
            f"{name} must be an array or a list with one entry a row; got {type(values).__name__}.{remedy.format(name)}"
        )


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or bool(getattr(value, "shape", ()))


def _of_arrow(X: Any) -> Any:
    """Return one column of text or lists as a list, and numbers as they are."""
    column = X.column(0) if getattr(X, "num_columns", 0) == 1 else X
    values = column[:1].to_pylist() if hasattr(column, "chunks") or not hasattr(column, "num_columns") else [0.0]
    return column.to_pylist() if values and (_is_nested(values[0]) or isinstance(values[0], str)) else X


def _forward(values: Any) -> Any:
    """Return an array without negative strides, which torch does not take."""
    if isinstance(values, np.ndarray) and any(stride < 0 for stride in values.strides):
        return np.ascontiguousarray(values)
    return values
