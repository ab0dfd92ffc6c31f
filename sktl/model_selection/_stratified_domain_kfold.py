"""Folds that hold every domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection._split import GroupsConsumerMixin, _build_repr

from sktl._draws import seed_of
from sktl._warn_once import warn_user
from sktl.model_selection._domain_rows import (
    Strata,
    by_class,
    check_integer,
    check_random_state,
    refuse_small,
    strata,
)


class StratifiedDomainKFold(GroupsConsumerMixin):
    """Folds each of which holds every domain, and of every domain every class, in the same shares.

    Labelled rows are the source and unlabelled rows the target, so that y is all it needs: training parts can be
    adapted, and test parts scored, by `sktl.metrics`. With `groups`, each row's domain, several sources and targets are
    kept apart. In every domain the folds' sizes differ by one row at most, as do those of each class in it.

    Parameters
    ----------
    n_splits : int, default=5
        Folds, at least 2.
    shuffle : bool, default=True
        Whether rows of a class are dealt out in random order.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.
    random_state : int, RandomState or None, default=0
        An integer fixes the folds; with None or a RandomState every call of `split` draws others.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.model_selection import StratifiedDomainKFold
    >>> y = np.array([0, 0, 1, 1, -1, -1])
    >>> for train, test in StratifiedDomainKFold(n_splits=2).split(y, y):
    ...     print(y[train], y[test])
    [ 0  1 -1] [ 0  1 -1]
    [ 0  1 -1] [ 0  1 -1]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = True,
        unlabelled: Any = -1,
        random_state: int | np.random.RandomState | None = 0,
    ):
        check_integer("n_splits", n_splits, 2)
        check_random_state(random_state)
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.unlabelled = unlabelled
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        return int(self.n_splits)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test rows of each fold.

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
            If there is one domain only, or one has fewer rows than there are folds.
        """
        fold = self._folds(strata(type(self).__name__, X, y, groups, self.unlabelled))
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)

    def _folds(self, found: Strata) -> np.ndarray:
        refuse_small(type(self).__name__, found, self.n_splits, "Use fewer folds, or give more rows.")
        _warn_of_rare(found, self.n_splits)
        rng = np.random.default_rng(seed_of(self.random_state)) if self.shuffle else None
        # Rows are dealt out as cards, class after class and domain after domain, so that shares come out even.
        dealt = np.concatenate([by_class(found, domain, rng) for domain in range(len(found.names))])
        fold = np.empty(len(dealt), dtype=int)
        fold[dealt] = np.arange(len(dealt)) % self.n_splits
        return fold

    def __repr__(self) -> str:
        return _build_repr(self)


def _warn_of_rare(found: Strata, n_splits: int) -> None:
    labelled = found.label >= 0
    if not labelled.any():
        return
    pairs, counts = np.unique(np.stack([found.domain, found.label])[:, labelled], axis=1, return_counts=True)
    fewest = int(counts.argmin())
    if counts[fewest] < n_splits:
        domain, label = pairs[:, fewest]
        warn_user(
            f"Class {found.classes.tolist()[label]!r} has {counts[fewest]} rows in domain {found.names[domain]!r}, "
            f"fewer than n_splits={n_splits}: some folds lack it.",
        )
