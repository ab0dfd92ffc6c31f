"""Each domain in turn as the one that nothing is known of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection._split import GroupsConsumerMixin, _build_repr

from sktl.model_selection._domain_rows import domains, label_mask, n_rows_of


class LeaveOneDomainOut(GroupsConsumerMixin):
    """Test on each labelled domain in turn, and train on all others: how well a new domain would be predicted.

    Domains without any label cannot be tested on; they are part of every training, as targets to adapt to. Unlabelled
    rows of a domain that is tested on take no part in that split.

    Parameters
    ----------
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.model_selection import LeaveOneDomainOut
    >>> y = np.array([0, 1, 0, 1, -1, -1])
    >>> domain = np.array(["photo", "photo", "art", "art", "sketch", "sketch"])
    >>> for train, test in LeaveOneDomainOut().split(y, y, groups=domain):
    ...     print(domain[train].tolist(), domain[test].tolist())
    ['photo', 'photo', 'sketch', 'sketch'] ['art', 'art']
    ['art', 'art', 'sketch', 'sketch'] ['photo', 'photo']
    """

    def __init__(self, *, unlabelled: Any = -1):
        self.unlabelled = unlabelled

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of domains with labels."""
        return len(self._tested(X, y, groups)[0])

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of training and test rows of each split.

        Parameters
        ----------
        X : array-like
            Ignored.
        y : array-like of shape (n,), default=None
            Labels; `unlabelled`, NaN or None where there is none. None means that all rows have one.
        groups : array-like of shape (n,)
            Each row's domain.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError
            If fewer than two domains have labels.
        """
        tested, of_row, labelled = self._tested(X, y, groups)
        for domain in tested:
            yield np.flatnonzero(of_row != domain), np.flatnonzero((of_row == domain) & labelled)

    def _tested(self, X: Any, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        name = type(self).__name__
        names, of_row = domains(name, groups, n_rows_of(X, y, groups))
        labelled = label_mask(y, len(of_row), self.unlabelled)
        tested = np.unique(of_row[labelled])
        if len(tested) < 2:
            having = f"only {names[tested[0]]!r} has" if len(tested) else "none has"
            raise ValueError(
                f"{name} tests on one labelled domain and trains on others, so that two need labels; of the "
                f"{len(names)} domains in groups {having} any. Use StratifiedDomainKFold to split within domains."
            )
        return tested, of_row, labelled

    def __repr__(self) -> str:
        return _build_repr(self)
