"""Episodes as a cross-validator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection._split import GroupsConsumerMixin, _build_repr

from sktl._array_api import n_rows
from sktl._columns import check_length
from sktl._draws import seed_of
from sktl.fewshot import EpisodeSampler
from sktl.model_selection._domain_rows import check_random_state

Range = int | tuple[int, int]


class EpisodeSplit(GroupsConsumerMixin):
    """Few-shot tasks as splits: a support set to train on and queries to test on, of a few random classes.

    Labels keep their names; the support set always holds each class that is queried. With `groups`, the classes of
    an episode are of one group.

    Parameters
    ----------
    n_way, n_shot : int or (int, int), default=5, 1
        Classes an episode, and support rows a class. A range is drawn from: the ways for each episode, the shots for
        each class.
    n_query : int, default=15
        Query rows a class.
    n_episodes : int, default=100
        Splits.
    random_state : int, RandomState or None, default=0
        An integer fixes the episodes; with None or a RandomState every call of `split` draws others.

    See Also
    --------
    episode_scores : Mean and confidence interval, faster for meta-learners.
    sklearn.model_selection.GroupKFold : With ``groups=y``, folds without a class in common, for meta-training.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from sktl.fewshot import ProtoNetClassifier
    >>> from sktl.model_selection import EpisodeSplit
    >>> y = np.repeat(list("abcdef"), 10)
    >>> X = np.repeat(10 * np.eye(6), 10, axis=0) + np.random.default_rng(0).normal(size=(60, 6))
    >>> scores = cross_val_score(ProtoNetClassifier(), X, y, cv=EpisodeSplit(n_way=3, n_query=5, n_episodes=20))
    >>> scores.shape, bool(scores.mean() > 0.9)
    ((20,), True)
    """

    n_way: Range
    n_shot: Range
    n_query: int
    n_episodes: int
    random_state: int | np.random.RandomState | None

    def __init__(
        self,
        n_way: Range = 5,
        n_shot: Range = 1,
        n_query: int = 15,
        n_episodes: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ):
        if not isinstance(n_episodes, Integral) or n_episodes < 1:
            raise ValueError(f"n_episodes must be an integer, at least 1; got {n_episodes!r}.")
        if not isinstance(n_query, Integral) or n_query < 1:
            raise ValueError(f"n_query must be an integer, at least 1; got {n_query!r}.")
        check_random_state(random_state, at_least=-math.inf)
        self.n_way = n_way
        self.n_shot = n_shot
        self.n_query = n_query
        self.n_episodes = n_episodes
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of episodes."""
        return int(self.n_episodes)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of support and query of each episode.

        Parameters
        ----------
        X : array-like
            Ignored, but for its length.
        y : array-like of shape (n,)
            Labels.
        groups : array-like of shape (n,), default=None
            Which classes may meet in an episode.

        Yields
        ------
        support, query : ndarray of int

        Raises
        ------
        ValueError
            If there are fewer classes than ways, or a class has fewer rows than shots and queries.
        """
        if y is None:
            raise ValueError("EpisodeSplit needs y: episodes are drawn by class.")
        for name, values in (("y", y), ("groups", groups)):
            if X is not None and values is not None:
                check_length(values, n_rows(X), name)
        sampler = self.sampler(y, groups)
        for _ in range(self.n_episodes):
            episode = sampler.draw(1)
            yield episode.support[episode.support_y >= 0].numpy(), episode.query[0].numpy()

    def sampler(self, y: Any, groups: Any = None) -> EpisodeSampler:
        """Return what draws the episodes."""
        return EpisodeSampler(
            y, groups, n_way=self.n_way, n_shot=self.n_shot, n_query=self.n_query, seed=seed_of(self.random_state)
        )

    def __repr__(self) -> str:
        return _build_repr(self)
