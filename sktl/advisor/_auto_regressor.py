"""The automatic road for values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context

from sktl._estimator import RegressorScoreMixin
from sktl.advisor._auto_transfer import AutoTransfer
from sktl.advisor._candidates import CandidateFamily
from sktl.advisor._material import values_problem
from sktl.advisor._problem import Problem
from sktl.advisor._tasks import Task, ValueTask
from sktl.cache import CodeCache


class AutoTransferRegressor(RegressorScoreMixin, AutoTransfer):
    """Try what is plausible with pictures, feature rows or texts and their values, and become the best of it.

    As `AutoTransferClassifier`, whose text says how and in which time: ridge regression on codes of the network's last
    layer first, then ridge regression, with a kernel too, and nearest neighbours on codes of several layers, then
    trainings of the network. What is dearer has to be ahead by more than the standard error of the difference. Of
    feature rows: ridge regression, boosted trees, a random forest (of less than 64 columns), a kernel and neighbours; a
    greedy mean of these is taken if it is ahead out of fold.

    Parameters
    ----------
    candidates, backbones, time_budget, n_candidates, cv, cache, refit, ensemble, experience
        As in `AutoTransferClassifier`.
    scoring : str, callable or None, default=None
        As in scikit-learn; None is the coefficient of determination, R2.
    image_shape, value_range, image_size, n_jobs, device, random_state, verbose
        As in `AutoTransferClassifier`.

    Attributes
    ----------
    best_estimator_ : estimator
        The best, fitted to all rows.
    best_candidate_, best_strategy_, best_score_, leaderboard_, failed_backbones_, n_near_
        As in `AutoTransferClassifier`.
    n_features_in_ : int
        For a 2-D X only.

    Raises
    ------
    TypeError, ValueError
        For malformed rows, values or candidates, or where no candidate can be fitted.
    BadImageError
        For pictures that cannot be read; all of them are named.

    References
    ----------
    .. [1] K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
       AISTATS, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import AutoTransferRegressor
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> model = AutoTransferRegressor(candidates="codes", time_budget=20).fit(X, 2 * X[:, 0] - X[:, 1])
    >>> model.best_candidate_, round(float(model.predict([[1.0, 1.0, 0.0]])[0]), 1)
    ('ridge', 1.0)
    """

    __metadata_request__fit: ClassVar[dict] = {"groups": True}
    _parameter_constraints: ClassVar[dict] = AutoTransfer._parameter_constraints

    def __init__(
        self,
        candidates: str | CandidateFamily | list | tuple | Any = "auto",
        *,
        backbones: Any = "auto",
        time_budget: float | None = None,
        n_candidates: int = 16,
        scoring: str | Callable | None = None,
        cv: int = 3,
        cache: str | Path | CodeCache | None = "memory",
        refit: bool = True,
        ensemble: bool = True,
        experience: str | Path | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        n_jobs: int | None = None,
        device: Any = "auto",
        random_state: int = 0,
        verbose: int = 0,
    ):
        self.candidates = candidates
        self.backbones = backbones
        self.time_budget = time_budget
        self.n_candidates = n_candidates
        self.scoring = scoring
        self.cv = cv
        self.cache = cache
        self.refit = refit
        self.ensemble = ensemble
        self.experience = experience
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, *, groups: Any = None) -> AutoTransferRegressor:
        """Try the candidates, and fit the best.

        Parameters
        ----------
        X : array-like or sequence
            Pictures, as every estimator of pictures takes them; rows of features, (n, n_features); or text.
        y : array-like of shape (n,)
            Values.
        groups : array-like of shape (n,), default=None
            Each row's group, such as a patient: rows of one group are in one fold.

        Returns
        -------
        AutoTransferRegressor
            Itself.
        """
        return self._fit(X, y, None, groups)

    def _problem(self, X: Any, kind: str, y: Any, sample_domain: Any) -> tuple[Problem, np.ndarray]:
        return values_problem(self, X, kind, y)

    def _task(self, problem: Problem, target: np.ndarray) -> Task:
        return ValueTask(target, self.scoring, int(self.random_state))
