"""A scorer of meta-learners."""

from __future__ import annotations

from typing import Any

from sktl.model_selection._episode_scores import episode_scores
from sktl.model_selection._episode_split import Range


class EpisodicScorer:
    """A callable ``scorer(estimator, X, y)``; see `episodic_scorer`."""

    def __init__(self, **options: Any):
        self.options = options

    def __call__(self, estimator: Any, X: Any, y: Any, groups: Any = None) -> float:
        """Return the mean accuracy, or minus the mean squared error of a regression: higher is better."""
        mean = episode_scores(estimator, X, y, groups=groups, **self.options).mean
        return -mean if getattr(estimator, "is_regression_", False) else mean

    def __repr__(self) -> str:
        return f"episodic_scorer({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"


def episodic_scorer(
    *, n_way: Range = 5, n_shot: Range = 1, n_query: int = 15, n_episodes: int = 200, random_state: Any = 0
) -> EpisodicScorer:
    """Return a scorer for searches over meta-learners: the mean accuracy on episodes of the classes it is given.

    Use it with folds that have no class in common, ``cv=GroupKFold()`` and ``fit(X, y, groups=y)``: classes that a
    learner was trained on say nothing about new ones.

    Parameters
    ----------
    n_way, n_shot, n_query, n_episodes, random_state
        As in `EpisodeSplit`.

    Returns
    -------
    callable(estimator, X, y) -> float
        Minus the mean squared error for regressions, which also need `groups`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, GroupKFold
    >>> from sktl.fewshot import ProtoNetLearner
    >>> from sktl.model_selection import episodic_scorer
    >>> y = np.repeat(np.arange(12), 8)
    >>> X = np.random.default_rng(0).normal(size=(12, 3))[y] + 0.1
    >>> learner = ProtoNetLearner(n_way=4, n_query=3, n_episodes=20, random_state=0)
    >>> scorer = episodic_scorer(n_way=3, n_query=3, n_episodes=20)
    >>> search = GridSearchCV(learner, {"distance": ["sqeuclidean", "cosine"]}, cv=GroupKFold(3), scoring=scorer)
    >>> search.fit(X, y, groups=y).cv_results_["mean_test_score"].shape
    (2,)
    """
    return EpisodicScorer(n_way=n_way, n_shot=n_shot, n_query=n_query, n_episodes=n_episodes, random_state=random_state)
