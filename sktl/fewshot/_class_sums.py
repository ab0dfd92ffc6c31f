"""Prototypes as running sums: what is added to them, and what they say of rows."""

from __future__ import annotations

import numpy as np

CERTAIN = 1e3  # logit of a label that all examples have, or none


def class_sums(
    codes: np.ndarray, which: np.ndarray, n_classes: int, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's sum of codes (n_classes, n_codes) and number of examples (n_classes,), weighted.

    `which` holds the rows' classes, 0, 1, ...
    """
    sums = np.zeros((n_classes, codes.shape[1]))
    np.add.at(sums, which, codes if weight is None else codes * weight[:, None])
    return sums, np.bincount(which, weight, minlength=n_classes)


def label_sums(codes: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the same of the rows without each label, and of those with it: (2, n_labels, n_codes), (2, n_labels)."""
    has = np.stack([1 - y, y])  # (2, n, n_labels)
    has = has if weight is None else has * weight[:, None]
    return np.swapaxes(has, 1, 2) @ codes, has.sum(1)


def label_logits(logits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return a logit for each label, (n, n_labels), of those of the prototypes without and with it (n, 2, n_labels)."""
    found = logits[:, 1] - logits[:, 0]
    found = np.where(counts[0] == 0, CERTAIN, found)
    return np.where(counts[1] == 0, -CERTAIN, found)


def merged(
    old: np.ndarray, old_sums: np.ndarray, old_counts: np.ndarray, new: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels of both, their sums and their counts.

    Raises
    ------
    TypeError
        If the labels are of different kinds, numbers and text.
    """
    if (old.dtype.kind in "US") != (new.dtype.kind in "US") and "O" not in (old.dtype.kind, new.dtype.kind):
        raise TypeError(f"y holds labels of another type than before: {new.tolist()[:3]} after {old.tolist()[:3]}.")
    labels = np.union1d(old, new)
    all_sums = np.zeros((len(labels), sums.shape[1]))
    all_counts = np.zeros(len(labels), dtype=np.result_type(old_counts, counts))
    for some, some_sums, some_counts in ((old, old_sums, old_counts), (new, sums, counts)):
        places = np.searchsorted(labels, some)
        all_sums[places] += some_sums
        all_counts[places] += some_counts
    return labels, all_sums, all_counts
