"""How well new tasks are learned: the mean over many episodes, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone, is_regressor

from sktl._array_api import n_rows, take_rows
from sktl._columns import check_length, plain, target_values
from sktl._modes import in_plain_modes
from sktl._unlabelled import as_labels
from sktl.model_selection._episode_split import EpisodeSplit, Range


@dataclass(frozen=True)
class EpisodeScores:
    """The score of each episode.

    Attributes
    ----------
    scores : ndarray of shape (n_episodes,)
        Accuracies, or mean squared errors of a regression.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.model_selection import EpisodeScores
    >>> print(EpisodeScores(np.array([0.8, 1.0, 0.9, 0.9])))
    0.9000 +- 0.0800 (95%, 4 episodes)
    """

    scores: np.ndarray

    @property
    def mean(self) -> float:
        """The mean over the episodes."""
        return float(np.mean(self.scores))

    @property
    def ci95(self) -> float:
        """Half the width of the mean's 95% confidence interval, by the normal approximation."""
        # 1.96 s / sqrt(n)
        if len(self.scores) < 2:
            return float("nan")
        return float(1.96 * np.std(self.scores, ddof=1) / np.sqrt(len(self.scores)))

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.ci95:.4f} (95%, {len(self.scores)} episodes)"


@in_plain_modes
def episode_scores(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    n_way: Range = 5,
    n_shot: Range = 1,
    n_query: int = 15,
    n_episodes: int = 1000,
    random_state: Any = 0,
) -> EpisodeScores:
    """Score an estimator on episodes of classes, or of tasks, that are new to it.

    A fitted meta-learner adapts to each episode, many of them at a time. Any other estimator is cloned, fitted on the
    support set and scored on the queries, episode by episode. For the same `random_state` the episodes are the same.

    Parameters
    ----------
    estimator : meta-learner or classifier
        What learns the tasks.
    X : array-like or sequence of pictures
        Rows.
    y : array-like of shape (n,) or (n, n_outputs)
        Labels; values for a regression, whose tasks are the `groups`.
    groups : array-like of shape (n,), default=None
        As in `EpisodeSplit`; for a regression, the task of each row.
    n_way, n_shot, n_query, n_episodes, random_state
        As in `EpisodeSplit`. A regression has no ways.

    Returns
    -------
    EpisodeScores
        Accuracies; mean squared errors for a regression.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.fewshot import ProtoNetClassifier
    >>> from sktl.model_selection import episode_scores
    >>> y = np.repeat(list("abcdef"), 10)
    >>> X = np.repeat(10 * np.eye(6), 10, axis=0) + np.random.default_rng(0).normal(size=(60, 6))
    >>> episode_scores(ProtoNetClassifier(), X, y, n_way=3, n_query=5, n_episodes=20).mean > 0.9
    True
    """
    if y is None:
        raise ValueError("episode_scores needs y, labels or a regression's values; got y=None.")
    for name, values in (("y", y), ("groups", groups)):
        if values is not None:
            check_length(values, n_rows(X), name)
    is_learner = hasattr(estimator, "episode_logits")
    if estimator.is_regression_ if is_learner else is_regressor(estimator):
        return EpisodeScores(_errors(estimator, X, y, groups, n_shot, n_query, n_episodes, random_state))
    y = plain(as_labels(y))
    split = EpisodeSplit(n_way, n_shot, n_query, n_episodes, random_state)
    if not is_learner:
        return EpisodeScores(np.array([_fitted_score(estimator, X, y, *parts) for parts in split.split(X, y, groups)]))
    sampler = split.sampler(y, groups)
    drawn = [sampler.draw(1) for _ in range(n_episodes)]
    scores = np.empty(n_episodes)
    for n in {episode.n_way for episode in drawn}:  # episodes of as many ways go through the network together
        which = [i for i, episode in enumerate(drawn) if episode.n_way == n]
        together = _stacked([drawn[i] for i in which])
        predicted = estimator.episode_logits(X, together).argmax(-1)
        scores[which] = (predicted == together.query_y.numpy()).mean(axis=1)
    return EpisodeScores(scores)


def _fitted_score(estimator: Any, X: Any, y: Any, support: np.ndarray, query: np.ndarray) -> float:
    model = clone(estimator).fit(take_rows(X, support), take_rows(y, support))
    return model.score(take_rows(X, query), take_rows(y, query))


def _errors(
    estimator: Any, X: Any, y: Any, groups: Any, n_shot: Range, n_query: int, n_episodes: int, random_state: Any
) -> np.ndarray:
    if groups is None:
        raise ValueError("The tasks of a regression are given as groups, one task a row; got groups=None.")
    y = target_values(y, None, estimator)
    split = EpisodeSplit(1, n_shot, n_query, n_episodes, random_state)
    if hasattr(estimator, "episode_logits"):
        sampler = split.sampler(groups, groups)
        episodes = _stacked([sampler.draw(1) for _ in range(n_episodes)])
        truth = y.reshape(len(y), -1)[episodes.query.numpy()]
        return np.square(estimator.episode_logits(X, episodes, y) - truth).mean(axis=(1, 2))
    errors = []
    for support, query in split.split(X, groups, groups):
        model = clone(estimator).fit(take_rows(X, support), y[support])
        errors.append(np.square(model.predict(take_rows(X, query)) - y[query]).mean())
    return np.array(errors)


def _stacked(episodes: list[Any]) -> Any:
    parts = (torch.cat([episode[i] for episode in episodes]) for i in range(4))
    return type(episodes[0])(*parts, episodes[0].n_way)
