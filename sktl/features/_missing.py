"""Pictures that are missing in a column: which they are, and what stands for their codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sktl._array_api import take_rows
from sktl._validation import shorten
from sktl.images import is_url, looks_like_base64
from sktl.texts import is_missing

MISSING = ("error", "mean", "zero")
INDICATOR = "missing"


def missing_rows(X: Any) -> np.ndarray | None:
    """Return which entries of one column are missing (None, NaN, empty text), bool (n,); None where X is no column."""
    values = column_of(X)
    if values is None:
        return None
    return np.asarray(
        [is_missing(item) or (isinstance(item, (str, bytes)) and not item.strip()) for item in values], dtype=bool
    )


def present(X: Any, missing: str, root: Any = None) -> tuple[Any, np.ndarray | None]:
    """Return the rows of X that have a picture, paths in `root`, and which rows lack one; None where none may.

    Raises
    ------
    ValueError
        If pictures are missing and may not be; all rows are named.
    """
    lacking = missing_rows(X)
    if lacking is not None and missing == "error":
        if lacking.any():
            rows = np.flatnonzero(lacking).tolist()
            raise ValueError(
                f"{len(rows)} of {len(lacking)} pictures are missing (None, NaN or empty text), in rows "
                f"{shorten(rows)}. Leave these rows out, or pass missing='mean' or missing='zero', which put a code in "
                "their place and add a column that says so."
            )
        lacking = None
    if lacking is not None and lacking.any():
        X = take_rows(X, np.flatnonzero(~lacking))
    if root is not None and (values := column_of(X)) is not None:
        X = [_in_root(item, root) for item in values]
    return X, lacking if missing != "error" else None


def _in_root(item: Any, root: str | Path) -> Any:
    is_path = isinstance(item, os.PathLike) or (isinstance(item, str) and not looks_like_base64(item))
    if not is_path or is_url(item):
        return item
    return f"{str(root).rstrip('/')}/{os.fspath(item)}" if is_url(root) else Path(root) / item


def column_of(X: Any) -> list[Any] | None:
    """Return the entries of a column of objects or texts; None where X holds numbers, or several columns."""
    if isinstance(X, (list, tuple)):
        return list(X)
    columns = getattr(X, "column_names", None) if hasattr(X, "to_pydict") else getattr(X, "columns", None)
    if columns is not None:
        return column_of(X[next(iter(columns))]) if len(columns) == 1 else None
    if isinstance(X, np.ndarray):
        is_column = X.dtype.kind in "OUST" and (X.ndim == 1 or (X.ndim == 2 and X.shape[1] == 1))
        return X.ravel().tolist() if is_column else None
    for method in ("to_pylist", "to_list"):
        if hasattr(X, method):
            return list(getattr(X, method)())
    return None


@dataclass(frozen=True)
class WithGaps:
    """Rows, some of which lack a picture.

    Attributes
    ----------
    source : PictureSource or None
        The pictures that there are; None without any.
    lacking : ndarray of bool
        Which rows lack one.
    """

    source: Any
    lacking: np.ndarray

    def __len__(self) -> int:
        return len(self.lacking)


@dataclass(frozen=True)
class GapFiller:
    """Computes the codes of pictures, puts one in the place of missing ones, and adds a column that says which.

    Attributes
    ----------
    extractor : Extractor
        Of pictures.
    fill : ndarray of shape (n_features,)
        What stands for the code of a missing one.
    codes_of : callable(extractor, source) -> ndarray
        How the codes of the pictures are had.
    watch : callable(n) or None
        Told of how many pictures there are codes by now.
    """

    extractor: Any
    fill: np.ndarray
    codes_of: Callable[[Any, Any], np.ndarray]
    watch: Callable[[int], None] | None = field(default=None, compare=False)

    def codes(self, rows: WithGaps) -> np.ndarray:
        """Return the codes of all rows, float32 of shape (n, n_features + 1)."""
        out = np.empty((len(rows), len(self.fill) + 1), dtype=np.float32)
        out[:, -1] = rows.lacking
        out[rows.lacking, :-1] = self.fill
        if rows.source is not None:
            out[~rows.lacking, :-1] = self.codes_of(replace(self.extractor, watch=self.watch), rows.source)
        return out

    def iter_codes(
        self, rows: WithGaps, block_size: int | None = None
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Yield (index of the first row, codes) in order, in blocks of `block_size`."""
        size = block_size or 1024
        extractor = replace(self.extractor, watch=self.watch)
        parts = extractor.iter_codes(rows.source) if rows.source is not None else ()
        codes = (code for _, part in parts for code in part)
        for start in range(0, len(rows), size):
            lacking = rows.lacking[start : start + size]
            out = np.empty((len(lacking), len(self.fill) + 1), dtype=np.float32)
            out[:, -1] = lacking
            for row, is_lacking in enumerate(lacking):
                out[row, :-1] = self.fill if is_lacking else next(codes)
            yield start, out


def gap_filler(transformer: Any, extractor: Any) -> GapFiller:
    """Return what fills the gaps of a fitted transformer: the mean that it has learned, or zeros."""
    fill = transformer._fill
    if fill is None:
        fill = np.zeros(transformer._n_features_out - 1, dtype=np.float32)
    return GapFiller(extractor, fill, transformer._codes_of)
