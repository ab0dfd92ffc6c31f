"""What y is to a meta-learner: labels of classes, or values of a regression, and the tasks that rows belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sktl._columns import check_length, class_labels, domain_column, looks_continuous, sorted_names, target_values
from sktl._magnitudes import check_magnitude

AUTOMATIC_PART = 4  # one class in so many is held out where that is left to the learner


@dataclass(frozen=True)
class Targets:
    """Checked targets.

    Attributes
    ----------
    labels : array of shape (n,)
        Class numbers; for a regression the task of each row.
    groups : array of shape (n,) or None
        The task of each row, where tasks are given.
    values : float32 array of shape (n, n_outputs) or None
        Of a regression.
    """

    labels: np.ndarray
    groups: np.ndarray | None
    values: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Targets:
        """Return those of some rows."""
        groups = None if self.groups is None else self.groups[rows]
        return Targets(self.labels[rows], groups, None if self.values is None else self.values[rows])

    @property
    def units(self) -> np.ndarray:
        """Return what is held out whole: the groups, or else the classes."""
        return self.labels if self.groups is None else self.groups


def checked_targets(
    estimator: Any, y: Any, groups: Any, n_rows: int, takes_values: bool, is_regression: bool | None = None
) -> Targets:
    """Return y and groups of meta-training, checked.

    Raises
    ------
    ValueError
        If y is a regression and the method takes classes only, or there are no groups to draw its tasks from.
    """
    if y is None:
        raise ValueError(f"This {type(estimator).__name__} requires y to be passed, but the target y is None.")
    check_length(y, n_rows, "y")
    which = None if groups is None else sorted_names(domain_column(groups, n_rows, "groups"), "groups")[1]
    if takes_values and (is_regression or (is_regression is None and looks_continuous(y))):
        if which is None:
            raise ValueError(
                "y is continuous: a regression. Its tasks are given as groups: fit(X, y, groups=task), one task a "
                "row. Unknown label type: continuous, were it a classification."
            )
        return Targets(which, which, checked_values(estimator, y).astype(np.float32))
    y = class_labels(y, n_rows, estimator)
    labels, codes = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        raise ValueError(f"{type(estimator).__name__} needs samples of at least 2 classes; got 1 class: {labels[0]!r}.")
    return Targets(codes, which)


def checked_values(estimator: Any, y: Any) -> np.ndarray:
    """Return the values of a regression, float64 (n, n_outputs)."""
    y = target_values(y, None, estimator)
    check_magnitude(y, name="y")
    return y.reshape(len(y), -1)


def held_out(targets: Targets, fraction: float, least: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows to train and to validate on, no class (or no group) in both; None where nothing is held out."""
    if not fraction:
        return None
    units = np.unique(targets.units)
    n_valid = int(np.ceil(fraction * len(units)))
    least_valid = 1 if targets.groups is not None else 2
    if n_valid < least_valid or len(units) - n_valid < least:
        what = "classes" if targets.groups is None else "groups"
        raise ValueError(
            f"validation_fraction={fraction} of {len(units)} {what} holds out {n_valid} and leaves "
            f"{len(units) - n_valid} to train on; at least {least_valid} and {least} are needed. Choose another "
            "fraction, or 0.0 to hold none out."
        )
    return _parts(targets, units, n_valid, seed)


def some_held_out(targets: Targets, n_way: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the same where no fraction is asked for; None where too few classes (or groups) would be left."""
    units = np.unique(targets.units)
    n_valid = max(1 if targets.groups is not None else 2, len(units) // AUTOMATIC_PART)
    if len(units) - n_valid < 2 or len(units) < n_way:
        return None
    return _parts(targets, units, n_valid, seed)


def _parts(targets: Targets, units: np.ndarray, n_valid: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(seed).permutation(units)[:n_valid]
    is_valid = np.isin(targets.units, chosen)
    return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)


def with_rotations(rows: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
    """Return the pictures turned by 0, 90, 180 and 270 degrees; each turn of a class is a class of its own."""
    if rows.ndim != 4 or rows.shape[2] != rows.shape[3]:
        raise ValueError(f"rotations=True needs square pictures; got rows of shape {tuple(rows.shape[1:])}.")
    n = int(targets.labels.max()) + 1
    turned = torch.cat([rows.rot90(turn, (2, 3)) for turn in range(4)])
    labels = np.concatenate([targets.labels + turn * n for turn in range(4)])
    return turned, Targets(labels, None if targets.groups is None else np.tile(targets.groups, 4))
