"""Fine-tuning as a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl._class_weight import check_class_names, weighted_by_class
from sktl._columns import class_labels
from sktl._estimator import LogitClassifierMixin
from sktl._label_matrix import is_label_matrix
from sktl._preprocessing import Preprocessing
from sktl.cache import CodeCache
from sktl.finetuning._base import FineTuned
from sktl.finetuning._batches import Examples
from sktl.finetuning._classification import checked_classes, classification_task
from sktl.finetuning._held_out import HeldOut
from sktl.finetuning._lora import LoRA
from sktl.finetuning._targets import check_known_weights
from sktl.finetuning._training import Task


class FineTunedClassifier(LogitClassifierMixin, FineTuned):
    """A pretrained network adjusted to labelled pictures, or an MLP on feature rows.

    How much of the network is retrained is a parameter, so that a grid search can choose it. Few pictures that resemble
    ImageNet's want the head alone, many want all layers; by default, few stay near the head.

    Parameters
    ----------
    backbone : "auto", str, Module or callable, default="auto"
        "auto" is the embedded EfficientNet-Lite0 for pictures, and for 2-D feature rows a residual MLP that starts as
        the linear model. Else a name of `sktl.list_backbones`, an ``nn.Module`` (copied as it is in `fit`, so that
        later changes have no effect), or a callable that returns one.
    weights : "default", None, str or path, default="default"
        Published weights, random values, or a file, as in `CNNCodesTransformer`.
    strategy : {"head", "last", "full", "gradual", "lp-ft", "scratch"}, default="lp-ft"
        How much is trained. "head": logistic regression on the fixed network's codes at unit length, solved.
        "last": the layers beyond `freeze_until` (a depth of 0.8). "full": all layers. "gradual": all, unfrozen stage
        by stage from the top [1]_. "lp-ft": the head is solved, then all layers train from there, which distorts the
        features less [2]_. "scratch": random values instead of the pretrained ones. Start with the default.
    layer : str or float, default="penultimate"
        Behind which layer, by name or depth, the head sits; the rest of the network is cut off.
    freeze_until : str or float, default=None
        The layer, by name or depth in (0, 1], up to which everything stays as it is, batch norm's statistics included.
    C : float or "auto", default="auto"
        Inverse strength of the penalty where the head is solved; "auto" is that of `LogisticRegressionLOO`.
    learning_rate : float or "auto", default="auto"
        Peak rate of the head, "auto" 1e-3 (1e-2 for "sgd"). Pretrained layers take a tenth, 0.3 of it in "lp-ft".
    tuned_share : float or "auto", default="auto"
        How far the weights that "lp-ft" keeps lie on the way from the network with the solved head, 0, to the one
        where training ended, 1: both are averaged [5]_. "auto" is n / (n + 50) for n pictures, n / (n + 400) for
        rows; where a part is held out, or data of your own are given, the best there of 0, 0.25, 0.5, 0.75 and 1.
    layer_decay : float, default=0.9
        Each layer further from the head learns at this multiple of the rate of the one above it.
    max_epochs : int or "auto", default="auto"
        Passes through the data, at most: 10; 3 where the head leaves only noise to gain; 30 for rows and "scratch".
    max_steps : int, default=None
        Updates, at most. None is BiT's rule [3]_: 500 below 20,000 examples, 10,000 below 500,000, else 20,000.
    batch_size : int or "auto", default="auto"
        "auto" is a quarter of the data (a sixteenth of feature rows), from 4 up to 32 on a CPU, 64 elsewhere.
    optimizer : {"adamw", "adam", "sgd"} or callable, default="adamw"
        ``optimizer(groups, lr=...)`` returns a torch optimizer.
    weight_decay : float, default=0.01
        Of weight matrices; biases and norms have none.
    schedule : str, callable(step, n_steps) or None, default="one_cycle"
        Factor of the rates: "one_cycle", "cosine", "linear", "constant", "steps", or your own.
    augment : {"auto", "crop_flip", "crop", "flip", "shift_flip", "shift"}, callable or None, default="auto"
        Pictures in training: a part of each ("crop"), mirrored ("flip"), moved by up to two pixels ("shift"). "auto"
        crops and flips where sides have, and are seen at, at least 64 pixels, but only flips fewer than 200 in "lp-ft".
        A callable takes (pictures, generator), values in 0..255 of shape (batch, 3, height, width).
    n_views : int or None, default=4
        Where layers are frozen, they run once for each of so many augmented views of a picture, and each epoch draws
        one of them. None draws anew in every epoch, at the price of running the frozen layers each time.
    progressive_resizing : float, default=None
        Share of the side at which training starts [6]_; pictures grow in four stages, to whole ones. 0.5 takes some two
        thirds of the time, in networks that take any size; frozen layers that run once are given whole pictures.
    mixup, cutmix : float, default=0.0
        Above 0, each example is mixed with another in a share drawn from Beta(mixup, mixup): by values, or by a
        patch (cutmix). With both, either at random.
    label_smoothing : float, default=0.0
        Share of the label that is spread over all classes.
    l2_sp : float, default=0.0
        Strength of the pull of pretrained weights to where they started, ``l2_sp / 2 * ||w - w0||^2`` [4]_; weight
        decay is then the head's alone.
    freeze_bn : bool or "auto", default="auto"
        Whether batch norm keeps its statistics in all layers; "auto" where batches have fewer than 16 examples or
        training fewer than 200 updates, but not from scratch.
    adapter : "lora", LoRA or None, default=None
        Train low-rank changes of the weights instead of the weights.
    ema : float, default=None
        Decay of an exponential moving average of the weights, which is then what predicts.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the sample weights, as in scikit-learn; "balanced" counts rows by their weights.
    early_stopping : bool or "auto", default="auto"
        Hold a part out, stop when its loss no longer improves, and return to the best epoch; "auto" does so from 1,000
        examples. Not for "head".
    validation_fraction : float, default=0.1
        The part that is held out, each class in proportion.
    n_iter_no_change : int, default=5
        Epochs without improvement until training stops.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one ended.
    image_shape, value_range, image_size, preprocessing, n_jobs
        As in `CNNCodesTransformer`.
    cache : None, "memory", path or CodeCache, default=None
        Where the fixed network's codes and the frozen layers' outputs are kept by content, so that folds and grid
        points share them. None keeps them for one fit.
    checkpoint_dir : str or path, default=None
        Folder that keeps the state of training after each epoch; several fits may share it. A fit of the same data and
        parameters goes on from the last epoch kept there, with the same result. Settings that cannot be told apart in
        another process are not resumed, with a warning.
    callbacks : list, default=None
        skorch callbacks (on a GPU, none may wait for a fit in another thread). scikit-learn's come by `set_callbacks`.
    device, precision, compile
        As in `CNNCodesTransformer`. With "accelerate", several processes of ``accelerate launch`` share each batch.
    random_state : int, RandomState or None, default=None
        Fixes the result.
    verbose : int, default=0
        1 shows a line with the time left, once `fit` takes more than 5 seconds; 2 prints a line an epoch.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    n_iter_ : int
        Epochs of training; iterations of the solver with "head".
    history_ : list of dict
        A row an epoch: train_loss, valid_loss, valid_accuracy, lr (the head's), dur; `warm_start` adds to it.
    learning_rate_, batch_size_, max_epochs_, max_steps_, augment_, freeze_bn_, early_stopping_, C_ : various
        What training went by: what "auto" became. None where it played no part.
    best_epoch_ : int or None
        The epoch whose weights early stopping has kept; None where it played no part, and the last epoch's are kept.
    tuned_share_ : float or None
        The share of the way that was taken; None where no solved head was trained further.
    frozen_until_ : str or None
        The last layer that stayed as it was.
    n_trained_, n_parameters_, n_features_in_ : int
        Numbers in the network that were trained, and all of them; columns of 2-D X.
    module_ : Module
        The network, on `device`. A pickle holds only what differs from the pretrained one.

    Raises
    ------
    DivergenceError
        If the loss leaves the finite numbers: at which step, and what to try. Nothing is learned then.

    References
    ----------
    .. [1] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL, 2018.
    .. [2] A. Kumar, A. Raghunathan, R. Jones, T. Ma and P. Liang, "Fine-tuning can distort pretrained features and
       underperform out-of-distribution", ICLR, 2022.
    .. [3] A. Kolesnikov et al., "Big transfer (BiT): general visual representation learning", ECCV, 2020.
    .. [4] X. Li, Y. Grandvalet and F. Davoine, "Explicit inductive bias for transfer learning with convolutional
       networks", ICML, 2018.
    .. [5] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR, 2022.
    .. [6] M. Tan and Q. Le, "EfficientNetV2: smaller models and faster training", ICML, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.finetuning import FineTunedClassifier
    >>> pictures = np.random.default_rng(0).integers(0, 200, (8, 32, 32, 3), dtype=np.uint8)
    >>> pictures[::2] += 50
    >>> labels = ["light", "dark"] * 4
    >>> model = FineTunedClassifier(strategy="head", image_size=32).fit(pictures, labels)
    >>> model.predict_proba(pictures[:3]).shape
    (3, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **FineTuned._parameter_constraints,
        "cutmix": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        backbone: str | nn.Module | Callable = "auto",
        *,
        weights: str | Path | None = "default",
        strategy: str = "lp-ft",
        layer: str | float = "penultimate",
        freeze_until: str | float | None = None,
        C: float | str = "auto",
        learning_rate: float | str = "auto",
        tuned_share: float | str = "auto",
        layer_decay: float = 0.9,
        max_epochs: int | str = "auto",
        max_steps: int | None = None,
        batch_size: int | str = "auto",
        optimizer: str | Callable = "adamw",
        weight_decay: float = 0.01,
        schedule: str | Callable | None = "one_cycle",
        augment: str | Callable | None = "auto",
        n_views: int | None = 4,
        progressive_resizing: float | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        label_smoothing: float = 0.0,
        l2_sp: float = 0.0,
        freeze_bn: bool | str = "auto",
        adapter: str | LoRA | None = None,
        ema: float | None = None,
        class_weight: Mapping | str | None = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
        cache: str | Path | CodeCache | None = None,
        checkpoint_dir: str | Path | None = None,
        callbacks: list | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        compile: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.strategy = strategy
        self.layer = layer
        self.freeze_until = freeze_until
        self.C = C
        self.learning_rate = learning_rate
        self.tuned_share = tuned_share
        self.layer_decay = layer_decay
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.augment = augment
        self.n_views = n_views
        self.progressive_resizing = progressive_resizing
        self.mixup = mixup
        self.cutmix = cutmix
        self.label_smoothing = label_smoothing
        self.l2_sp = l2_sp
        self.freeze_bn = freeze_bn
        self.adapter = adapter
        self.ema = ema
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.n_jobs = n_jobs
        self.cache = cache
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, validation: Any = None
    ) -> FineTunedClassifier:
        """Adjust the network to pictures, or feature rows, and their labels.

        Parameters
        ----------
        X : array-like or sequence of pictures
            Pictures, as in `CNNCodesTransformer.fit`; or a 2-D array, or sparse matrix, of feature rows (an array of
            flattened images with `image_shape` or a named backbone).
        y : array-like of shape (n,) or (n, n_labels)
            Labels of any type; or several labels a row as a matrix of zeros and ones, each with a sigmoid of its own.
        sample_weight : array-like of shape (n,), default=None
            One of weight 2 counts as two, of 0 as none; only ratios matter, but to a solved head of a given `C`.
        groups : array-like of shape (n,), default=None
            Rows of one group are held out together, where `early_stopping` holds a part out.
        validation : (X, y) or (X, y, sample_weight), default=None
            Data of your own to validate on, instead of a part held out: training stops early by them unless
            ``early_stopping=False``. They are data, so they come with `fit`: clones and searches copy parameters.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, HeldOut(groups, validation))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> FineTunedClassifier:
        """Train one more epoch, on these data, at a constant rate.

        The first call solves the head if the strategy does so and all classes are there. With ``strategy="head"``,
        later calls train the head alone.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like, default=None
            All labels that will ever come; taken from y if they are not given in the first call.

        Returns
        -------
        self
        """
        check_known_weights(self.class_weight)
        return self._partial_fit(X, y, sample_weight, classes)

    def _weights(self, sample_weight: Any, y: Any, X: Any) -> np.ndarray | None:
        weight = super()._weights(sample_weight, y, X)
        if self.class_weight is None:
            return weight
        if is_label_matrix(y):
            raise ValueError("class_weight weighs rows of one label each; y has several. Use sample_weight.")
        return weighted_by_class(class_labels(y, None, self), weight, self.class_weight)

    def _task(
        self, y: Any, *, weight: Any, goes_on: bool, classes: Any = None
    ) -> tuple[Task, np.ndarray, dict[str, Any]]:
        target, learned = checked_classes(self, y, goes_on=goes_on, classes=classes)
        check_class_names(self.class_weight, learned["classes_"])
        task = classification_task(self, len(learned["classes_"]), is_multilabel=learned["_is_multilabel"])
        return task, target, learned

    def _check_examples(self, examples: Examples, *, is_whole: bool) -> None:
        super()._check_examples(examples, is_whole=is_whole)
        if is_whole and examples.target.ndim == 1 and len(np.unique(examples.target)) < 2:
            raise ValueError("FineTunedClassifier needs samples of at least 2 classes with weight; got one class.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.class_weight is None
        return tags
