"""What the advisor is given: rows of one kind, some of them with labels, of one or more domains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import check_classes, check_length, domain_column, looks_continuous, sorted_names
from sktl._domain_names import as_python
from sktl._inputs import ROWS, InputKind, read, understand
from sktl._magnitudes import check_not_vanishing
from sktl._unlabelled import as_labels, is_labelled, known_labels, warn_of_three_way_labels
from sktl._unlabelled import is_missing as is_missing_label
from sktl._validation import shorten
from sktl.exceptions import BadImageError
from sktl.images import picture_suffixes
from sktl.texts import as_texts, is_missing

TEXT = "text"
LOOKED_AT = 100  # strings, to tell text from paths
LEAST_A_CLASS = 2  # rows in a sample: one is left out, the other tells


@dataclass(frozen=True)
class Problem:
    """Rows and labels, checked, and a sample of them.

    Attributes
    ----------
    kind : {"pictures", "flattened pictures", "feature rows", "text"}
        What X holds.
    X
        All rows; feature rows as an array.
    classes : ndarray
        The labels, sorted.
    sizes : ndarray of int, shape (n_classes,)
        Labelled rows of each class, before sampling.
    labelled, unlabelled : ndarray of int
        Row numbers in the sample.
    number : ndarray of int
        The class of each row of `labelled`.
    n_unlabelled : int
        Before sampling.
    domain_names : list
        Of `sample_domain`, sorted; empty without it.
    domain : ndarray of int, shape (n,), or None
        The domain of each row.
    """

    kind: str
    X: Any
    classes: np.ndarray
    sizes: np.ndarray
    labelled: np.ndarray
    unlabelled: np.ndarray
    number: np.ndarray
    n_unlabelled: int
    domain_names: list
    domain: np.ndarray | None

    @property
    def n_labelled(self) -> int:
        """Rows with a label, before sampling."""
        return int(self.sizes.sum())

    @property
    def is_pictures(self) -> bool:
        """Whether a pretrained network of pictures applies."""
        return self.kind not in (ROWS, TEXT)

    def without(self, rows: set[int]) -> Problem:
        """Leave rows out of the sample."""
        if not rows:
            return self
        gone = np.fromiter(rows, dtype=int)
        kept = ~np.isin(self.labelled, gone)
        return replace(
            self, labelled=self.labelled[kept], number=self.number[kept],
            unlabelled=self.unlabelled[~np.isin(self.unlabelled, gone)],
        )  # fmt: skip


def read_problem(advisor: Any, X: Any, y: Any, sample_domain: Any, network: Any) -> Problem:
    """Check what `fit` was given, and draw the sample.

    Raises
    ------
    TypeError, ValueError
        If rows, labels or domains are malformed, y holds values rather than labels, or one class.
    """
    name = type(advisor).__name__
    if y is None:
        raise ValueError(f"This {name} requires y to be passed, but the target y is None.")
    X, kind = read_rows(advisor, X, network)
    return labelled_problem(advisor, X, kind, y, sample_domain)


def read_rows(advisor: Any, X: Any, network: Any) -> tuple[Any, str]:
    """Return the rows, and what they are; what was understood is noted as the advisor's `_kind`."""
    if is_text(X):
        advisor._kind = InputKind(TEXT)
        return as_texts(X), TEXT
    advisor._kind = understand(advisor, X, network)
    kind = advisor._kind.name
    rows = read(advisor, X, advisor._kind, reset=True)
    if kind != ROWS:
        return rows_on_host(X), kind
    if getattr(rows, "dtype", np.dtype("O")).kind == "f":
        check_not_vanishing(rows)
    return rows, kind


def labelled_problem(advisor: Any, X: Any, kind: str, y: Any, sample_domain: Any) -> Problem:
    """Check labels and domains of rows that were read, and draw the sample."""
    name, n = type(advisor).__name__, n_rows(X)
    y = as_labels(y)
    check_length(y, n, "y")
    has_label = is_labelled(y, advisor.unlabelled)
    labels = known_labels(y, has_label)
    if len(labels) and labels.dtype.kind == "f" and looks_continuous(labels):
        raise ValueError(
            f"Unknown label type: continuous. y holds values such as {labels[0]:g}, and {name} learns classes. For "
            "values take AutoTransferRegressor, or CNNCodesTransformer and any regressor; or cut y into classes."
        )
    check_classes(labels)
    classes, number = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        found = f"one class only, {classes.tolist()[0]!r}" if len(classes) else "no label at all"
        marked = "" if has_label.all() else f" beside {(~has_label).sum()} unlabelled rows"
        if marked and not is_missing_label(y)[~has_label].all():
            marked += f". If {advisor.unlabelled!r} is a class, set unlabelled=None (every row is labelled)"
        raise ValueError(f"{name} compares classes and needs labelled rows of two or more; y holds {found}{marked}.")
    warn_of_three_way_labels(y, has_label, advisor.unlabelled)
    names, domain = [], None
    if sample_domain is not None:
        values, domain = sorted_names(domain_column(sample_domain, n))
        names = as_python(values)
    rng = np.random.default_rng(advisor.random_state)
    sizes, rows_with_label = np.bincount(number), np.flatnonzero(has_label)
    kept = stratified(number, sizes, advisor.max_samples, rng)
    others = np.flatnonzero(~has_label)
    drawn = np.sort(rng.permutation(others)[: advisor.max_samples])
    return Problem(
        kind, X, classes, sizes, rows_with_label[kept], drawn, number[kept], len(others), names, domain
    )  # fmt: skip


def check_classes_left(problem: Problem, unreadable: Mapping[int, str]) -> None:
    """Raise where rows that cannot be read leave labels of one class only.

    Raises
    ------
    BadImageError
        With all of them by index.
    """
    left = np.unique(problem.number)
    if len(left) < 2:
        raise BadImageError(
            f"{len(unreadable)} pictures cannot be read, and the others are of one class, "
            f"{problem.classes[left].tolist()}: {shorten(unreadable.values(), most=3)}. Two classes are needed.",
            dict(sorted(unreadable.items())),
        )


def stratified(number: np.ndarray, sizes: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return up to `most` places of rows, in order: each class by its share, but at least two rows of it.

    Where classes are too many for that, some classes are drawn, with two rows each.
    """
    n = len(number)
    if n <= most:
        return np.arange(n)
    order = rng.permutation(n)
    in_class = order[np.argsort(number[order], kind="stable")]
    rank = np.empty(n, dtype=int)
    rank[in_class] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = (rank + rng.random(n)) / sizes[number]
    place[rank < LEAST_A_CLASS] = -1
    if LEAST_A_CLASS * len(sizes) > most:
        several = np.flatnonzero(sizes >= LEAST_A_CLASS)
        several = several if len(several) else np.arange(len(sizes))
        drawn = rng.permutation(several)[: max(2, most // LEAST_A_CLASS)]
        place[~np.isin(number, drawn)] = np.inf
        most = min(most, int(np.minimum(sizes[drawn], LEAST_A_CLASS).sum()))
    return np.sort(np.argsort(place, kind="stable")[:most])


def is_text(X: Any) -> bool:
    """Whether X holds strings of which most are neither files nor named like pictures; some may be missing.

    A list or column of them, or a table of one column. A word such as "and/or" is no file among sentences.
    """
    values = rows_on_host(X)
    if len(getattr(values, "columns", ())) == 1:
        values = values[values.columns[0]]
    elif isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "OUT":
        values = values[:, 0]
    is_column = isinstance(values, (list, tuple)) or (getattr(values, "ndim", None) == 1 and len(values))
    if not is_column or not len(values):
        return False
    some = [value for _, value in zip(range(LOOKED_AT), values) if not is_missing(value)]
    if not some or not all(isinstance(value, str) for value in some):
        return False
    suffixes = picture_suffixes()
    files = [
        PurePath(value).suffix.lower() in suffixes
        or _exists(value)
        or (os.sep in value and not set(value) & set(" \n"))
        for value in some
    ]
    return sum(files) < len(files) / 2


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except (ValueError, OSError):  # a text with a null character, or longer than any name
        return False


def described(problem: Problem) -> str:
    """Return the rows in words: '120 pictures of 2 classes'."""
    noun = {ROWS: "rows of features", TEXT: "texts"}.get(problem.kind, "pictures")
    text = f"{problem.n_labelled} labelled {noun} of {len(problem.classes)} classes"
    if problem.n_unlabelled:
        text += f", {problem.n_unlabelled} unlabelled"
    if problem.domain_names:
        text += f", of {len(problem.domain_names)} domains ({shorten(problem.domain_names, most=5)})"
    return text
