"""What a user holds -> a list of texts."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from sktl._validation import shorten

_ACCEPTED = "a list, array or Series of texts, or one column of a data frame"


def as_texts(X: Any, *, name: str = "X") -> list[str]:
    """Return texts in any form as a list of strings.

    Parameters
    ----------
    X : sequence of str
        A list, tuple, NumPy array, Series (pandas, polars, pyarrow) of texts, or a data frame of one column of them.
        An empty string is a text. What is missing (None, NaN) is not.
    name : str, default="X"
        What messages call `X`.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError
        If `X`, or an entry in it, is no text; every such row is named.
    ValueError
        If texts are missing, `X` has several columns or none, or a text cannot be written in UTF-8.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.texts import as_texts
    >>> as_texts(np.array([["a film"], ["a book"]]))
    ['a film', 'a book']
    """
    items = _listed(X, name)
    wrong = {i: type(item).__name__ for i, item in enumerate(items) if not isinstance(item, str)}
    missing = [i for i in wrong if is_missing(items[i])]
    if len(missing) == len(wrong) and missing:
        raise ValueError(
            f"{name} contains NaN or None in {len(missing)} of {len(items)} rows: {shorten(missing)}. Leave these rows "
            f"out, or let them be empty texts: {name}.fillna('') of a Series, [text or '' for text in {name}] of a "
            "list."
        )
    if wrong:
        shown = shorten((f"[{i}] {kind}" for i, kind in wrong.items()), most=5)
        kinds = set(wrong.values())
        remedy = " Decode them: text.decode('utf-8')." if kinds <= {"bytes", "bytearray", "bytes_"} else ""
        remedy = remedy or (" Read the files: path.read_text()." if _are_paths(items, wrong) else "")
        remedy = remedy or (
            f" Texts that are cut into words are joined first: [' '.join(words) for words in {name}]."
            if all(_are_words(items[i]) for i in wrong)
            else ""
        )
        remedy = remedy or (
            " Rows of numbers go to an estimator as they are; numbers that are meant as text: map(str, ...)."
            if all(isinstance(items[i], (numbers.Number, np.ndarray, list, tuple)) for i in wrong)
            else ""
        )
        raise TypeError(
            f"{name} must be {_ACCEPTED}; {len(wrong)} of {len(items)} entries are not text: {shown}.{remedy}"
        )
    broken = [i for i, text in enumerate(items) if not _is_unicode(text)]
    if broken:
        raise ValueError(
            f"{name} holds lone surrogates, halves of characters that no file can hold, in rows {shorten(broken)}. "
            "Read the file in its encoding, or replace them: text.encode('utf-8', 'replace').decode()."
        )
    return items


def is_missing(item: Any) -> bool:
    """Whether an entry of a table stands for nothing: None, NaN, NaT or pandas' NA."""
    return (
        item is None
        or (isinstance(item, (float, np.floating)) and bool(np.isnan(item)))
        or type(item).__name__ in ("NAType", "NaTType")
    )


def _listed(X: Any, name: str) -> list[Any]:
    """Return the entries of X."""
    if isinstance(X, str):
        raise ValueError(f"{name} is one string, {X[:40]!r}, where many texts are expected. Pass [{name}].")
    if isinstance(X, (bytes, bytearray, os.PathLike)):
        raise TypeError(f"{name} is of type {type(X).__name__}; it must be {_ACCEPTED}.")
    if hasattr(X, "nnz") and hasattr(X, "toarray"):
        raise TypeError(f"{name} is a sparse matrix of numbers; it must be {_ACCEPTED}.")
    if callable(getattr(X, "collect", None)) and callable(getattr(X, "collect_schema", None)):
        raise TypeError(f"{name} is a {type(X).__name__} of polars, which holds no rows yet. Pass {name}.collect().")
    columns = getattr(X, "column_names", None) if hasattr(X, "to_pydict") else getattr(X, "columns", None)
    if columns is not None:
        return _listed(_only_column(X, list(columns), name), name)
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(X, method) and getattr(X, "ndim", 1) == 1:
            return list(getattr(X, method)())
    if getattr(X, "ndim", 1) == 0:
        raise ValueError(f"{name} is a single value, where many texts are expected. Pass [{name}].")
    if hasattr(X, "shape") and len(X.shape) > 1:
        if len(X.shape) == 2 and X.shape[1] == 1:
            return list(np.asarray(X).ravel().tolist())
        raise ValueError(f"{name} has shape {tuple(X.shape)}; it must be {_ACCEPTED}. Choose one column: {name}[:, 0].")
    if isinstance(X, Iterator) or not hasattr(X, "__len__"):
        remedy = f" Use list({name})." if isinstance(X, Iterator) else ""
        raise TypeError(f"{name} must be {_ACCEPTED}; got {type(X).__name__}.{remedy}")
    if isinstance(X, (dict, set, frozenset)):
        raise TypeError(f"{name} must be {_ACCEPTED}; got {type(X).__name__}, whose entries have no order or are keys.")
    items = list(X)
    if items and all(isinstance(item, (list, tuple, np.ndarray)) and len(item) == 1 for item in items):
        items = [item[0] for item in items]  # one column, row by row
    return items


def _only_column(X: Any, columns: list[Any], name: str) -> Any:
    if len(columns) == 1:
        return X[columns[0]]
    if not columns:
        raise ValueError(f"{name} is a data frame without a column.")
    if len(set(columns)) < len(columns):
        raise ValueError(
            f"{name} is a data frame of {len(columns)} columns, {shorten(map(repr, columns), most=5)}, some of the "
            f"same name, and texts are one. Choose it by its place: {name}.iloc[:, 0]."
        )
    raise ValueError(
        f"{name} is a data frame of {len(columns)} columns, {shorten(map(repr, columns), most=5)}, and texts are one. "
        f"Choose it: {name}[{columns[0]!r}], or sklearn.compose.ColumnTransformer([('text', TextCodesTransformer(), "
        f"{columns[0]!r}), ...]) beside the others."
    )


def _are_words(item: Any) -> bool:
    return isinstance(item, (list, tuple, np.ndarray)) and len(item) > 0 and all(isinstance(part, str) for part in item)


def _are_paths(items: list[Any], wrong: Any) -> bool:
    return all(isinstance(items[i], os.PathLike) for i in wrong)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
