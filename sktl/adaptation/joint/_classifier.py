"""Domain adaptation as a classifier."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._device import PRECISIONS, resolve_device
from sktl._estimator import LogitClassifierMixin, ModuleSharingMixin, NamedPartsMixin
from sktl._labelled_score import LabelledScoreMixin
from sktl._magnitudes import check_finite
from sktl._preprocessing import Preprocessing
from sktl._validation import MOST_UNITS
from sktl.adaptation._training_parameters import TRAINING_CONSTRAINTS
from sktl.adaptation.joint._keep_best import KeepBest
from sktl.adaptation.joint._network import HEADS
from sktl.adaptation.joint._reopening import Reopenable
from sktl.adaptation.joint._saving import Savable
from sktl.adaptation.joint._training import DomainTraining
from sktl.adaptation.losses import DomainLoss, get_loss
from sktl.training import EpochTasks, TrainingNet, history_of


class DomainAdaptedClassifier(
    Savable,
    Reopenable,
    LabelledScoreMixin,
    LogitClassifierMixin,
    CallbackSupportMixin,
    NamedPartsMixin,
    ModuleSharingMixin,
):
    """A network learned from labels in one domain that predicts in another, where there are none.

    Rows whose label is `unlabelled` are the target; the others are the source. Source and target rows go through the
    network together, and a loss makes what the classifier is given alike in both. Nothing else is asked of the user:
    pipelines, grid searches and stratified splits work as with scikit-learn's semi-supervised classifiers.

    Start with the default loss, CDAN+E: where weights and epochs are chosen without target labels, its mean accuracy
    over 26 pairs of domains is the highest of the measured losses (61.1; "mcc" has 60.7, and more on digits and SURF).
    With fewer than about 32 target rows, logistic regression on the source's rows may do better. On codes of pictures
    it was ahead with 8 target rows, behind on average from 16 on, and behind in each of six pairs from 128 on.

    Parameters
    ----------
    backbone : "auto", str, Module or callable, default="auto"
        "auto" is the embedded EfficientNet-Lite0 for pictures and a small MLP for 2-D feature rows. Else a name of
        `sktl.list_backbones`, or an ``nn.Module`` (or a callable that returns one) that is the extractor of features:
        its output is flattened, and a fresh copy is trained in each fit. A module takes pictures of one size in the
        size that they have; 2-D rows reach it as they are, unless `image_shape` says that they are pictures.
    loss : str, DomainLoss, list of these or None, default="cdan+e"
        What draws the domains together: "dann", "cdan", "cdan+e", "mmd", "jan", "coral", "cmd", "dsan", "deepjdot",
        "adda", "mcd", "mdd", "entropy", "mcc", "bnm", "afn", "bsp", "pseudo_labels", "fixmatch", "mean_teacher";
        with several sources and no target "irm", "group_dro", "mixstyle", "coral_sources". Or an object of
        `sktl.adaptation.losses` with parameters of its own, or a list whose terms add up. None learns the labelled rows
        alone: what adaptation is to be compared with.
    weights : "default", None or path, default="default"
        Published weights of a named backbone, or the values that a module has; None draws them anew.
    bottleneck : int or None, default=256
        Units of the layer, with batch norm, between backbone and classifier; None leaves it out.
    head : {"linear", "weight_norm"}, default="linear"
        The classifier; with "weight_norm" the directions of its weights and their lengths are learned apart.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, among labels of text also its text, "-1". Missing values (NaN, None) mark
        them too, but scikit-learn's splitters by class (``cv=3``, ``stratify=y``) have to sort labels, which -1 and
        "-1" bear and None does not. Other negative numbers are classes. None says that every row is labelled, for
        labels such as {-1, 1}; NaN that only missing values mark.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    batch_norm : {"shared", "separate", "target"}, default="separate"
        Whose statistics normalise. "shared": those of both domains together, in training and prediction. "separate":
        each domain's own in training, the target's in prediction. "target": both together in training, the target's,
        estimated afterwards, in prediction.
    max_epochs : int or "auto", default="auto"
        Epochs: 20, 10 from a pretrained backbone.
    steps_per_epoch : int or "auto", default="auto"
        Updates an epoch; "auto" goes once through the larger domain.
    batch_size : int or "auto", default="auto"
        Rows of each domain in a batch: 64, 32 for a pretrained backbone. Several sources share theirs equally. Domains
        with fewer rows are drawn from repeatedly.
    learning_rate : float or "auto", default="auto"
        Initial rate; pretrained layers learn at a tenth of it. "auto" is 0.01 for "sgd" (0.03 for rows), else 0.001.
    optimizer : {"sgd", "adam", "adamw"} or callable, default="sgd"
        ``optimizer(groups, lr=...)`` returns a torch optimizer. "sgd" has Nesterov momentum 0.9.
    weight_decay : float, default=0.001
        Of all weights.
    schedule : str, callable(step, n_steps) or None, default="dann"
        Factor of the rates: "dann" is (1 + 10 p)^-0.75 at share p of the training [1]_.
    label_smoothing : float, default=0.0
        Share of the label that is spread over all classes.
    augment : {"crop_flip", "crop", "flip", "shift_flip", "shift"}, callable or None, default=None
        Random changes of training pictures, or of rows by a callable(X, generator); words as in `FineTunedClassifier`.
    selection : "last" or callable(estimator, X, y), default="last"
        Which epoch is kept: the last, or the one that the scorer finds best. It is given what `fit` was given, the
        unlabelled mark included, so that it cannot peek at the target's labels.
    image_shape, value_range, image_size, preprocessing, n_jobs
        As in `CNNCodesTransformer`.
    checkpoint_dir : str or path, default=None
        As in `FineTunedClassifier`.
    callbacks : list, default=None
        skorch callbacks (on a GPU, none may wait for a fit in another thread). scikit-learn's come by `set_callbacks`.
    device, precision
        As in `CNNCodesTransformer`.
    random_state : int, RandomState or None, default=None
        Fixes the result.
    verbose : int, default=0
        1 shows a line with the time left, once `fit` takes more than 5 seconds; 2 prints a line an epoch.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted. Target rows are taken to be of these classes.
    n_iter_ : int
        Epochs of training; with a scorer for `selection`, ``best_epoch_`` is the one that is kept.
    history_ : list of dict
        A row an epoch: train_loss, its parts by name (train_supervised, train_cdan, ...), lr (of the new layers), dur.
    domains_, is_target_domain_ : ndarray of shape (n_domains,)
        Their names, and which of them are the target; "source" and "target" without ``sample_domain``.
    learning_rate_, batch_size_, steps_per_epoch_, max_epochs_, augment_
        What training went by: what "auto" became.
    n_trained_, n_parameters_ : int
        Numbers in the network that were trained, and all of them.
    module_ : Module
        The network, on `device`.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    DivergenceError
        If the loss leaves the finite numbers: at which step, and what to try. Nothing is learned then.

    References
    ----------
    .. [1] Y. Ganin et al., "Domain-adversarial training of neural networks", JMLR, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> X[100:] += 0.5  # the target is elsewhere
    >>> y[100:] = -1    # and has no labels
    >>> model = DomainAdaptedClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> model.predict(X[100:]).shape
    (100,)
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "backbone": [str, nn.Module, callable],
        "loss": [str, DomainLoss, list, tuple, None],
        "weights": [str, Path, None],
        "bottleneck": [Interval(Integral, 1, MOST_UNITS, closed="both"), None],
        "head": [StrOptions(set(HEADS))],
        "unlabelled": "no_validation",
        "target_domain": "no_validation",
        "batch_norm": [StrOptions({"shared", "separate", "target"})],
        **TRAINING_CONSTRAINTS,
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "selection": [StrOptions({"last"}), callable],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocessing": [Preprocessing, Mapping, None],
        "n_jobs": [Integral, None],
        "checkpoint_dir": [str, Path, None],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        backbone: str | nn.Module | Callable = "auto",
        *,
        loss: str | DomainLoss | list | None = "cdan+e",
        weights: str | Path | None = "default",
        bottleneck: int | None = 256,
        head: str = "linear",
        unlabelled: Any = -1,
        target_domain: Any = None,
        batch_norm: str = "separate",
        max_epochs: int | str = "auto",
        steps_per_epoch: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        optimizer: str | Callable = "sgd",
        weight_decay: float = 0.001,
        schedule: str | Callable | None = "dann",
        label_smoothing: float = 0.0,
        augment: str | Callable | None = None,
        selection: str | Callable = "last",
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
        checkpoint_dir: str | Path | None = None,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.backbone = backbone
        self.loss = loss
        self.weights = weights
        self.bottleneck = bottleneck
        self.head = head
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.batch_norm = batch_norm
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.selection = selection
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"loss": get_loss}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, *, sample_domain: Any = None, sample_weight: Any = None) -> DomainAdaptedClassifier:
        """Learn from labelled source rows and unlabelled target rows.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of all domains: pictures as arrays of shape (n, H, W), (n, H, W, 1 | 3 | 4) or (n, 1 | 3, H, W), uint8
            or float in [0, 1]; a sequence of file paths or PIL images; or 2-D feature rows.
        y : array-like of shape (n,)
            Labels of any type; `unlabelled`, NaN or None where there is none.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain, an int or a string. Not needed for one source with labels and one target without.
        sample_weight : array-like of shape (n,), default=None
            Weights of the labelled rows in the cross entropy, of which only the ratios matter; rows of weight zero are
            left out.

        Returns
        -------
        DomainAdaptedClassifier
            Itself.
        """
        with contextlib.ExitStack() as lasting:
            training, learned = DomainTraining.of(self, X, y, sample_domain, sample_weight, lasting)
            return self._fit(training, learned, X, y)

    def _fit(self, training: DomainTraining, learned: dict[str, Any], X: Any, y: Any) -> DomainAdaptedClassifier:
        context = self._init_callback_context(max_subtasks=training.budget.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        network, batches = training.network(), training.batches()
        learned |= {"_scaler": training.scaler, "n_iter_": 1, "history_": [], **training.resolved(network)}

        def so_far() -> dict[str, Any]:
            return {**learned, "_learned": training.learned(copy.deepcopy(network))}

        selection, keeper, saved = None, training.keeper, training.saved
        if callable(self.selection):
            kept = None if keeper is None else keeper.extra["best"]
            selection = KeepBest(lambda: self._as_if(so_far()), self.selection, X, y, kept)
            if saved is not None:
                selection.restore(saved["best"], network)
        net = training.net(network, batches.layout, selection)
        train = net.fit if keeper is None else partial(keeper.train, net, saved)
        train(batches, progress=EpochTasks(self, context, X, y, fitted=so_far))
        fitted = self._outcome(training, net, batches.take, selection) | {
            name: value for name, value in learned.items() if name not in ("n_iter_", "history_")
        }
        self.__dict__.update(fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    def _outcome(self, training: DomainTraining, net: TrainingNet, take: Any, selection: Any) -> dict[str, Any]:
        net.module.close()
        network = net.module.network if selection is None else selection.best_network
        if self.batch_norm == "target" and len(training.roles.target):
            training.use_target_statistics(network.to(training.device), take)
        history = history_of(net)
        chosen = {} if selection is None else {"best_epoch_": selection.best_epoch}
        return {"_learned": training.learned(network), "history_": history, "n_iter_": len(history), **chosen}

    def features(self, X: Any) -> np.ndarray:
        """Return what the classifier is given, the adapted features, float64 of shape (n, n_features)."""
        return self._outputs(X, features=True)

    def _outputs(self, X: Any, *, features: bool = False) -> np.ndarray:
        return self._of_one_pass(X, "features" if features else "logits")[0]

    def _of_one_pass(self, X: Any, *what: str) -> tuple[np.ndarray, ...]:
        check_is_fitted(self, "n_iter_")
        device, dtype = resolve_device(self.device), getattr(torch, self._dtype)
        return tuple(
            check_finite(o, self) for o in self._learned.outputs(self._read(X), device, dtype, self.n_jobs, what)
        )

    @property
    def module_(self) -> nn.Module:
        """The network in evaluation mode: pictures with values in 0..255, or rows, to logits."""
        check_is_fitted(self, "n_iter_")
        return self._learned.on(resolve_device(self.device))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags
