"""A classifier learned from those of many sources that are near the target and do no harm."""

from __future__ import annotations

import os
from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import n_rows, validate_data
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_classes, marked_labels, row_weights, with_weight
from sktl._delegation import PredictsByEstimator, refuse_regressor, weight_argument
from sktl._documented import Documented
from sktl._domains import found_domains
from sktl._draws import seed_of
from sktl._labelled_score import LabelledScoreMixin
from sktl._modes import InPlainModes
from sktl._progress import fitted_in_task
from sktl._unlabelled import known_labels
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.advisor._source_choice import Choice, SourceProblem, choose, learned_rows, ranking
from sktl.advisor._source_distances import checked_distance
from sktl.advisor._source_index import opened_index


class SourceSelector(
    InPlainModes, CallbackSupportMixin, MetaEstimatorMixin, LabelledScoreMixin, Documented, PredictsByEstimator
):
    """A classifier learned from those of several source domains that are near the target and do no harm.

    More sources give more labels, and a source that is unlike the target, or labelled in another way, makes the
    classifier worse: negative transfer [1]_. Without labels in the target the harm cannot be seen there. It shows
    among the sources: each is a target for the others, whose labels are known, as in cross-validation that leaves
    domains out [2]_. A source without which the others predict each other's rows better, first of all those near the
    target, is left out; this is repeated as long as one hurts. Of 13 sources or more, those whose own rows the others
    predict by chance alone are left out first, all together: one of many changes too little to be seen by itself. A
    ridge classifier on the rows' principal components tells it, in closed form for any set of sources, and the
    estimator is fitted once.

    Rows are codes: put `CNNCodesTransformer`, `TextCodesTransformer` or a vectorizer in front, in a Pipeline. Start
    with the defaults. Where no source hurts, all are kept, and nothing is gained over fitting to all rows.

    Parameters
    ----------
    estimator : classifier
        A clone of it is fitted on the labelled rows of the chosen sources, and of the target if it has some.
    distance : str or callable, default="proxy_a"
        How far a source is from the target: "proxy_a", "mmd", "coral", "frechet" or "sliced_wasserstein" of
        `sktl.metrics.distances`, on at most 1,000 rows of each and 128 principal components of all (64 from 13 sources
        on); "moments", that of `SourceIndex`, which reads no rows once the sources are indexed; or a function of the
        components of source and target that returns a number. Sources whose distance is estimated as 0 or less, which
        nothing tells from the target, are ordered by moments. Of more than 32 sources, the 32 nearest by moments are
        compared by it.
    n_sources : "auto" or int, default="auto"
        How many sources are chosen. "auto" keeps those that do no harm, and needs three sources to tell; an int takes
        so many of the nearest, whatever they do.
    row_selection : float or None, default=None
        The share of each class's rows of the chosen sources that is learned from: those most frequent in the target by
        `sktl.density_ratios.density_ratio`. None takes all.
    index : path-like or None, default=None
        The file in which a `SourceIndex` of the sources' statistics is kept; it is made if it is not there. Those of
        sources with the same rows are not computed again. None keeps none.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState instance or None, default=None
        Of the rows that are drawn from large sources, and of the components.

    Attributes
    ----------
    sources_ : ndarray of str
        The chosen sources, the nearest first.
    harmful_sources_ : ndarray of str
        Those left out by "auto", the one that hurts most first.
    source_ranking_ : DataFrame, or list of dict without pandas
        A row a source, the nearest first: ``source``, ``n_rows``, ``distance`` (NaN where it was not compared),
        ``moments`` (the distance of `SourceIndex`), ``gain`` (by how much the accuracy on the other sources' rows grew
        with this one, below 0 where it hurts; NaN where it was not asked) and ``is_chosen``.
    rows_ : int array
        The rows of X that the estimator was fitted on.
    estimator_ : classifier
        The fitted clone.
    classes_ : ndarray
        Sorted labels.
    n_features_in_ : int
        Columns of X.

    See Also
    --------
    sktl.reweighting.ReweightedClassifier : Weights for rows, instead of a choice of sources.

    References
    ----------
    .. [1] M. T. Rosenstein, Z. Marx, L. P. Kaelbling and T. G. Dietterich, "To transfer or not to transfer", NeurIPS
       workshop on inductive transfer, 2005.
    .. [2] S. Ben-David et al., "A theory of learning from different domains", Machine Learning 79, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.advisor import SourceSelector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> domain = np.repeat(["a", "b", "c", "d", "target"], 100)
    >>> y[domain == "c"] = 1 - y[domain == "c"]  # labelled the other way round
    >>> marked = np.where(domain == "target", -1, y)
    >>> model = SourceSelector(LogisticRegression(), random_state=0).fit(X, marked, sample_domain=domain)
    >>> sorted(model.sources_.tolist()), model.harmful_sources_.tolist()
    (['a', 'b', 'd'], ['c'])
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "distance": [str, callable],
        "n_sources": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "row_selection": [Interval(Real, 0, 1, closed="right"), None],
        "index": [str, Path, None],
        "unlabelled": "no_validation",
        "target_domain": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        distance: Any = "proxy_a",
        n_sources: int | str = "auto",
        row_selection: float | None = None,
        index: str | os.PathLike | None = None,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.distance = distance
        self.n_sources = n_sources
        self.row_selection = row_selection
        self.index = index
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None, sample_weight: Any = None) -> SourceSelector:
        """Choose sources, and fit the estimator to their labelled rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_features)
            Rows of the sources and of the target.
        y : array-like of shape (n,)
            Labels; those of unlabelled rows are marks.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain. Without it all labelled rows are one source, and nothing is chosen.
        sample_weight : array-like of shape (n,), default=None
            Handed on to the estimator; labelled rows of weight 0 are left out of the choice too.

        Returns
        -------
        SourceSelector
            Itself.

        Raises
        ------
        TypeError
            If weights are given that the estimator does not take, or it is a regressor.
        ValueError
            If there is no label, no source, `n_sources` is more than there are, or the index is damaged.
        """
        refuse_regressor(self.estimator, type(self).__name__)
        function = checked_distance(self.distance)
        weights = None if sample_weight is None else row_weights(sample_weight, n_rows(X))
        problem = self._problem(X, y, sample_domain, weights)
        argument = "" if weights is None else weight_argument(self.estimator, type(self).__name__)
        index = opened_index(self.index)
        rng = np.random.default_rng(seed_of(self.random_state))

        context = self._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=self, X=X, y=y)
        choice = choose(problem, function, self.n_sources, index, rng)
        if self.index is not None:
            index.save(self.index)
        rows = learned_rows(problem, choice, self.row_selection)
        self._check_chosen(problem, choice, rows)
        fitted = {} if weights is None else {argument: weights[rows]}
        self.estimator_ = fitted_in_task(
            clone(self.estimator), problem.X[rows], problem.labels[rows], meta=self, context=context,
            name="chosen sources", **fitted,
        )  # fmt: skip
        self.rows_ = rows
        self.sources_ = problem.names[choice.chosen]
        self.harmful_sources_ = problem.names[choice.harmful]
        self.source_ranking_ = ranking(problem, choice)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _problem(self, X: Any, y: Any, sample_domain: Any, weights: np.ndarray | None) -> SourceProblem:
        """Read and check what was given; nothing is learned yet."""
        name = type(self).__name__
        X = self._asked(X, reset=True)
        labels, labelled = marked_labels(y, X.shape[0], self.unlabelled, name)
        labelled = labelled if weights is None else with_weight(labelled, weights)
        known = known_labels(labels, labelled)
        check_classes(known)
        domains = found_domains(labels, sample_domain, self.unlabelled, self.target_domain)
        problem = SourceProblem.of(X, labelled, known, domains)
        n_sources = len(problem.names)
        if n_sources == 0:
            raise ValueError(
                "There is no source: all labelled rows are of the target, "
                f"{shorten(map(repr, domains.names[domains.targets].tolist()))}. Give rows of other domains with "
                "labels, or say by target_domain which domain is the target."
            )
        if self.n_sources != "auto" and int(self.n_sources) > n_sources:
            raise ValueError(
                f"n_sources={self.n_sources}, but there are {n_sources} sources: "
                f"{shorten(map(repr, problem.names.tolist()))}. Ask for fewer, or for n_sources='auto'."
            )
        if problem.without_labels:
            warn_user(
                f"The sources {shorten(map(repr, problem.without_labels))} have no labelled row and teach nothing: "
                f"{name} leaves them out."
            )
        if len(problem.target) == 0:
            warn_user(f"There is no target row: mark them in y as unlabelled. {name} has nothing to be near to.")
        elif n_sources == 1:
            warn_user(
                f"There is one source, {str(problem.names[0])!r}, and {name} has nothing to choose from. Give each "
                "row's domain as sample_domain."
            )
        return problem

    def _check_chosen(self, problem: SourceProblem, choice: Choice, rows: np.ndarray) -> None:
        classes = problem.number[rows]
        if problem.number.max() > 0 and (classes == classes[0]).all():
            raise ValueError(
                f"The chosen sources, {shorten(map(repr, problem.names[choice.chosen].tolist()))}, hold one class "
                "only. Choose more of them: a larger n_sources, or 'auto'."
            )

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels."""
        check_is_fitted(self)
        return self.estimator_.classes_

    def _asked(self, X: Any, reset: bool = False) -> Any:
        return validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=reset)

    def __sklearn_tags__(self) -> Any:
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.array_api_support = False
        tags.input_tags.allow_nan = False
        return tags
