"""Adaptation step by step along an order of domains, time above all; or to each of several targets."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import n_rows, rows_on_host
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import domain_column
from sktl._delegation import has, refuse_regressor
from sktl._domain_names import rows_by_domain
from sktl._draws import seed_of
from sktl._magnitudes import check_finite
from sktl._progress import ProgressLine
from sktl._unlabelled import known_labels
from sktl._validation import shorten
from sktl.adaptation._training_parameters import TRAINING_CONSTRAINTS
from sktl.adaptation.from_fitted._base import FromFittedClassifier
from sktl.adaptation.from_fitted._start import Start, chosen
from sktl.adaptation.from_fitted._target_rows import check_batch
from sktl.adaptation.gradual._domain_order import steps_of, with_neighbours
from sktl.adaptation.gradual._self_training import Labelled, SelfTraining

LEAST = 100  # rows of a part: more than a batch, so that chance does not add up over many steps


class GradualAdaptedClassifier(CallbackSupportMixin, FromFittedClassifier):
    """A classifier that follows its data as they change, by learning its own surest predictions step by step [1]_.

    Where the source and the last domain are too far apart for predictions to be right, those on the next domain along
    the way mostly are. In each step the classifier labels the rows of the next domain, leaves out the rows that it is
    least sure of, and learns the others. Networks of sktl go on from what they have learned; any other classifier is
    fitted anew on the rows of the step, and on those rows of the step before whose class would be forgotten.

    With ``order=None`` the domains have no order: each is adapted to from the source, and has a model of its own.

    Parameters
    ----------
    estimator : classifier
        Where adaptation starts: a fitted classifier, or one that first learns from the labelled rows given to `fit`.
        `clone` forgets what an estimator has learned, but for one in `sklearn.frozen.FrozenEstimator`. It is not
        changed.
    order : {"sorted"}, list or None, default="sorted"
        Order of the target domains in ``sample_domain``: that of numbers, dates, ordered categories or strings; the
        names in a list; or no order, for several targets.
    n_steps : int, default=10
        Without ``sample_domain``: even parts into which the target rows are cut, in the order in which they stand;
        fewer where a part would hold less than 100 rows or `batch_size`, for the errors of small parts add up.
    drop : float, default=0.1
        Share of a step's rows, the least sure ones, that are not learned. No class loses more than one and a half times
        this share of its rows: without that limit, as in [1]_, classes that are less sure dwindle from step to step.
    keep : {"step", "all"}, default="step"
        What is learned in a step: its rows alone, or those of all steps before too, and the labelled rows if the
        estimator learned from them here. "step" follows long ways, along which old rows become wrong; "all" is steadier
        where data drift to and fro, and errors would add up.
    max_epochs : int, default=5
        Epochs a step. This and what follows is for networks.
    steps_per_epoch : int or "auto", default="auto"
        Updates an epoch; "auto" goes once through the rows, and makes 20 at least.
    batch_size : int or "auto", default="auto"
        Rows of a batch: 64, 32 for a pretrained network, or all rows of the step if there are fewer.
    learning_rate : float or "auto", default="auto"
        Initial rate, 0.01 for "sgd", else 0.001; pretrained layers learn at a tenth of it.
    optimizer : {"sgd", "adam", "adamw"} or callable, default="sgd"
        ``optimizer(groups, lr=...)`` returns a torch optimizer. "sgd" has Nesterov momentum 0.9.
    weight_decay : float, default=0.001
        Of all weights.
    schedule : str, callable(step, n_steps) or None, default="dann"
        Factor of the rates within a step of adaptation.
    augment : {"crop_flip", "crop", "flip", "shift_flip", "shift"}, callable or None, default=None
        Random changes of training pictures, or of rows by a callable(X, generator); words as in `FineTunedClassifier`.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, as in `DomainAdaptedClassifier`.
    n_jobs : int or None, default=None
        Threads that decode pictures; None is all cores.
    callbacks : list, default=None
        skorch callbacks, which see every epoch.
    random_state : int, RandomState instance or None, default=None
        Of the order of rows, of their changes and of dropout.
    verbose : int, default=0
        1 shows a line with the time left, once `fit` takes more than 5 seconds; 2 prints a line an epoch.

    Attributes
    ----------
    estimator_ : estimator
        The classifier after the last step; the source's with ``order=None``.
    estimators_ : dict
        The classifier after each step by the name of its domain (its number without ``sample_domain``), in order.
    source_estimator_ : estimator
        The classifier before the first step.
    classes_ : ndarray
        The labels, sorted: those of the source.
    history_ : list of dict
        A row an epoch of a network: its step, train_loss, lr, dur. Empty for other classifiers.
    learning_rate_, batch_size_, steps_per_epoch_, max_epochs_, augment_
        What the training of networks went by in the last step: what "auto" became. None for other classifiers.
    n_trained_, n_parameters_ : int or None
        Numbers in the network that were trained, and all of them.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted and y holds no label.
    ValueError
        If domains are missing, or do not fit the order.

    References
    ----------
    .. [1] A. Kumar, T. Ma and P. Liang, "Understanding self-training for gradual domain adaptation", ICML, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.adaptation import GradualAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> angle = np.linspace(0, 2.4, 1200)  # two classes turn around each other
    >>> truth = np.tile([0, 1], 600)
    >>> X = (2 * truth - 1)[:, None] * np.c_[np.cos(angle), np.sin(angle)] + rng.normal(scale=0.3, size=(1200, 2))
    >>> y = np.where(np.arange(1200) < 200, truth, -1)  # only the beginning has labels
    >>> model = GradualAdaptedClassifier(LogisticRegression()).fit(X, y)
    >>> bool(model.score(X[1100:], truth[1100:]) > 0.9 > model.source_estimator_.score(X[1100:], truth[1100:]))
    True
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        **FromFittedClassifier._parameter_constraints,
        **TRAINING_CONSTRAINTS,
        "order": [StrOptions({"sorted"}), "array-like", None],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "drop": [Interval(Real, 0, 1, closed="left")],
        "keep": [StrOptions({"step", "all"})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        order: str | list | None = "sorted",
        n_steps: int = 10,
        drop: float = 0.1,
        keep: str = "step",
        max_epochs: int = 5,
        steps_per_epoch: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        optimizer: str | Callable = "sgd",
        weight_decay: float = 0.001,
        schedule: str | Callable | None = "dann",
        augment: str | Callable | None = None,
        unlabelled: Any = -1,
        n_jobs: int | None = None,
        callbacks: list | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.order = order
        self.n_steps = n_steps
        self.drop = drop
        self.keep = keep
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.augment = augment
        self.unlabelled = unlabelled
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None, **params: Any) -> GradualAdaptedClassifier:
        """Adapt along the domains of the unlabelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of the target, of the kind that the estimator takes; labelled source rows too if it is not fitted.
        y : array-like of shape (n,), default=None
            Labels, with `unlabelled`, NaN or None for the rows to adapt to; if no row is marked, all are adapted to.
            Labels are learned only by an estimator that is not fitted, and ignored otherwise.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain, a number, a date, an ordered category or a string; those of labelled rows are not looked
            at. By default the target rows are taken as they stand.
        **params : dict
            Further arguments of the fit of an estimator that is not fitted, one entry a row, such as `sample_weight`;
            by scikit-learn's metadata routing.

        Returns
        -------
        GradualAdaptedClassifier
            Itself.

        Raises
        ------
        TypeError
            If the estimator is a regressor.
        """
        refuse_regressor(self.estimator, type(self).__name__)
        if sample_domain is not None:
            domain_column(sample_domain, n_rows(X))
        X = rows_on_host(X)
        routed = self._routed(params)
        given = self._begin(X, y)
        steps = steps_of(given.rows, sample_domain, self.order, int(self.n_steps), self._least())
        if Start.of(self.estimator) is not None:
            check_batch(min(map(len, steps.values())), self.batch_size, type(self).__name__)
        steps = steps if self.order is None else with_neighbours(steps, self._least())
        context = self._init_callback_context(max_subtasks=len(steps) + given.learns_source)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        source = given.fitted(self.estimator, self, context, routed)
        training = SelfTraining(self, X, source.classes_, context)
        line = ProgressLine(type(self).__name__, len(steps), "steps")
        last = Labelled(
            given.labelled, np.array([]) if given.labels is None else known_labels(given.labels, given.labelled)
        )
        seeds = np.random.SeedSequence(seed_of(self.random_state)).generate_state(len(steps)) >> 1
        found: dict[Any, Any] = {}
        model, known = source, last
        for seed, (name, own) in zip(seeds, steps.items()):
            if self.order is None:
                model, known = source, last
            model, known = training.step(model, own, known, int(seed), name)
            found[name] = model
            if self.verbose == 1:
                line(len(found))
        line.close()
        fitted = {"source_estimator_": source, "estimators_": found, **training.learned()}
        fitted["estimator_"] = source if self.order is None else model
        self.__dict__.update(fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    def predict(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return the most probable labels, (n,).

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            The rows.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain: it is predicted by the model of that step. By default all rows are predicted by
            ``estimator_``.

        Returns
        -------
        ndarray
        """
        check_is_fitted(self)
        if sample_domain is None:
            return self.estimator_.predict(rows_on_host(X))
        return self._by_domain(X, sample_domain, lambda model, part: model.predict(rows_on_host(part)))

    @available_if(has("predict_proba"))
    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return probabilities, (n, n_classes), in the order of `classes_`; `sample_domain` as in `predict`."""
        check_is_fitted(self)
        if sample_domain is None:
            return self._probabilities(self.estimator_, X)
        return self._by_domain(X, sample_domain, self._probabilities)

    @available_if(has("predict_proba"))
    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return the logarithms of `predict_proba`; `sample_domain` as in `predict`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, sample_domain=sample_domain))

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: those of the source."""
        check_is_fitted(self)
        return self.source_estimator_.classes_

    def _least(self) -> int:
        """Return how many rows a part holds at least."""
        return LEAST if self.batch_size == "auto" else max(LEAST, int(self.batch_size))

    def _probabilities(self, model: Any, X: Any) -> np.ndarray:
        """Return a model's probabilities; a class that it has lost has none."""
        proba = check_finite(model.predict_proba(rows_on_host(X)), self)
        if len(model.classes_) == len(self.classes_):
            return proba
        out = np.zeros((len(proba), len(self.classes_)))
        out[:, np.searchsorted(self.classes_, model.classes_)] = proba
        return out

    def _by_domain(self, X: Any, sample_domain: Any, function: Callable[[Any, Any], np.ndarray]) -> np.ndarray:
        n = n_rows(X)
        domains = domain_column(sample_domain, n)
        parts, unknown = rows_by_domain(domains, self.estimators_)
        if unknown:
            raise ValueError(
                f"sample_domain has {shorten(map(repr, unknown))}, which fit has not adapted to; the domains are "
                f"{shorten(map(repr, self.estimators_))}. Leave sample_domain out to predict by the last model."
            )
        out: np.ndarray | None = None
        for name, rows in parts.items():
            part = function(self.estimators_[name], chosen(X, rows))
            out = np.empty((n, *part.shape[1:]), dtype=part.dtype) if out is None else out
            out[rows] = part
        assert out is not None
        return out
