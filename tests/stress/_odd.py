"""Odd forms of rows, labels and weights: those that mean the same as a plain array, and those that mean nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy import sparse

Form = Callable[[np.ndarray], Any]


def _reversed(a: np.ndarray) -> np.ndarray:
    return np.flip(np.ascontiguousarray(np.flip(a)))


def _as_objects(a: np.ndarray) -> np.ndarray:
    out = np.empty(a.shape, dtype=object)
    out[...] = a
    return out


def _read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def _mapped(a: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryFile() as file:
        out = np.memmap(file, dtype=a.dtype, shape=a.shape)
    out[...] = a
    return out


def _every_other(a: np.ndarray) -> np.ndarray:
    return np.repeat(a, 2, axis=0)[::2]


def _tensor(**options: Any) -> Form:
    return lambda a: torch.tensor(a, **options)


def strict(a: np.ndarray) -> Any:
    """Return an array of the array API's strict reference, or the array itself where that is not installed."""
    try:
        import array_api_strict
    except ImportError:
        return a
    return array_api_strict.asarray(a)


# Arrays of any number of axes.
SAME: dict[str, Form] = {
    "reversed view": _reversed,
    "every other row": _every_other,
    "read-only": _read_only,
    "memory map": _mapped,
    "objects": _as_objects,
    "nested list": lambda a: a.tolist(),
    "tuple of lists": lambda a: tuple(a.tolist()),
    "tensor": _tensor(),
    "tensor with gradients": lambda a: torch.tensor(a, dtype=torch.float64, requires_grad=True),
    "tensor made by an operation": lambda a: torch.tensor(a, dtype=torch.float64, requires_grad=True) * 1,
    "bfloat16": _tensor(dtype=torch.bfloat16),
    "bfloat16 with gradients": _tensor(dtype=torch.bfloat16, requires_grad=True),
    "float16 tensor": _tensor(dtype=torch.float16),
    "flipped tensor": lambda a: torch.tensor(_reversed(a).copy()).flip(0).flip(0),
    "list of tensors": lambda a: list(torch.tensor(a)),
    "list of tensors with gradients": lambda a: list(torch.tensor(a, dtype=torch.float64, requires_grad=True)),
    "list of arrays": lambda a: list(a),
    "array API strict": strict,
    "float32": lambda a: a.astype(np.float32),
    "float16": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "subclass of tensor": lambda a: torch.nn.Parameter(torch.tensor(a, dtype=torch.float64)),
}
SAME_ROWS: dict[str, Form] = {
    "Fortran order": np.asfortranarray,
    "transposed tensor": lambda a: torch.tensor(a.T.copy()).T,
    "list of Python objects": lambda a: [_as_objects(row) for row in a],
    "nullable frame": lambda a: pd.DataFrame(a).astype("Float64").rename(columns=str),
    "frame": lambda a: pd.DataFrame(a),
    "polars": lambda a: pl.DataFrame(a),
}
SAME_COLUMN: dict[str, Form] = {
    "Series": pd.Series,
    "Series of objects": lambda a: pd.Series(_as_objects(a)),
    "nullable Series": lambda a: pd.Series(a).astype("Float64"),
    "polars Series": lambda a: pl.Series("y", a),
    "column": lambda a: a.reshape(-1, 1),
    "column tensor": lambda a: torch.tensor(a.reshape(-1, 1)),
    "shuffled index": lambda a: pd.Series(a, index=np.arange(len(a))[::-1]),
}
SAME_LABELS: dict[str, Form] = {
    "text": lambda a: np.array([f"class {int(v)}" for v in a]),
    "text as objects": lambda a: np.array([f"class {int(v)}" for v in a], dtype=object),
    "list of text": lambda a: [f"class {int(v)}" for v in a],
    "int8": lambda a: a.astype(np.int8),
    "uint64": lambda a: a.astype(np.uint64),
    "int tensor": _tensor(dtype=torch.int64),
    "uint8 tensor": _tensor(dtype=torch.uint8),
    "integers beyond float64": lambda a: a.astype(np.int64) + 2**62,
    "categories": lambda a: pd.Series(a.astype(int)).astype("category"),
    "categories of text": lambda a: pd.Categorical([f"class {int(v)}" for v in a]),
    "pandas strings": lambda a: pd.Series([f"class {int(v)}" for v in a]).astype("string"),
    "Python ints": lambda a: [int(v) for v in a],
    "fractions of one class": lambda a: a * 2.0,
}


def _with(place: Any, value: Any) -> Form:
    def form(a: np.ndarray) -> np.ndarray:
        a = a.astype(np.float64)
        a[place] = value
        return a

    return form


def _with_object(value: Any) -> Form:
    def form(a: np.ndarray) -> np.ndarray:
        out = _as_objects(a)
        out.flat[1] = value
        return out

    return form


BAD: dict[str, Form] = {
    "dict": lambda a: {"a": a},
    "empty dict": lambda a: {},
    "empty list": lambda a: [],
    "empty tuple": lambda a: (),
    "no rows": lambda a: a[:0],
    "None": lambda a: None,
    "one text": lambda a: "a text",
    "number": lambda a: 3.0,
    "set": lambda a: set(a.ravel().tolist()),
    "generator": lambda a: (row for row in a),
    "object": lambda a: object(),
    "class": lambda a: object,
    "function": lambda a: len,
    "range of nothing": lambda a: range(0),
    "scalar array": lambda a: np.array(1.0),
    "scalar tensor": lambda a: torch.tensor(1.0),
    "one too few": lambda a: a[:-1],
    "one too many": lambda a: np.concatenate([a, a[:1]]),
    "tensor too short": lambda a: torch.tensor(a[:-1]),
    "list too long": lambda a: [*a.tolist(), *a[:2].tolist()],
    "one row": lambda a: a[:1],
    "NaN": _with(0, np.nan),
    "infinite": _with(0, np.inf),
    "all NaN": lambda a: np.full_like(a, np.nan),
    "None inside": _with_object(None),
    "text inside": _with_object("a"),
    "NA inside": _with_object(pd.NA),
    "NaT inside": _with_object(pd.NaT),
    "list inside": _with_object([1, 2]),
    "dict inside": _with_object({}),
    "complex inside": _with_object(1j),
    "tensor with NaN": lambda a: torch.tensor(_with(0, np.nan)(a)),
    "bfloat16 with infinity": lambda a: torch.tensor(_with(0, np.inf)(a), dtype=torch.bfloat16),
    "complex": lambda a: a + 1j,
    "complex tensor": lambda a: torch.tensor(a + 1j),
    "conjugate tensor": lambda a: torch.tensor(a + 1j).conj(),
    "strict complex": lambda a: strict(a + 1j),
    "meta tensor": lambda a: torch.empty(a.shape, device="meta"),
    "sparse tensor": lambda a: torch.tensor(a).to_sparse(),
    "nested tensor": lambda a: torch.nested.nested_tensor(list(torch.tensor(a).reshape(len(a), -1))),
    "dates": lambda a: a.astype(np.int64).astype("datetime64[s]"),
    "time differences": lambda a: a.astype(np.int64).astype("timedelta64[s]"),
    "records": lambda a: np.zeros(len(a), dtype=[("a", float), ("b", int)]),
    "masked": lambda a: np.ma.masked_less(a, 0),
    "void": lambda a: np.zeros(len(a), dtype="V4"),
    "bytes": lambda a: b"bytes",
    "1e39": lambda a: a * 1e39,
    "1e60": lambda a: a * 1e60,
    "1e160": lambda a: a * 1e160,
    "1e300": lambda a: a * 1e300,
    "one of 1e30": _with(0, 1e30),
    "one of 1e60": _with(0, 1e60),
    "one of 1e155": _with(0, 1e155),
    "one of -1e308": _with(0, -1e308),
    "largest": _with(0, np.finfo(np.float64).max),
    "1e-310": lambda a: a * 1e-310,
    "large integers": lambda a: (a * 2**60).astype(np.int64),
    "constant": lambda a: np.zeros_like(a),
    "ragged": lambda a: [[1.0], [2.0, 3.0]] * (len(a) // 2),
    "True": lambda a: np.ones(a.shape, dtype=bool),
    "four axes": lambda a: np.zeros((len(a), 2, 2, 2, 2)),
}
BAD_ROWS: dict[str, Form] = {
    "no columns": lambda a: a[:, :0],
    "fewer columns": lambda a: a[:, :-1],
    "more columns": lambda a: np.hstack([a, a]),
    "one-dimensional": lambda a: a[:, 0],
    "one-dimensional tensor": lambda a: torch.tensor(a[0]),
    "sparse": sparse.csr_matrix,
    "sparse array": sparse.coo_array,
    "matrix": lambda a: np.asmatrix(a) if a.ndim == 2 else a,
    "text rows": lambda a: a.astype(str),
    "words": lambda a: [["a", "b"]] * len(a),
    "frame of text": lambda a: pd.DataFrame(a).astype(str),
    "frame with missing": lambda a: pd.DataFrame(_with(0, np.nan)(a)).convert_dtypes(),
}
BAD_COLUMN: dict[str, Form] = {
    "labels of bytes": lambda a: np.array([b"class %d" % int(v) for v in a]),
    "table": lambda a: np.stack([a, a], axis=1),
    "one class": lambda a: np.ones_like(a),
    "all -1": lambda a: -np.ones_like(a),
    "negative": lambda a: -1 - a,
    "fractions": lambda a: a + 0.5 * np.arange(len(a)),
    "mixed types": lambda a: [int(v) if i % 2 else f"class {int(v)}" for i, v in enumerate(a)],
    "dates with NaT": lambda a: pd.Series(pd.to_datetime(a)).where(a > 0),
    "categories with missing": lambda a: pd.Series(a).where(a > 0).astype("category"),
    "nullable with missing": lambda a: pd.Series(a).where(a > 0).astype("Float64"),
    "scalar 1e39": lambda a: 1e39,
    "scalar 1e308": lambda a: 1e308,
    "scalar 0": lambda a: 0.0,
    "1e308 each": lambda a: np.full(a.shape, 1e308),
    "1e-308 each": lambda a: np.full(a.shape, 1e-308),
    "5e-324 each": lambda a: np.full(a.shape, 5e-324),
    "one of 1e39": _with(slice(0, 1), 1e39),
}
