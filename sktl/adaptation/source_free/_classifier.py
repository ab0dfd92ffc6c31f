"""Adaptation of a fitted classifier to unlabelled rows, by the certainty and the spread of its predictions."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval

from sktl._callbacks import CallbackSupportMixin
from sktl._device import resolve_device
from sktl.adaptation._training_parameters import TRAINING_CONSTRAINTS
from sktl.adaptation.from_fitted._base import FromFittedClassifier
from sktl.adaptation.from_fitted._start import network_start
from sktl.adaptation.from_fitted._target_rows import TargetRows, rate_groups, resolved
from sktl.adaptation.source_free._shot import InformationStep, RefreshLabels
from sktl.training import (
    PRETRAINED_SHARE,
    EpochTasks,
    TrainingNet,
    WholeBatches,
    history_of,
    processes_of,
    shared_seed,
)

SGD_RATE, ADAM_RATE = 0.01, 1e-3


class SourceFreeAdaptedClassifier(CallbackSupportMixin, FromFittedClassifier):
    """A fitted classifier, adapted to unlabelled rows without the rows that it learned from (SHOT [1]_).

    The classifier's last layer stays as it is: it holds what the source taught. The layers below learn to give it
    features on which its predictions are certain for each row and spread over the classes, and on which they agree
    with pseudo-labels: the nearest class centroids of the rows' features, taken anew in every epoch.

    The estimator is not changed; what is adapted is a copy of its network. What the paper does on the source too is
    ``DomainAdaptedClassifier(loss=None, label_smoothing=0.1, head="weight_norm")``, whose bottleneck has batch norm.

    Parameters
    ----------
    estimator : FineTunedClassifier, DomainAdaptedClassifier, FrozenEstimator or Pipeline
        Fitted: where adaptation starts. `clone`, and so cross-validation, forgets what an estimator has learned, but
        for one in `sklearn.frozen.FrozenEstimator`. If it is not fitted, a clone first learns from the labelled rows
        given to `fit`. In a Pipeline that ends in one of these, the steps before stay as they are.
    weight : float, default=0.3
        Of the cross entropy to the pseudo-labels. On easy pairs, such as digits, the paper takes 0.1.
    diversity : float, default=1.0
        Of the entropy of the mean prediction; less of it for targets in which classes are of very unequal size.
    max_epochs : int, default=15
        Epochs; before each the pseudo-labels are taken anew.
    steps_per_epoch : int or "auto", default="auto"
        Updates an epoch; "auto" goes once through the rows, and makes 20 at least.
    batch_size : int or "auto", default="auto"
        Rows of a batch: 64, 32 for a pretrained network, or all rows if there are fewer.
    learning_rate : float or "auto", default="auto"
        Initial rate, 0.01 for "sgd", else 0.001; pretrained layers learn at a tenth of it.
    optimizer : {"sgd", "adam", "adamw"} or callable, default="sgd"
        ``optimizer(groups, lr=...)`` returns a torch optimizer. "sgd" has Nesterov momentum 0.9.
    weight_decay : float, default=0.001
        Of all weights that learn.
    schedule : str, callable(step, n_steps) or None, default="dann"
        Factor of the rates: "dann" is (1 + 10 p)^-0.75 at share p of the training.
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
        The adapted classifier; it predicts by itself, and pickles without this one.
    classes_ : ndarray
        The labels, sorted.
    n_iter_ : int
        Epochs.
    history_ : list of dict
        A row an epoch: train_loss, its parts (train_entropy, train_diversity, train_pseudo_labels),
        pseudo_labels_changed (the share of rows), lr, dur.
    learning_rate_, batch_size_, steps_per_epoch_, max_epochs_, augment_
        What training went by: what "auto" became.
    n_trained_, n_parameters_ : int
        Numbers in the network that were trained, and all of them.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted and y holds no label.
    ValueError
        If there are fewer rows than a batch holds.

    References
    ----------
    .. [1] J. Liang, D. Hu and J. Feng, "Do we really need to access the source data? Source hypothesis transfer for
       unsupervised domain adaptation", ICML, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> source = DomainAdaptedClassifier(loss=None, label_smoothing=0.1, max_epochs=5, random_state=0).fit(X, y)
    >>> X_target = rng.normal(size=(80, 4)) + 0.5
    >>> adapted = SourceFreeAdaptedClassifier(source, max_epochs=3, random_state=0).fit(X_target)
    >>> adapted.predict(X_target).shape
    (80,)
    """

    _parameter_constraints: ClassVar[dict] = {
        **FromFittedClassifier._parameter_constraints,
        **TRAINING_CONSTRAINTS,
        "weight": [Interval(Real, 0, None, closed="left")],
        "diversity": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        weight: float = 0.3,
        diversity: float = 1.0,
        max_epochs: int = 15,
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
        self.weight = weight
        self.diversity = diversity
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
    def fit(self, X: Any, y: Any = None, **params: Any) -> SourceFreeAdaptedClassifier:
        """Adapt a copy of the estimator to unlabelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of the target, of the kind that the estimator takes; labelled source rows too if it is not fitted.
        y : array-like of shape (n,), default=None
            Labels, with `unlabelled`, NaN or None for the rows to adapt to; if no row is marked, all are adapted to.
            Labels are learned only by an estimator that is not fitted, and ignored otherwise.
        **params : dict
            Further arguments of the fit of an estimator that is not fitted, one entry a row, such as `sample_weight`;
            by scikit-learn's metadata routing.

        Returns
        -------
        SourceFreeAdaptedClassifier
            Itself.
        """
        network_start(self.estimator, type(self).__name__)  # of a kind that can be adapted, before anything is learned
        routed = self._routed(params)
        given = self._begin(X, y)
        context = self._init_callback_context(max_subtasks=int(self.max_epochs) + given.learns_source)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        start = network_start(given.fitted(self.estimator, self, context, routed), type(self).__name__)
        network, device = start.open(), resolve_device(start.classifier.device)
        network.module.to(device)
        target = TargetRows(start.read(given.target), network, device, self.n_jobs)
        processes = processes_of(start.classifier.device, WholeBatches)
        seed = shared_seed(self.random_state, start.classifier.device)
        seeds = np.random.SeedSequence(seed).generate_state(2) >> 1
        size = target.batch_size(self.batch_size, type(self).__name__)
        batches = target.batches(
            torch.zeros(target.n_rows, dtype=torch.int64), size, steps_per_epoch=self.steps_per_epoch,
            max_epochs=int(self.max_epochs), augment=self.augment, seed=int(seeds[0]),
        )  # fmt: skip
        network.head.requires_grad_(False)
        rate = self.learning_rate
        if rate == "auto":
            rate = SGD_RATE if self.optimizer == "sgd" else ADAM_RATE
        step = InformationStep(float(self.weight), float(self.diversity), processes)
        net = TrainingNet(
            network.module, step, optimizer=self.optimizer,
            param_groups=rate_groups(network, float(rate), PRETRAINED_SHARE, but=network.head),
            weight_decay=float(self.weight_decay), schedule=self.schedule, max_epochs=int(self.max_epochs), split=None,
            dtype=network.dtype, frozen=lambda module: [network.head], keep_last_good=True, classify=True,
            device=device, random_state=int(seeds[1]), verbose=int(self.verbose), processes=processes,
            callbacks=[("sktl_pseudo_labels", RefreshLabels(target, batches)), *(self.callbacks or [])],
        )  # fmt: skip
        net.fit(batches, progress=EpochTasks(self, context, X, y))
        history = history_of(net)
        fitted_attributes = resolved(network, float(rate), size, batches, int(self.max_epochs), self.augment)
        fitted_attributes |= {"estimator_": start.closed(network.module), "history_": history, "n_iter_": len(history)}
        self.__dict__.update(fitted_attributes)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted_attributes)
        return self
