"""What training is validated on: the user's own data, or a part that is held out, group by group if there are any."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.validation import check_consistent_length

from sktl._array_api import column_or_1d
from sktl._columns import row_weights
from sktl._inputs import InputKind, read_dense
from sktl.finetuning._batches import Examples
from sktl.finetuning._targets import is_wanted

DRAWS = 20  # of groups, until every class is in both parts


@dataclass(frozen=True)
class HeldOut:
    """What `fit` was given for validation.

    Attributes
    ----------
    groups : array-like of shape (n,) or None
        Rows of one group are held out together.
    validation : (X, y) or (X, y, sample_weight) or None
        Data of the user's own.
    """

    groups: Any = None
    validation: Any = None

    def examples(self, estimator: Any, kind: InputKind, learned: dict[str, Any]) -> Examples | None:
        """Return the user's own data as the network takes them; `learned` is what training's y has taught.

        Raises
        ------
        TypeError, ValueError
            If they are no pair, differ in kind from training's, or hold other classes.
        """
        if self.validation is None:
            return None
        if self.groups is not None:
            raise ValueError(
                "groups say what is held out together, and validation holds out nothing: give one of them."
            )
        if not isinstance(self.validation, (tuple, list)) or len(self.validation) not in (2, 3):
            raise TypeError(
                "validation must be (X, y) or (X, y, sample_weight), to validate on after each epoch; got "
                f"{type(self.validation).__name__}{_length(self.validation)}."
            )
        X, y, *weights = self.validation
        fitted = copy.copy(estimator)
        fitted.__dict__.update(learned)
        try:
            data: Any = read_dense(fitted, X, kind, reset=False)
            check_consistent_length(range(len(data)), y)
            _, target, _ = fitted._task(y, weight=None, goes_on=True)
        except ValueError as error:
            raise ValueError(f"validation: {error}") from error
        weight = None
        if weights and weights[0] is not None:
            weight = row_weights(weights[0], len(data))
        rows = np.arange(len(data)) if weight is None else np.flatnonzero(weight)
        return Examples(data, rows, target[rows], None if weight is None else weight[rows])

    def parts(
        self, estimator: Any, task: Any, examples: Examples, n_rows: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return indices to train and to validate on, or None where nothing is held out."""
        if self.groups is None:
            return task.held_out(examples.target, estimator.early_stopping, estimator.validation_fraction, seed)
        groups = column_or_1d(self.groups)
        if len(groups) != n_rows:
            raise ValueError(f"groups must have one group a row: expected {n_rows}, got {len(groups)}.")
        if not is_wanted(estimator.early_stopping, len(examples)):
            return None
        return _parts_of_groups(examples.target, groups[examples.indices], estimator, seed)


NOTHING = HeldOut()


def _parts_of_groups(
    target: np.ndarray, groups: np.ndarray, estimator: Any, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    n_groups, is_codes = len(np.unique(groups)), target.dtype.kind == "i" and target.ndim == 1
    n_classes = len(np.unique(target)) if is_codes else 0
    fraction = estimator.validation_fraction
    n_valid = int(np.ceil(fraction * n_groups))
    if 0 < n_valid < n_groups:
        splits = GroupShuffleSplit(DRAWS, test_size=n_valid, random_state=seed % 2**32)
        for train, valid in splits.split(target, groups=groups):
            if not is_codes or all(len(np.unique(target[part])) == n_classes for part in (train, valid)):
                return train, valid
    if isinstance(estimator.early_stopping, str):  # "auto"
        return None
    raise ValueError(
        f"validation_fraction={fraction} of {n_groups} groups is {n_valid}, and no draw of so many leaves every "
        "class in both parts. Choose another fraction, pass data of your own as validation=(X, y), or set "
        "early_stopping=False."
    )


def _length(value: Any) -> str:
    return f" of length {len(value)}" if isinstance(value, (tuple, list)) else ""
