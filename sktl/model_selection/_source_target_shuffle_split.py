"""Random splits that hold every domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection._split import GroupsConsumerMixin, _build_repr

from sktl._draws import seed_of
from sktl.model_selection._domain_rows import (
    by_class,
    check_integer,
    check_random_state,
    check_share,
    refuse_small,
    sorted_rows,
    strata,
)


class SourceTargetShuffleSplit(GroupsConsumerMixin):
    """Random splits that take the same share of source and target, and of each class, for testing.

    Labelled rows are the source and unlabelled rows the target; with `groups`, each row's domain, several sources and
    targets are kept apart. Of every class in every domain the test part has its share to within one row.

    Parameters
    ----------
    n_splits : int, default=10
        Splits.
    test_size : float, default=0.2
        Share of each domain that is tested on, at least one row.
    train_size : float or None, default=None
        Share of each domain that is trained on; None takes all that is not tested on.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.
    random_state : int, RandomState or None, default=0
        An integer fixes the splits; with None or a RandomState every call of `split` draws others.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.model_selection import SourceTargetShuffleSplit
    >>> y = np.array([0, 1, 0, 1, -1, -1, -1, -1])
    >>> train, test = next(SourceTargetShuffleSplit(test_size=0.5).split(y, y))
    >>> sorted(y[train].tolist()), sorted(y[test].tolist())
    ([-1, -1, 0, 1], [-1, -1, 0, 1])
    """

    def __init__(
        self,
        n_splits: int = 10,
        *,
        test_size: float = 0.2,
        train_size: float | None = None,
        unlabelled: Any = -1,
        random_state: int | np.random.RandomState | None = 0,
    ):
        check_integer("n_splits", n_splits, 1)
        check_random_state(random_state)
        check_share("test_size", test_size)
        if train_size is not None:
            check_share("train_size", train_size)
            if test_size + train_size > 1 + 1e-9:
                raise ValueError(
                    f"test_size and train_size must not exceed 1 together; got {test_size!r} and {train_size!r}."
                )
        self.n_splits = n_splits
        self.test_size = test_size
        self.train_size = train_size
        self.unlabelled = unlabelled
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits."""
        return int(self.n_splits)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test rows of each split.

        Parameters
        ----------
        X : array-like
            Ignored, but for its length.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        groups : array-like of shape (n,), default=None
            Each row's domain.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If there is one domain only, or one has fewer than two rows.
        """
        found = strata(type(self).__name__, X, y, groups, self.unlabelled)
        refuse_small(type(self).__name__, found, 2, "Give more rows of it, or leave it out.")
        rng = np.random.default_rng(seed_of(self.random_state))
        for _ in range(self.n_splits):
            parts = [self._split_domain(by_class(found, i, rng), rng) for i in range(len(found.names))]
            yield sorted_rows([train for train, _ in parts]), sorted_rows([test for _, test in parts])

    def _split_domain(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        n_test = min(max(1, round(self.test_size * len(rows))), len(rows) - 1)
        tested = _every_so_many(len(rows), n_test, rng)
        rest = np.delete(rows, tested)
        if self.train_size is None:
            return rest, rows[tested]
        n_train = min(max(1, round(self.train_size * len(rows))), len(rest))
        return rest[_every_so_many(len(rest), n_train, rng)], rows[tested]

    def __repr__(self) -> str:
        return _build_repr(self)


def _every_so_many(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """Return m of n positions at even distances from a random start: of each run its share, to within one."""
    return np.floor((np.arange(m) + rng.random()) * n / m).astype(int)
