"""Checks of y, and the part of the examples that is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from sktl._columns import plain
from sktl._unlabelled import as_labels

HELD_OUT_FROM = 1000  # examples from which early_stopping="auto" holds some out


def check_known_weights(class_weight: Any) -> None:
    """Raise a ValueError if the classes' weights depend on rows yet to come."""
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight={class_weight!r} needs all rows at once, and partial_fit sees a part. Give weights "
            "by class in a dict; sklearn.utils.class_weight.compute_class_weight computes them."
        )


def as_class_numbers(y: np.ndarray, known: np.ndarray | None, classes: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels' numbers and the sorted classes: those `known` of an earlier call, or named, or found.

    Raises
    ------
    ValueError
        If a label is none of them, or there is one class only.
    """
    found = np.unique(y)
    named = None if classes is None else np.unique(plain(as_labels(classes, "classes")))
    if known is None:
        known = found if named is None else named
    elif named is not None and not np.array_equal(named, known):
        raise ValueError(f"classes={named.tolist()} is not the same as on the first call: {known.tolist()}.")
    unseen = np.setdiff1d(found, known)
    if len(unseen):
        raise ValueError(
            f"y has labels that were not there before: {', '.join(map(repr, unseen.tolist()))}; the classes are "
            f"{known.tolist()}. Name all classes in the first partial_fit, or fit again with warm_start=False."
        )
    if len(known) < 2:
        raise ValueError(
            f"{name} needs samples of at least 2 classes in the data, but the data contains only one class: "
            f"{known.tolist()[0]!r}."
        )
    return np.searchsorted(known, y).astype(np.int64), known


def is_wanted(early_stopping: bool | str, n_examples: int) -> bool:
    """Whether a part is to be held out."""
    return n_examples >= HELD_OUT_FROM if early_stopping == "auto" else bool(early_stopping)


def stratified_parts(
    target: np.ndarray, early_stopping: bool | str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return indices to train and to validate on, each class in both; None where nothing is held out."""
    if not is_wanted(early_stopping, len(target)):
        return None
    names, counts = np.unique(target, return_counts=True)
    n_valid = int(np.ceil(fraction * len(target)))
    if counts.min() < 2 or n_valid < len(names) or len(target) - n_valid < len(names):
        if early_stopping == "auto":
            return None
        raise ValueError(
            f"validation_fraction={fraction} of {len(target)} examples is {n_valid}, and the smallest of {len(names)} "
            f"classes has {counts.min()}: a class would be left out of one part. Choose another fraction, give more "
            "examples, or set early_stopping=False."
        )
    return next(StratifiedShuffleSplit(1, test_size=n_valid, random_state=seed % 2**32).split(target, target))


def random_parts(
    target: np.ndarray, early_stopping: bool | str, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return indices to train and to validate on, at random; None where nothing is held out."""
    if not is_wanted(early_stopping, len(target)):
        return None
    n_valid = int(np.ceil(fraction * len(target)))
    if len(target) - n_valid < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {len(target)} examples leaves {len(target) - n_valid} to train on. "
            "Choose a smaller fraction, or set early_stopping=False."
        )
    return next(ShuffleSplit(1, test_size=n_valid, random_state=seed % 2**32).split(target))
