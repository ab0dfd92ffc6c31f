"""The past to learn from, the next period to be tested on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection._split import GroupsConsumerMixin, _build_repr

from sktl._periods import in_order_of_time
from sktl.model_selection._domain_rows import check_integer, label_mask, n_rows_of


class TimeDomainSplit(GroupsConsumerMixin):
    """Periods as domains: test on each of the last periods, and train on those before it.

    Periods without any label are never tested on, but may be trained on; unlabelled rows of a period that is tested on
    take no part in that split.

    Parameters
    ----------
    n_splits : int or None, default=5
        How many periods are tested on, the last ones. None, with `groups`, means all that have labelled ones before.
    max_train_periods : int or None, default=None
        How far back training reaches; None means to the beginning.
    gap : int, default=0
        Periods left out between training and test.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.model_selection import TimeDomainSplit
    >>> year = np.array([2021, 2021, 2022, 2023, 2023])
    >>> for train, test in TimeDomainSplit(n_splits=2).split(year, groups=year):
    ...     print(year[train], year[test])
    [2021 2021] [2022]
    [2021 2021 2022] [2023 2023]
    """

    def __init__(
        self,
        n_splits: int | None = 5,
        *,
        max_train_periods: int | None = None,
        gap: int = 0,
        unlabelled: Any = -1,
    ):
        check_integer("n_splits", n_splits, 1, or_none=True)
        check_integer("max_train_periods", max_train_periods, 1, or_none=True)
        check_integer("gap", gap, 0)
        self.n_splits = n_splits
        self.max_train_periods = max_train_periods
        self.gap = gap
        self.unlabelled = unlabelled

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of periods that are tested on."""
        if self.n_splits is not None:
            return int(self.n_splits)
        return len(self._tested(X, y, groups)[0])

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test rows of each split, the earliest test period first.

        Parameters
        ----------
        X : array-like
            Ignored, but for its length.
        y : array-like of shape (n,), default=None
            Labels; `unlabelled`, NaN or None where there is none. None means that all rows have one.
        groups : array-like of shape (n,), default=None
            Each row's period: numbers, dates, ordered categories, or text that sorts by time. None takes the rows as
            ordered by time, and cuts them into ``n_splits + gap + 1`` periods of equal length.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If there are fewer labelled periods than splits need.
        """
        tested, period, labelled = self._tested(X, y, groups)
        for number in tested:
            train = np.flatnonzero(self._before(period, number))
            yield train, np.flatnonzero((period == number) & labelled)

    def _before(self, period: np.ndarray, number: int) -> np.ndarray:
        last = number - self.gap  # excluded
        first = 0 if self.max_train_periods is None else last - self.max_train_periods
        return (period >= first) & (period < last)

    def _tested(self, X: Any, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = n_rows_of(X, y, groups)
        period = self._equal_periods(n) if groups is None else in_order_of_time(groups, n, "groups")[1]
        labelled = label_mask(y, n, self.unlabelled)
        possible = [p for p in np.unique(period[labelled]) if (self._before(period, p) & labelled).any()]
        wanted = 1 if self.n_splits is None else self.n_splits
        if len(possible) < wanted:
            raise ValueError(
                f"{type(self).__name__} with n_splits={self.n_splits}, gap={self.gap} and max_train_periods="
                f"{self.max_train_periods} needs {wanted} labelled periods with labelled periods before them, but of "
                f"{len(np.unique(period))} periods there are {len(possible)}. Use fewer splits, or shorter periods."
            )
        return np.array(possible if self.n_splits is None else possible[-wanted:]), period, labelled

    def _equal_periods(self, n: int) -> np.ndarray:
        if self.n_splits is None:
            raise ValueError("TimeDomainSplit(n_splits=None) needs each row's period as groups; got groups=None.")
        n_periods = self.n_splits + 1 + self.gap
        if n < n_periods:
            raise ValueError(f"{n} rows are too few for {n_periods} periods. Use fewer splits.")
        return np.arange(n) * n_periods // n

    def __repr__(self) -> str:
        return _build_repr(self)
