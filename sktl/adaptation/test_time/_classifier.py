"""Adaptation of a fitted classifier's batch norms to the rows that it meets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sktl._callbacks import CallbackSupportMixin
from sktl._delegation import has
from sktl._device import resolve_device
from sktl._draws import seed_of
from sktl._estimator import OpenNetwork
from sktl._forking import ForkSafeLock
from sktl._magnitudes import check_finite
from sktl._progress import stage
from sktl.adaptation._moments import Moments, norms_of
from sktl.adaptation.from_fitted._base import FromFittedClassifier
from sktl.adaptation.from_fitted._start import FIT_FIRST, Start, is_fitted, network_start
from sktl.adaptation.from_fitted._target_rows import TargetRows
from sktl.adaptation.test_time._norm_adaptation import NormAdaptation, NormOptions, affine_of, check_norms
from sktl.training import OPTIMIZERS, as_tensors, to_arrays


class TestTimeAdaptedClassifier(CallbackSupportMixin, FromFittedClassifier):
    """A fitted classifier whose batch norms follow unlabelled rows: AdaBN [1]_ and TENT [2]_.

    AdaBN puts the target's statistics in the place of the source's: nothing is trained, and it takes one pass. TENT
    also trains the norms' scales and shifts, to where predictions are certain. The estimator is not changed; what is
    adapted is a copy of its network.

    Departures from the papers: statistics are pooled over all batches (mean and variance as if they had been one), so
    that `predict` depends on no other row. Two ways to collapse are noticed and undone, with a warning: TENT makes
    all rows one class; and rows of a single class, or of a few, are spread over all classes by norms that take their
    statistics for those of all. The second is seen by predictions that amount to more than twice as many classes
    beyond the first, of which each row is much less sure, while the first norm is given values that the source may
    have had; the rows are then left out.

    Parameters
    ----------
    estimator : FineTunedClassifier, DomainAdaptedClassifier, FrozenEstimator or Pipeline
        Fitted, and with batch norm: where adaptation starts. As in `SourceFreeAdaptedClassifier`, one that is not
        fitted first learns from the labelled rows given to `fit`.
    method : {"adabn", "tent"}, default="adabn"
        What follows: the norms' statistics, or their scales and shifts too. Start with the default, which trains
        nothing; "tent" gained 1 to 2 points more on corrupted digits, and nothing on codes of PACS.
    online : bool, default=False
        Whether `predict`, `predict_proba`, `decision_function` and `score` adapt to the rows that they are given,
        batch by batch. Otherwise they change nothing.
    prior : float, default=0
        Rows that the source's statistics count as beside the target's [3]_: for few rows, even streams of single ones.
    momentum : float or None, default=None
        How fast older statistics are forgotten: the share that the rows of a call to `adapt`, or a batch of the
        stream, replace. None forgets nothing.
    max_epochs : int, default=1
        Passes of TENT's training in `fit` and `adapt`.
    batch_size : int or "auto", default="auto"
        Rows of a batch, whose statistics TENT learns by: 64, 32 for a pretrained network, or all rows if there are
        fewer. The rows of a call are shared evenly by batches of at least that many.
    learning_rate : float, default=0.001
        Of TENT.
    optimizer : {"sgd", "adam", "adamw"} or callable, default="adam"
        Of TENT.
    undo_collapse : bool, default=True
        Whether collapse is looked for and undone; it takes one more pass of the rows, without gradients.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, as in `DomainAdaptedClassifier`.
    n_jobs : int or None, default=None
        Threads that decode pictures; None is all cores.
    random_state : int, RandomState instance or None, default=None
        Of the order of rows in TENT.
    verbose : int, default=0
        1 shows a line with the time left, from 5 seconds on; 2 prints a line an epoch of TENT.

    Attributes
    ----------
    estimator_ : estimator
        The adapted classifier as it is now; it predicts by itself, and pickles without this one.
    classes_ : ndarray
        The labels, sorted.
    batch_size_, learning_rate_, n_trained_, n_parameters_ : what the last rows were adapted by, and the network's size.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted and y holds no label.
    ValueError
        If its network has no batch norm, or there are fewer rows than a batch holds.

    References
    ----------
    .. [1] Y. Li et al., "Revisiting batch normalization for practical domain adaptation", arXiv:1603.04779, 2016.
    .. [2] D. Wang et al., "Tent: Fully test-time adaptation by entropy minimization", ICLR, 2021.
    .. [3] S. Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation",
       NeurIPS, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedClassifier, TestTimeAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> source = DomainAdaptedClassifier(loss=None, max_epochs=5, random_state=0).fit(X, y)
    >>> X_target = rng.normal(size=(80, 4)) + 0.5
    >>> adapted = TestTimeAdaptedClassifier(source).adapt(X_target)
    >>> adapted.predict(X_target).shape
    (80,)
    """

    __test__: ClassVar[bool] = False  # pytest takes classes of this name for tests
    _start: Start
    _adapted: Any
    _session: NormAdaptation | None
    _progress: dict[str, Any] | None  # of a session that went through a pickle
    _moments: Moments
    _affine: dict[str, Tensor]
    _parameter_constraints: ClassVar[dict] = {
        **FromFittedClassifier._parameter_constraints,
        "method": [StrOptions({"adabn", "tent"})],
        "online": ["boolean"],
        "prior": [Interval(Real, 0, None, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="right"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "undo_collapse": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "adabn",
        online: bool = False,
        prior: float = 0.0,
        momentum: float | None = None,
        max_epochs: int = 1,
        batch_size: int | str = "auto",
        learning_rate: float = 0.001,
        optimizer: str | Callable = "adam",
        undo_collapse: bool = True,
        unlabelled: Any = -1,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.method = method
        self.online = online
        self.prior = prior
        self.momentum = momentum
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.undo_collapse = undo_collapse
        self.unlabelled = unlabelled
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> TestTimeAdaptedClassifier:
        """Start over from the estimator, and adapt a copy of it to unlabelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of the target, of the kind that the estimator takes; labelled source rows too if it is not fitted.
        y : array-like of shape (n,), default=None
            Labels, with `unlabelled`, NaN or None for the rows to adapt to; if no row is marked, all are adapted to.
            Labels are learned only by an estimator that is not fitted, and ignored otherwise.
        **params : dict
            Of the fit of an estimator that is not fitted, such as `sample_weight`, by metadata routing.

        Returns
        -------
        TestTimeAdaptedClassifier
            Itself.
        """
        network_start(self.estimator, type(self).__name__)  # of a kind that can be adapted, before anything is learned
        routed = self._routed(params)
        given = self._begin(X, y)
        context = self._init_callback_context(max_subtasks=1 + given.learns_source)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        start = network_start(given.fitted(self.estimator, self, context, routed), type(self).__name__)
        session = self._new_session(start)
        self._adapt(session, start, given.target, context)
        self._settle(start, session)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def adapt(self, X: Any) -> TestTimeAdaptedClassifier:
        """Adapt to more rows, on top of those seen so far; with a fitted estimator no `fit` is needed before.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of the target.

        Returns
        -------
        TestTimeAdaptedClassifier
            Itself.
        """
        self._validate_params()
        if not self.__sklearn_is_fitted__():
            self.reset()
        with self._lock, self._kept_whole() as session:
            self._adapt(session, self._start, X)
        return self

    def reset(self) -> TestTimeAdaptedClassifier:
        """Go back to the estimator as it was before any adaptation: the beginning of a stream, too.

        Returns
        -------
        TestTimeAdaptedClassifier
            Itself.
        """
        self._validate_params()
        if self.__sklearn_is_fitted__():
            start = self._start
        elif is_fitted(self.estimator):
            start = network_start(self.estimator, type(self).__name__)
        else:
            raise NotFittedError(f"The estimator of this {type(self).__name__} is not fitted. {FIT_FIRST}")
        session = self._new_session(start)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(start.before or start.classifier, name):
                setattr(self, name, getattr(start.before or start.classifier, name))
        self._settle(start, session)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable labels, (n,); with `online`, after adapting to each batch of the rows."""
        check_is_fitted(self)
        if not self.online:
            return super().predict(X)
        return self.classes_[self._follow(X).argmax(axis=1)]

    @available_if(has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, (n, n_classes), in the order of `classes_`; adapts if `online`."""
        check_is_fitted(self)
        return softmax(self._follow(X), axis=1) if self.online else super().predict_proba(X)

    @available_if(has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits, (n, n_classes), their difference (n,) for two classes; adapts if `online`."""
        check_is_fitted(self)
        if not self.online:
            return super().decision_function(X)
        logits = self._follow(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    @property
    def estimator_(self) -> Any:
        """The adapted classifier as it is now."""
        check_is_fitted(self)
        return self._adapted

    def _new_session(self, start: Start) -> NormAdaptation:
        network = start.open()
        check_norms(network, self.method, start.classifier)
        return self._session_of(network, start, Moments(norms_of(network.module), self.momentum), affine_of(network))

    def _session_of(
        self, network: OpenNetwork, start: Start, moments: Moments, affine: dict[str, Tensor]
    ) -> NormAdaptation:
        options = NormOptions(
            trains=self.method == "tent", undoes=bool(self.undo_collapse), prior=float(self.prior),
            learning_rate=float(self.learning_rate), optimizer=self.optimizer, max_epochs=int(self.max_epochs),
            seed=seed_of(self.random_state), verbose=int(self.verbose),
        )  # fmt: skip
        return NormAdaptation(network, resolve_device(start.classifier.device), options, moments, affine)

    @contextlib.contextmanager
    def _kept_whole(self) -> Iterator[NormAdaptation]:
        """Lend what goes on from where the adapted classifier stands; an error leaves the classifier as it was."""
        session, self._session = self._session, None
        if session is None:
            parts = Start.of(self._adapted)
            assert parts is not None
            session = self._session_of(parts.open(), self._start, self._moments, self._affine)
            progress: dict[str, Any] | None = self.__dict__.get("_progress")
            if progress is not None:
                session.take_up(progress)
                self._progress = None
        yield session
        self._settle(self._start, session)

    def _adapt(self, session: NormAdaptation, start: Start, X: Any, context: Any = None) -> None:
        rows = self._rows(session, start, X)
        size = rows.batch_size(self.batch_size, type(self).__name__, session.least)
        with stage(self, context, "adaptation", rows.n_rows * session.n_passes, "rows") as watch:
            session.adapt(rows, size, watch)
        self.batch_size_ = size

    def _rows(self, session: NormAdaptation, start: Start, X: Any) -> TargetRows:
        return TargetRows(start.read(X), session.network, session.device, self.n_jobs)

    def _follow(self, X: Any) -> np.ndarray:
        with self._lock, self._kept_whole() as session:
            rows = self._rows(session, self._start, X)
            size = rows.batch_size(self.batch_size, type(self).__name__, session.least)
            logits = torch.cat([session.follow(batch) for batch in rows.in_order(size)])
        return check_finite(logits.double().cpu().numpy(), self)

    def _settle(self, start: Start, session: NormAdaptation) -> None:
        """Hold what was learned; the session may go on."""
        if not hasattr(self, "_lock"):
            self._lock = ForkSafeLock()
        self._start, self._session, self._progress = start, session, None
        self._moments, self._affine = session.moments.to("cpu"), {n: v.cpu() for n, v in session.start.items()}
        self._adapted = start.closed(session.copied())
        self.learning_rate_ = float(self.learning_rate) if self.method == "tent" else None
        self.n_trained_ = sum(v.numel() for v in session.start.values()) if self.method == "tent" else 0
        self.n_parameters_ = sum(p.numel() for p in session.network.module.parameters())

    def __sklearn_is_fitted__(self) -> bool:
        return "_adapted" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        with self.__dict__.get("_lock", contextlib.nullcontext()):
            state = {name: value for name, value in super().__getstate__().items() if name not in ("_session", "_lock")}
            if (session := self.__dict__.get("_session")) is not None:
                state["_progress"] = session.progress()
            return state | {name: to_arrays(state[name]) for name in ("_affine", "_progress") if name in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({n: as_tensors(v) if n in ("_affine", "_progress") else v for n, v in state.items()})
        if "_adapted" in state:
            self._session, self._lock = None, ForkSafeLock()
