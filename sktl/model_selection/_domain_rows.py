"""Which rows belong together when domains are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from sktl._array_api import n_rows
from sktl._columns import check_classes, check_length, domain_column, sorted_names
from sktl._domain_names import as_python
from sktl._unlabelled import as_labels, is_labelled, known_labels
from sktl._validation import shorten


@dataclass(frozen=True)
class Strata:
    """Domain and class of each row.

    Attributes
    ----------
    names : list
        Of the domains, sorted.
    domain : ndarray of shape (n,)
        Each row's number in `names`.
    label : ndarray of shape (n,)
        Class numbers, -1 where a row is unlabelled.
    classes : ndarray
        What the numbers stand for.
    """

    names: list
    domain: np.ndarray
    label: np.ndarray
    classes: np.ndarray


def strata(splitter: str, X: Any, y: Any, groups: Any, unlabelled: Any) -> Strata:
    """Return the rows' domains, from `groups` or else from the mark, and their classes.

    Raises
    ------
    ValueError
        If y or a second domain is missing, or y holds no classes.
    """
    if y is None:
        raise ValueError(f"{splitter} needs y, whose classes it spreads over the splits; got y=None.")
    y = as_labels(y)
    check_length(y, n_rows_of(X, y, None), "y")
    labelled = is_labelled(y, unlabelled)
    labels = known_labels(y, labelled)
    check_classes(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    label = np.full(len(y), -1)
    label[labelled] = numbers
    if groups is not None:
        names, domain = domains(splitter, groups, len(y))
        if len(names) < 2:
            raise ValueError(
                f"{splitter} splits two or more domains, but groups holds one only, {names[0]!r}. Leave groups out to "
                "take unlabelled rows for the target, or use StratifiedKFold."
            )
        return Strata(names, domain, label, classes)
    if labelled.all() or not labelled.any():
        which = "labelled" if labelled.all() else "unlabelled"
        raise ValueError(
            f"{splitter} takes labelled rows for the source and unlabelled rows for the target, but all {len(y)} rows "
            f"are {which} (unlabelled={unlabelled!r}). Mark the target's rows, give each row's domain as groups, or "
            "use StratifiedKFold."
        )
    return Strata(["source", "target"], (~labelled).astype(int), label, classes)


def domains(splitter: str, groups: Any, n: int) -> tuple[list, np.ndarray]:
    """Return the domains' sorted names, and each row's number.

    Raises
    ------
    ValueError
        If groups are missing, in whole or in part, or of a wrong length.
    """
    if groups is None:
        raise ValueError(f"{splitter} needs each row's domain as groups; got groups=None.")
    names, of_row = sorted_names(domain_column(groups, n, "groups"), "groups")
    return as_python(names), of_row


def label_mask(y: Any, n: int, unlabelled: Any) -> np.ndarray:
    """Return which rows have a label: all, if there is no y."""
    if y is None:
        return np.ones(n, dtype=bool)
    y = as_labels(y)
    check_length(y, n, "y")
    return is_labelled(y, unlabelled)


def n_rows_of(X: Any, y: Any, groups: Any) -> int:
    """Return the number of rows, of X where there is one."""
    name, values = next(
        part for part in (("X", X), ("y", y), ("groups", groups)) if part[1] is not None or part[0] == "groups"
    )
    return n_rows(values, name)


def refuse_small(splitter: str, found: Strata, at_least: int, remedy: str) -> None:
    """Raise if a domain has fewer rows than that."""
    sizes = np.bincount(found.domain, minlength=len(found.names))
    small = [f"{name!r} with {size}" for name, size in zip(found.names, sizes.tolist()) if size < at_least]
    if small:
        raise ValueError(
            f"{splitter} needs at least {at_least} rows of each domain; too small: {shorten(small)}. {remedy}"
        )


def by_class(found: Strata, domain: int, rng: np.random.Generator | None) -> np.ndarray:
    """Return a domain's rows one class after another, in random order within a class if there is a generator."""
    rows = np.flatnonzero(found.domain == domain)
    within = np.arange(len(rows)) if rng is None else rng.permutation(len(rows))
    return rows[np.lexsort((within, found.label[rows]))]


def check_integer(name: str, value: Any, at_least: int, *, or_none: bool = False) -> None:
    """Raise unless it is an integer of at least that size."""
    if or_none and value is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        allowed = " or None" if or_none else ""
        raise ValueError(f"{name} must be an integer, at least {at_least}{allowed}; got {value!r}.")


def check_random_state(value: Any, at_least: float = 0) -> None:
    """Raise unless it is an integer of at least that size, a RandomState, or None."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool) and float(value) >= at_least
    if not (value is None or is_integer or isinstance(value, np.random.RandomState)):
        raise ValueError(
            "random_state must be an integer, at least 0, which makes every call split alike; or None or a "
            f"RandomState, for another split in every call; got {value!r}."
        )


def check_share(name: str, value: Any) -> None:
    """Raise unless it is a number between 0 and 1."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < 1:
        raise ValueError(f"{name} must be a share of each domain's rows, between 0 and 1; got {value!r}.")


def sorted_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return all row numbers in order."""
    return np.sort(np.concatenate(parts))
