"""The automatic road for classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context

from sktl._labelled_score import LabelledScoreMixin
from sktl._unlabelled import as_labels, known_labels
from sktl.advisor._adapted import adapting, best_adapted
from sktl.advisor._auto_transfer import AnswersOfClassifier, AutoTransfer
from sktl.advisor._candidates import Candidate, CandidateFamily
from sktl.advisor._clock import TimeBudget
from sktl.advisor._entry import Entry
from sktl.advisor._material import Material
from sktl.advisor._problem import TEXT, Problem, labelled_problem
from sktl.advisor._tasks import ClassTask, Task
from sktl.cache import CodeCache


class AutoTransferClassifier(LabelledScoreMixin, AnswersOfClassifier):
    """Try what is plausible with pictures, feature rows or texts and their labels, and become the best of it.

    The networks run over the rows once. A linear classifier on the layer that `TransferAdvisor` expects most of is
    fitted first, so that there is an answer early. Then come other shallow models on codes of several layers, by
    successive halving over rows [1]_, and then trainings of the network, each on one fold before any on more; the rules
    of `TransferAdvisor` say in which order. Another takes the place of the first, and what is dearer that of what is
    simpler, only if it is ahead under cross-validation by more than the standard error of the difference [2]_.

    Means come last. That of the best shallow model and of a training on pictures, or of two, is taken if its
    probabilities are better out of fold, and its score is not worse by more than noise; the shallow one counts twice
    unless each of the trainings alone is level with it or ahead. A training is taken alone only if it is ahead of that
    mean by more than noise. By the same rule a greedy ensemble [3]_ of models of rows or texts is taken, judged on rows
    that its weights were not chosen by. Of pictures, where each member may be a pass of the network, it has to be ahead
    by more than noise.

    Where y has unlabelled rows that differ from the labelled ones, labels are carried over: adaptations are compared,
    and the choice is made by `sktl.metrics.InformationMaximizationScorer`, which needs no labels of the target.

    **Time.** `fit` ends at most 2 seconds after `time_budget`, or by the time that one pass of the network over X
    takes if that is longer. What would not be done in time, as cheaper candidates foretell, is not begun; codes and
    trainings under way are stopped. The simplest candidate is fitted in any case, or the cheapest where it would take
    too long; where the budget is too small for both, a warning says so. Estimators of other libraries cannot be
    stopped; they are timed on a few rows first.
    An interrupt (Ctrl-C) gives the best so far.

    Parameters
    ----------
    candidates : "auto", str, CandidateFamily, estimator, pair (name, estimator), or list of these, default="auto"
        What is tried: families, by name or as an object, and estimators of your own that take X as it comes. "auto"
        is "codes" and "fine-tune". List the simple ones first: the first is what is there in any case.
    backbones : "auto", str, Module, transformer, or list of these, default="auto"
        Networks, as in `TransferAdvisor`. One that cannot be loaded is left out, with a warning.
    time_budget : float, default=None
        Seconds; None tries all candidates. Start with 60.
    n_candidates : int, default=16
        The most promising ones, at most.
    scoring : str, callable or None, default=None
        As in scikit-learn; None is the accuracy. It is given out-of-fold predictions of rows that it does not see.
    cv : int, default=3
        Folds, each class in proportion; rows that are the same, or of one group, are in one fold. With fewer of these
        than that in a class and 60 rows at most, each is left out by itself.
    cache : None, "memory", path or CodeCache, default="memory"
        Where codes are kept.
    refit : bool, default=True
        Whether the best is fitted to all rows, and predicts.
    ensemble : bool, default=True
        Whether means of what was fitted are tried too.
    experience : str or path, default=None
        A file of JSON lines. What did best on the nearest data sets in it is tried first, and this search is added. A
        line that cannot be used is named by a warning.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None.
    image_shape, value_range, image_size, n_jobs, device
        As in `CNNCodesTransformer`.
    random_state : int, default=0
        Fixes the folds, and the result where there is time for all candidates.
    verbose : int, default=0
        Above 0 prints what is tried, and the time left.

    Attributes
    ----------
    best_estimator_ : estimator
        The best, fitted to all rows.
    best_candidate_, best_strategy_ : str
        Its name in the leaderboard, and its kind: "codes", "earlier codes", "fine-tune, lp-ft", "adapt", "ensemble"
        or another.
    best_score_ : float
        Under cross-validation; NaN where there was no time to compare. The best of many looks a little better than it
        is. Where labels were carried over, the mutual information of the target's predictions.
    leaderboard_ : DataFrame, or list of dict without pandas
        Each candidate's score, standard error, number of rows it was scored on, seconds of its last fit, and what
        became of it.
    advice_ : str or None
        The strategy that the rules of `TransferAdvisor` give.
    failed_backbones_ : dict of str to str
        Which were left out, and why.
    n_near_ : int
        How many earlier data sets the experience has told of.
    classes_ : ndarray
        The labels.
    n_features_in_ : int
        For a 2-D X only.

    Raises
    ------
    TypeError, ValueError
        For malformed rows, labels, domains or candidates, values for labels, one class, or where no candidate can be
        fitted.
    BadImageError
        For pictures that cannot be read; all of them are named.

    See Also
    --------
    TransferAdvisor : Looks, advises and reports, without a search.
    sktl.make_codes_classifier : The simplest candidate, on the last layer.

    References
    ----------
    .. [1] K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
       AISTATS, 2016.
    .. [2] L. Breiman, J. Friedman, R. Olshen and C. Stone, "Classification and regression trees", 1984.
    .. [3] R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, "Ensemble selection from libraries of models", ICML,
       2004.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import AutoTransferClassifier
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = np.where(X[:, 0] > 0, "right", "left")
    >>> model = AutoTransferClassifier(candidates="codes", time_budget=20).fit(X, y)
    >>> model.best_candidate_, model.predict([[3.0, 0.0, 0.0]]).tolist()
    ('logistic regression and random forest', ['right'])
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True, "groups": True}
    _parameter_constraints: ClassVar[dict] = {**AutoTransfer._parameter_constraints, "unlabelled": "no_validation"}

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
        unlabelled: Any = -1,
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
        self.unlabelled = unlabelled
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, *, sample_domain: Any = None, groups: Any = None) -> AutoTransferClassifier:
        """Try the candidates, and fit the best.

        Parameters
        ----------
        X : array-like or sequence
            Pictures, as every estimator of pictures takes them; rows of features, (n, n_features); or text.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain, for the advice. Rows without a label are the target, whatever their domain; for a score
            by new domains give them as `groups` too.
        groups : array-like of shape (n,), default=None
            Each row's group, such as a patient: rows of one group are in one fold, and the score is of new groups.

        Returns
        -------
        AutoTransferClassifier
            Itself.
        """
        return self._fit(X, y, sample_domain, groups)

    def _problem(self, X: Any, kind: str, y: Any, sample_domain: Any) -> tuple[Problem, np.ndarray]:
        problem = labelled_problem(self, X, kind, y, sample_domain)
        return problem, known_labels(as_labels(y), problem.labelled)

    def _task(self, problem: Problem, target: np.ndarray) -> Task:
        return ClassTask(target, self.scoring, int(self.random_state), problem.classes)

    def _searched(
        self, given: Material, candidates: list[Candidate], y: Any, groups: np.ndarray | None, budget: TimeBudget,
        watch: Any,
    ) -> tuple[Entry, list[Entry]]:  # fmt: skip
        decision = given.decision
        is_adapted = decision is not None and given.problem.n_unlabelled and decision.strategy == "adapt"
        if is_adapted and given.problem.kind != TEXT and candidates[0].strategy != "given":
            labels = as_labels(y)[np.r_[given.problem.labelled, given.problem.unlabelled]]
            return best_adapted(self, given, adapting(self, given, candidates[0]), labels, budget, watch)
        return super()._searched(given, candidates, y, groups, budget, watch)

    def _learn(self, given: Material, best: Entry, entries: list[Entry], near: list, kind: str) -> None:
        self.classes_ = given.problem.classes
        super()._learn(given, best, entries, near, kind)
