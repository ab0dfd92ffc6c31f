"""Domain adaptation of a regression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl._array_api import n_rows
from sktl._columns import check_length, row_weights
from sktl._magnitudes import check_finite
from sktl._preprocessing import Preprocessing
from sktl._warn_once import warn_of_marked_rows
from sktl.adaptation.joint._base import DomainAdapted
from sktl.adaptation.joint._step import SquaredError
from sktl.adaptation.joint._target import Target, numbers_of, values_of
from sktl.adaptation.losses import LOSSES, DomainLoss, get_loss


class DomainAdaptedRegressor(MultiOutputMixin, RegressorMixin, DomainAdapted):
    """A network learned from numbers in one domain that predicts in another, where there are none.

    Rows whose y is missing (NaN or None) are the target; the others are the source. Source and target rows go through
    the network together, and a loss makes what the last layer is given alike in both. It is `DomainAdaptedClassifier`
    for numbers, one a row or several, which are standardised inside.

    Start with the default loss, MMD [1]_: of the losses it fell behind ``loss=None`` least on pictures and rows.
    DARE-GRAM, "dare_gram" [2]_, is made for regressions. Gains are small: a few points of explained variance. Losses
    that ask for classes, such as "cdan" or "mcc", are refused. On feature rows the network starts as ridge regression,
    and its penalty is what training decays weights by: where nothing is to be gained, it stays there.

    Parameters
    ----------
    backbone : "auto", str, Module or callable, default="auto"
        "auto" is the embedded EfficientNet-Lite0 for pictures and a small MLP for 2-D feature rows; else as in
        `DomainAdaptedClassifier`.
    loss : str, DomainLoss, list of these or None, default="mmd"
        What draws the domains together: "mmd", "dare_gram", "coral", "cmd", "dann", "adda", "afn", "bsp"; with several
        sources and no target "group_dro", "mixstyle", "coral_sources". Or an object of `sktl.adaptation.losses` with
        parameters of its own, or a list whose terms add up. None learns the labelled rows alone.
    weights : "default", None or path, default="default"
        Published weights of a named backbone, or the values that a module has; None draws them anew.
    bottleneck : int, "auto" or None, default="auto"
        Units of the layer, with batch norm, between backbone and last layer; None leaves it out. "auto" is 256, none
        for the library's own network for rows: that starts as ridge regression.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any number.
    batch_norm : {"auto", "shared", "separate", "target"}, default="auto"
        As in `DomainAdaptedClassifier`.
    max_epochs, steps_per_epoch, batch_size, optimizer, schedule
        As in `DomainAdaptedClassifier`.
    learning_rate : float or "auto", default="auto"
        Initial rate; pretrained layers learn at a tenth of it. "auto" is 0.01 for "sgd" (0.003 for rows), else 0.001.
    weight_decay : float or "auto", default="auto"
        Of all weights. "auto" is 0.001, and the chosen penalty where training starts as ridge regression.
    augment, image_shape, value_range, image_size, preprocessing, n_jobs, checkpoint_dir
        As in `DomainAdaptedClassifier`.
    selection : "last" or callable(estimator, X, y), default="last"
        Which epoch is kept: the last, or the one that the scorer finds best. It is given what `fit` was given, NaN
        included.
    callbacks, device, precision, random_state, verbose
        As in `DomainAdaptedClassifier`.

    Attributes
    ----------
    n_outputs_ : int
        Numbers a row.
    n_iter_, history_, domains_, is_target_domain_, n_trained_, n_parameters_
        As in `DomainAdaptedClassifier`; losses in `history_` are those of standardised numbers.
    learning_rate_, batch_size_, steps_per_epoch_, max_epochs_, augment_
        What training went by: what "auto" became.
    module_ : Module
        The network, on `device`; its outputs are standardised.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    DivergenceError
        If the loss leaves the finite numbers: at which step, and what to try. Nothing is learned then.

    References
    ----------
    .. [1] M. Long, Y. Cao, J. Wang and M. I. Jordan, "Learning transferable features with deep adaptation networks",
       ICML, 2015.
    .. [2] I. Nejjar, Q. Wang and O. Fink, "DARE-GRAM: unsupervised domain adaptation regression by aligning inverse
       Gram matrices", CVPR, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 4))
    >>> y = X[:, 0] + 0.1 * rng.normal(size=200)
    >>> X[100:] += 0.5   # the target is elsewhere
    >>> y[100:] = np.nan  # and has no numbers
    >>> model = DomainAdaptedRegressor(max_epochs=5, random_state=0).fit(X, y)
    >>> model.predict(X[100:]).shape
    (100,)
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        **DomainAdapted._parameter_constraints,
        "weight_decay": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        backbone: str | nn.Module | Callable = "auto",
        *,
        loss: str | DomainLoss | list | None = "mmd",
        weights: str | Path | None = "default",
        bottleneck: int | str | None = "auto",
        target_domain: Any = None,
        batch_norm: str = "auto",
        max_epochs: int | str = "auto",
        steps_per_epoch: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        optimizer: str | Callable = "auto",
        weight_decay: float | str = "auto",
        schedule: str | Callable | None = "dann",
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
        self.target_domain = target_domain
        self.batch_norm = batch_norm
        self.max_epochs = max_epochs
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
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
    def fit(self, X: Any, y: Any, *, sample_domain: Any = None, sample_weight: Any = None) -> DomainAdaptedRegressor:
        """Learn from source rows with numbers and target rows without.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of all domains, as in `DomainAdaptedClassifier.fit`.
        y : array-like of shape (n,) or (n, n_outputs)
            Numbers; NaN or None where there is none.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain, an int or a string. Not needed for one source with numbers and one target without.
        sample_weight : array-like of shape (n,), default=None
            Weights of the labelled rows in the squared error, of which only the ratios matter; rows of weight zero are
            left out.

        Returns
        -------
        DomainAdaptedRegressor
            Itself.
        """
        return self._fit(X, y, sample_domain, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return the estimates.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            As in `fit`; rows are taken to be of the target.

        Returns
        -------
        ndarray of shape (n,) or (n, n_outputs), float64
        """
        outputs = self._outputs(X)
        with np.errstate(over="ignore"):  # which is looked for then
            estimates = check_finite(self._target_scaler.inverse_transform(outputs), self)
        return estimates[:, 0] if self._is_single else estimates

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the rows that have a number.

        Rows without one are left out, with a warning: where they are the target, the score is that of the source.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            As in `predict`.
        y : array-like of shape (n,) or (n, n_outputs)
            True numbers; NaN or None where there is none.
        sample_weight : array-like of shape (n,), default=None
            Of the rows.

        Returns
        -------
        float
            At most 1.

        Raises
        ------
        ValueError
            If no row has a number.
        """
        values, is_labelled = values_of(y, self)
        check_length(values, n_rows(X), "y")
        if not is_labelled.all():
            warn_of_marked_rows(type(self).__name__, "R^2")
        predicted = self.predict(X).reshape(len(values), -1)
        weight = None if sample_weight is None else row_weights(sample_weight, len(values))[is_labelled]
        return float(r2_score(values[is_labelled], predicted[is_labelled], sample_weight=weight))

    def _target(self, y: Any, sample_weight: np.ndarray | None) -> Target:
        return numbers_of(y, sample_weight, self)

    def _supervised(self) -> SquaredError:
        return SquaredError()

    def _check_losses(self, losses: Sequence[DomainLoss]) -> None:
        refused = [type(loss).__name__ for loss in losses if loss.needs_classes]
        if refused:
            usable = [name for name in LOSSES if not get_loss(name).needs_classes]
            raise ValueError(
                f"{' and '.join(refused)} compare classes, and a regression has none. Losses that "
                f"{type(self).__name__} takes are {', '.join(map(repr, usable))}, and those of your own that set "
                "needs_classes = False."
            )
