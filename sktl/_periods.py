"""Periods in the order of time: numbers and dates by size, ordered categories by their own order, text as text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sktl._columns import domain_column, sorted_names
from sktl._domain_names import domain_name
from sktl._warn_once import warn_user

YEAR = re.compile(r"(?:19|20)\d\d")
DIGITS = re.compile(r"\d+")
MONTH = re.compile(r"(?<![a-z])(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*", re.IGNORECASE)
MONTHS = "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"


def in_order_of_time(
    values: Any, n_expected: int | None, name: str = "sample_domain", rows: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of periods in their order, and each row's number.

    Ordered categories (an ordered ``Categorical`` of pandas, an ``Enum`` of polars) say themselves what comes first.
    Text is sorted as text, with a warning where its numbers or years would stand in another order.

    Parameters
    ----------
    values : array-like of shape (n,)
        Each row's period.
    n_expected : int or None
        How many there must be.
    name : str, default="sample_domain"
        What messages call them.
    rows : ndarray of int, default=None
        Which rows are looked at; all by default.

    Raises
    ------
    TypeError, ValueError
        If there is not one period a row, or they cannot be sorted.
    """
    column = domain_column(values, n_expected, name)
    names, of_row = sorted_names(column if rows is None else column[rows], name)
    place = {domain_name(category): i for i, category in enumerate(ordered_categories(values))}
    if place and all(domain_name(one) in place for one in names):
        order = np.argsort([place[domain_name(one)] for one in names])
        return names[order], np.argsort(order)[of_row]
    check_text_order(names, name)
    return names, of_row


def ordered_categories(values: Any) -> list[Any]:
    """Return the categories of a column that has ordered ones, in their order; none of another column."""
    dtype: Any = getattr(values, "dtype", None)
    if getattr(dtype, "ordered", False) and hasattr(dtype, "categories"):  # pandas' Categorical
        return list(dtype.categories)
    if type(dtype).__name__ == "Enum" and type(dtype).__module__.startswith("polars"):
        return list(dtype.categories)
    return []


def check_text_order(names: np.ndarray, name: str) -> None:
    """Warn where periods are text that sorts otherwise than the numbers in it: week 10 before week 9."""
    texts = [str(one) for one in names if isinstance(one, str)]
    if len(texts) < 2 or len(texts) < len(names):
        return
    times = _times(texts)
    for before, after, first, second in zip(texts, texts[1:], times, times[1:]):
        if first > second:
            warn_user(
                f"The periods in {name} are text, and are taken in the order of text: {before!r} comes before "
                f"{after!r}. If that is not the order of time, give numbers or dates, fill up with zeros ('09', "
                "'2024-01'), or use ordered categories (pandas.Categorical(..., ordered=True))."
            )
            return


def _times(texts: list[str]) -> list[tuple[int, ...]]:
    """Return what each text says of time: year and month, if all have one, and numbers, if all else is alike."""
    years, months = ([pattern.findall(text) for text in texts] for pattern in (YEAR, MONTH))
    parts: list[list[int]] = [[] for _ in texts]
    if all(len(found) == 1 for found in years):
        parts = [[int(year)] for (year,) in years]
    if all(len(found) == 1 for found in months):
        parts = [[*part, MONTHS.index(month.lower())] for part, (month,) in zip(parts, months)]
    if len({DIGITS.sub("", MONTH.sub("", text)) for text in texts}) == 1:
        parts = [[*part, *map(int, DIGITS.findall(text))] for part, text in zip(parts, texts)]
    return [tuple(part) for part in parts]
