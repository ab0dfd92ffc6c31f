"""Whose row is whose: classes, domains, and which rows are shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl._columns import check_classes, check_length, domain_column, sorted_names
from sktl._unlabelled import MARK, as_labels, is_labelled, known_labels
from sktl.displays._axes import check_count

UNKNOWN = -1  # the number of an unlabelled row's class


def classes_of(y: Any, n: int, unlabelled: Any = MARK, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Return the classes, sorted, and each row's number among them, `UNKNOWN` where it has no label; y may be None."""
    if y is None:
        return np.empty(0, dtype=object), np.full(n, UNKNOWN)
    y = as_labels(y)
    check_length(y, n, name)
    rows = is_labelled(y, unlabelled)
    labels = known_labels(y, rows)
    if len(labels):
        check_classes(labels)
    names, numbers = sorted_names(labels, name)
    of_row = np.full(n, UNKNOWN)
    of_row[rows] = numbers
    return names, of_row


def domains_of(sample_domain: Any, n: int, known: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the domains and each row's number; without `sample_domain` rows with a label are "source", else "target".

    Parameters
    ----------
    sample_domain : array-like of shape (n,) or None
        As `fit` takes it.
    n : int
        Rows.
    known : ndarray of bool, shape (n,), or None
        Which rows have a label.
    """
    if sample_domain is not None:
        return sorted_names(domain_column(sample_domain, n))
    if known is None or known.all() or not known.any():
        return np.array(["all rows"]), np.zeros(n, dtype=int)
    return np.array(["source", "target"]), (~known).astype(int)


def some_rows(groups: np.ndarray, most: int, random_state: Any) -> np.ndarray:
    """Return at most `most` rows, sorted, of each group the share that it has of all, and at least one."""
    check_count(most, "max_rows")
    if len(groups) <= most:
        return np.arange(len(groups))
    rng = np.random.default_rng(random_state)
    parts = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        parts.append(rng.permutation(rows)[: max(1, round(most * len(rows) / len(groups)))])
    return np.sort(np.concatenate(parts))
