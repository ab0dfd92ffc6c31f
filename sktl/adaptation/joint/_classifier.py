"""Domain adaptation as a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl._estimator import LogitClassifierMixin
from sktl._labelled_score import LabelledScoreMixin
from sktl._preprocessing import Preprocessing
from sktl.adaptation.joint._base import DomainAdapted
from sktl.adaptation.joint._network import HEADS
from sktl.adaptation.joint._open_set import opened
from sktl.adaptation.joint._reopening import Reopenable
from sktl.adaptation.joint._roles import Roles
from sktl.adaptation.joint._step import CrossEntropy
from sktl.adaptation.joint._target import Target, classes_of
from sktl.adaptation.losses import DomainLoss


class DomainAdaptedClassifier(Reopenable, LabelledScoreMixin, LogitClassifierMixin, DomainAdapted):  # type: ignore[misc]
    """A network learned from labels in one domain that predicts in another, where there are none.

    Rows whose label is `unlabelled` are the target; the others are the source. Source and target rows go through the
    network together, and a loss makes what the classifier is given alike in both. Nothing else is asked of the user:
    pipelines, grid searches and stratified splits work as with scikit-learn's semi-supervised classifiers.

    Start with the defaults. Feature rows start as a linear model: each domain at its own centre and scale, and logistic
    regression solved on the source's rows; minimum class confusion then goes on from there. Pictures, whose network
    learns as a whole, take CDAN+E: where weights and epochs are chosen without target labels, its mean accuracy over 26
    pairs of domains is the highest of the losses that were measured with a bottleneck (61.1; "mcc" has 60.7).

    A target where classes have other shares than in the source (a few of them only, say) misleads what brings centres
    or features together. For rows the shares are estimated; where they differ much, a warning says so, and the source's
    classes count by them.

    Parameters
    ----------
    backbone : "auto", str, Module or callable, default="auto"
        "auto" is the embedded EfficientNet-Lite0 for pictures and a small MLP for 2-D feature rows. Else a name of
        `sktl.list_backbones`, or an ``nn.Module`` (or a callable that returns one) that is the extractor of features:
        its output is flattened, and a fresh copy is trained in each fit. A module takes pictures of one size in the
        size that they have; 2-D rows reach it as they are, unless `image_shape` says that they are pictures.
    loss : str, DomainLoss, list of these or None, default="auto"
        What draws the domains together. "auto" is "mcc" for rows with ``backbone="auto"``, else "cdan+e". The words are
        "dann", "cdan", "cdan+e", "mmd", "jan", "coral", "cmd", "dsan", "deepjdot",
        "adda", "mcd", "mdd", "entropy", "mcc", "bnm", "afn", "bsp", "pseudo_labels", "fixmatch", "mean_teacher";
        with several sources and no target "irm", "group_dro", "mixstyle", "coral_sources". Or an object of
        `sktl.adaptation.losses` with parameters of its own, or a list whose terms add up. None learns the labelled rows
        alone: what adaptation is to be compared with.
    weights : "default", None or path, default="default"
        Published weights of a named backbone, or the values that a module has; None draws them anew.
    bottleneck : int, "auto" or None, default="auto"
        Units of the layer, with batch norm, between backbone and classifier; None leaves it out. "auto" is 256; for
        rows with ``backbone="auto"``, where each loss looks at predictions alone ("mcc", None), it means the network
        that starts as the linear model instead.
    head : {"linear", "weight_norm"}, default="linear"
        The classifier; with "weight_norm" the directions of its weights and their lengths are learned apart.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, among labels of text also its text, "-1". Missing values (NaN, None) mark
        them too, but scikit-learn's splitters by class (``cv=3``, ``stratify=y``) have to sort labels, which -1 and
        "-1" bear and None does not. Other negative numbers are classes. None says that every row is labelled, for
        labels such as {-1, 1}; NaN that only missing values mark.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    batch_norm : {"auto", "shared", "separate", "target"}, default="auto"
        Whose statistics normalise. "shared": those of both domains together, in training and prediction. "separate":
        each domain's own in training, the target's in prediction. "target": both together in training, the target's,
        estimated afterwards, in prediction. Of rows that start linear, "separate" centres each domain. "auto" is
        "separate"; for rows that start linear it is "shared" where target rows lie among the source's and other shares
        of the classes may explain where their mean is: then the domains differ in what is frequent, not in how it
        looks, and centres of their own would move rows to wrong classes. If shares of classes seem to differ much
        there, ``loss="auto"`` learns nothing of the target.
    target_shares : "auto", array-like, dict or None, default="auto"
        Shares of the classes in the target, in sorted order or by name; None takes them to be the source's. "auto"
        estimates them for dense rows with ``backbone="auto"``. The source's classes are weighed by them in every loss
        that aligns features, and in the centres of rows.
    unknown_label : scalar or None, default=None
        What is answered for rows of classes that the source does not have, such as "other" or -9: a label that y does
        not hold, of the same kind. None takes the target to hold the source's classes only. Set it where other things
        are likely. Of dense rows with ``backbone="auto"`` and three classes or more it is tested first whether anything
        is unknown; a warning says where nothing seems to be. Else some rows are answered so where there are none.
    unknown_share : "auto" or float, default="auto"
        With `unknown_label`: which share of the target's rows training may take for unknown, at most; others follow as
        it goes on. "auto" is a quarter, or none where a test says that nothing is unknown. A number means no test.
    max_epochs : int or "auto", default="auto"
        Epochs: 20, 10 from a pretrained backbone.
    steps_per_epoch : int or "auto", default="auto"
        Updates an epoch; "auto" goes once through the larger domain.
    batch_size : int or "auto", default="auto"
        Rows of each domain in a batch: 64, 32 for a pretrained backbone. Several sources share theirs equally. Domains
        with fewer rows are drawn from repeatedly.
    learning_rate : float or "auto", default="auto"
        Initial rate; pretrained layers learn at a tenth of it. "auto" is 0.01 for "sgd" (0.03 for rows), else 0.001.
    optimizer : {"auto", "sgd", "adam", "adamw"} or callable, default="auto"
        "auto" is "adam" for rows that start linear, else "sgd", which has Nesterov momentum 0.9.
        ``optimizer(groups, lr=...)`` returns a torch optimizer.
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
        As in `CNNCodesTransformer`; "accelerate" trains in all processes of a launcher, as in `FineTunedClassifier`.
    random_state : int, RandomState or None, default=None
        Fixes the result.
    verbose : int, default=0
        1 shows a line with the time left, once `fit` takes more than 5 seconds; 2 prints a line an epoch.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted, `unknown_label` among them. Target rows are taken to be of these classes.
    n_iter_ : int
        Epochs of training; with a scorer for `selection`, ``best_epoch_`` is the one that is kept.
    history_ : list of dict
        A row an epoch: train_loss, its parts by name (train_supervised, train_cdan, ...), lr (of the new layers), dur.
    domains_, is_target_domain_ : ndarray of shape (n_domains,)
        Their names, and which of them are the target; "source" and "target" without ``sample_domain``.
    learning_rate_, batch_size_, steps_per_epoch_, max_epochs_, augment_, loss_, bottleneck_, optimizer_, batch_norm_
        What training went by: what "auto" became; ``bottleneck_`` is None where there is none.
    target_shares_ : ndarray of shape (n_classes,) or None
        Shares of the classes in the target, estimated or given; None where they were taken to be the source's.
    unknown_share_ : float
        With `unknown_label`: the share of target rows that training took for unknown.
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

    _parameter_constraints: ClassVar[dict] = {
        **DomainAdapted._parameter_constraints,
        "head": [StrOptions(set(HEADS))],
        "unlabelled": "no_validation",
        "target_shares": [StrOptions({"auto"}), "array-like", Mapping, None],
        "unknown_label": "no_validation",
        "unknown_share": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="neither")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        backbone: str | nn.Module | Callable = "auto",
        *,
        loss: str | DomainLoss | list | None = "auto",
        weights: str | Path | None = "default",
        bottleneck: int | str | None = "auto",
        head: str = "linear",
        unlabelled: Any = -1,
        target_domain: Any = None,
        batch_norm: str = "auto",
        target_shares: Any = "auto",
        unknown_label: Any = None,
        unknown_share: float | str = "auto",
        max_epochs: int | str = "auto",
        steps_per_epoch: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        optimizer: str | Callable = "auto",
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
        self.target_shares = target_shares
        self.unknown_label = unknown_label
        self.unknown_share = unknown_share
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
        return self._fit(X, y, sample_domain, sample_weight)

    @property
    def _head(self) -> str:
        return self.head

    def _target(self, y: Any, sample_weight: np.ndarray | None) -> Target:
        return classes_of(y, self.unlabelled, type(self).__name__)

    def _opened(self, target: Target, roles: Roles, *found: Any) -> tuple[Target, Roles]:
        return (target, roles) if self.unknown_label is None else opened(self, target, roles, *found)

    def _supervised(self) -> CrossEntropy:
        return CrossEntropy(float(self.label_smoothing))
