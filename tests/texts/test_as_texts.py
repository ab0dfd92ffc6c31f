"""Texts in any form, and what is refused, by row."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from sktl.texts import as_texts

TEXTS = ["a film", "", "שלום עולם", "good 🙂", "two\nlines"]


@pytest.mark.parametrize(
    "hold",
    [
        list,
        tuple,
        np.array,
        lambda t: np.array(t, dtype=object),
        lambda t: np.array(t)[:, None],
        lambda t: [[text] for text in t],
        pd.Series,
        lambda t: pd.Series(t, dtype="string"),
        lambda t: pd.Series(t, dtype="category"),
        lambda t: pd.DataFrame({"text": t}),
        pl.Series,
        lambda t: pl.DataFrame({"text": t}),
        lambda t: pa.table({"text": t}),
        lambda t: pa.chunked_array([t]),
        pa.array,
    ],
)
def test_all_forms_are_read_alike(hold):
    assert as_texts(hold(TEXTS)) == TEXTS


@pytest.mark.parametrize("nothing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_missing_texts_are_named_by_row(nothing):
    with pytest.raises(ValueError, match=r"NaN or None in 2 of 4 rows: 1, 3\. .*fillna"):
        as_texts(["a", nothing, "b", nothing])


def test_missing_texts_of_a_series_are_named():
    with pytest.raises(ValueError, match="in 1 of 2 rows: 1"):
        as_texts(pd.Series(["a", None], dtype="string"))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("one text", ValueError, r"one string, 'one text'.*Pass \[X\]"),
        (np.array("one text"), ValueError, r"single value.*Pass \[X\]"),
        (b"bytes", TypeError, "type bytes"),
        (Path("a.txt"), TypeError, "of texts"),
        (["a", 3, None, 4.5], TypeError, r"3 of 4 entries are not text: \[1\] int, \[2\] NoneType, \[3\] float"),
        (["a", b"b", b"c"], TypeError, r"2 of 3 entries.*\[1\] bytes, \[2\] bytes.*decode\('utf-8'\)"),
        ([Path("a.txt")], TypeError, r"\[0\] PosixPath.*read_text"),
        ([1.5, 2.5], TypeError, r"\[0\] float.*map\(str"),
        (np.zeros((3, 2)), ValueError, r"shape \(3, 2\)"),
        (np.zeros(3), TypeError, r"\[0\] float, \[1\] float"),
        (sparse.csr_array((3, 2)), TypeError, "sparse matrix"),
        (pd.DataFrame({"title": ["a"], "body": ["b"]}), ValueError, r"2 columns, 'title', 'body'.*X\['title'\]"),
        (pl.DataFrame({"title": ["a"], "body": ["b"]}), ValueError, r"2 columns, 'title', 'body'"),
        (pa.table({"title": ["a"], "body": ["b"]}), ValueError, r"2 columns, 'title', 'body'"),
        (pd.DataFrame(index=range(3)), ValueError, "without a column"),
        ((text for text in "ab"), TypeError, r"generator.*list\(X\)"),
        ({"a": 1}, TypeError, "dict"),
        (5, TypeError, "int"),
        ([["a", "film"], ["books"]], TypeError, r"\[0\] list.*' '\.join\(words\) for words in X"),
        (pd.DataFrame([["a", "b"]], columns=["t", "t"]), ValueError, r"of the same name.*X\.iloc\[:, 0\]"),
        (pl.DataFrame({"title": ["a"]}).lazy(), TypeError, r"LazyFrame.*X\.collect\(\)"),
        (["a", "\ud800", "b"], ValueError, "lone surrogates.*rows 1"),
    ],
)
def test_what_is_no_text_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        as_texts(X)
