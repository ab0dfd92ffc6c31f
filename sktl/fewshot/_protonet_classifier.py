"""The nearest class mean as a classifier."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.preprocessing import normalize as to_unit_length
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import class_labels
from sktl._deployment import Exportable
from sktl._device import resolve_device
from sktl._estimator import ClassifierScoreMixin, ModuleSharingMixin, NamedPartsMixin
from sktl._inputs import InputKind
from sktl._magnitudes import check_finite
from sktl.cache import CodeCache
from sktl.fewshot._deployed import deployed
from sktl.fewshot._encoding import ENCODER_CONSTRAINTS, encoded, fitted_encoder, refuse_missing
from sktl.fewshot._prototypes_file import Savable
from sktl.fewshot.heads import DISTANCES, cosines, squared_distances
from sktl.fewshot.transductive import TRANSDUCTIVE, TransductiveMethod, get_transductive

NORMALISATIONS = ("l2", "center-l2")
Support = tuple[np.ndarray, np.ndarray]  # codes (n, n_codes) and labels (n,)


class ProtoNetClassifier(
    Savable, Exportable, ClassifierScoreMixin, CallbackSupportMixin, NamedPartsMixin, ModuleSharingMixin
):
    """Classifies by the nearest prototype, the mean code of a class: it learns from one example a class.

    Learning is taking means, so more examples and new classes can be added at any time by `partial_fit`. The codes
    are those of a pretrained network, or come from an encoder: one that was meta-trained for this, or any transformer.

    Parameters
    ----------
    backbone : "auto", str, Module or callable, default="auto"
        The pretrained network whose penultimate layer gives the codes. "auto" is the embedded EfficientNet-Lite0 for
        pictures, and takes 2-D feature rows as they are. Else a name of `sktl.list_backbones`, or a module, or a
        callable that returns one (a module that was changed after `fit` is refused). What `encoder` takes may be given
        here too.
    encoder : None, transformer, meta-learner, path, str or Module, default=None
        What turns rows or pictures into codes in place of a backbone. A transformer is cloned and fitted on the support
        set, unless it comes as ``FrozenEstimator(fitted)``: so does a meta-trained learner. The path of a
        ``.safetensors`` file is a saved `ProtoNetLearner`.
    distance : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        Between codes and prototypes.
    normalize : {"l2", "center-l2"}, default=None
        What happens to codes first: unit length, or also less the mean code of the first support set (SimpleShot).
        Start with "l2" on the codes of a pretrained network: with one example a class it gains up to 15 points. A
        meta-trained encoder was trained without.
    scale : float, default=None
        Factor of the logits, for probabilities; predicted classes do not depend on it. None is 1, or 10 for cosines.
    transductive : False, {"bd_cspn", "laplacian_shot", "tim", "pt_map"} or TransductiveMethod, default=False
        A method of `sktl.fewshot.transductive` that classifies all rows of a call together: `predict` then answers for
        a row in the light of the others, and differently in other company. Give it whole query sets, as one call. Such
        methods gain most from the first few examples; most of them expect that the rows of a call are of all classes
        in about equal numbers ("pt_map" holds them to it: see `balance` of `PTMAP` if they are not). They have a
        distance and a scale of their own, and keep the support set's codes.
    image_shape : tuple of int, default=None
        (H, W), (H, W, C) or (C, H, W): 2-D rows are flattened pictures of this shape.
    value_range : (float, float), default=None
        What is black and white in pictures, as in `CNNCodesTransformer`.
    image_size : int or (int, int), default=None
        Height and width in pixels at which a backbone sees pictures; None takes what its weights expect. Smaller
        pictures take less time, and networks know less of them.
    cache : None, "memory", path or CodeCache, default=None
        Where a backbone's codes are kept, as in `CNNCodesTransformer`.
    device : str or torch.device, default="auto"
        Where a backbone and a transductive method run.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    prototypes_ : ndarray of shape (n_classes, n_codes)
        The mean codes.
    class_count_ : ndarray of shape (n_classes,)
        Examples behind each.
    encoder_ : transformer or None
        The encoder in use.
    n_codes_ : int
        Width of the codes.
    n_features_in_ : int
        For 2-D X only.
    feature_names_in_ : ndarray of str
        Column names, for a data frame; with a backbone only.

    See Also
    --------
    ProtoNetLearner : Meta-trains an encoder.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning", NeurIPS, 2017.
    .. [2] Y. Wang, W.-L. Chao, K. Weinberger and L. van der Maaten, "SimpleShot: revisiting nearest-neighbor
       classification for few-shot learning", arXiv:1911.04623, 2019.

    Examples
    --------
    >>> from sktl.fewshot import ProtoNetClassifier
    >>> model = ProtoNetClassifier().fit([[0.0, 0.0], [4.0, 0.0]], ["low", "right"])
    >>> model.partial_fit([[0.0, 4.0]], ["up"]).predict([[1.0, 0.0], [0.0, 3.0]])
    array(['low', 'up'], dtype='<U5')
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **ENCODER_CONSTRAINTS,
        "distance": [StrOptions(set(DISTANCES))],
        "normalize": [StrOptions(set(NORMALISATIONS)), None],
        "scale": [Interval(Real, 0, None, closed="neither"), None],
        "transductive": [Options(bool, {False}), StrOptions(set(TRANSDUCTIVE)), TransductiveMethod],
    }

    classes_: np.ndarray
    class_count_: np.ndarray
    encoder_: Any
    _kind: InputKind | None  # of X, where a backbone reads it
    _sums: np.ndarray  # (n_classes, n_codes)
    _centre: np.ndarray
    _support: Support | None  # kept for a transductive method

    def __init__(
        self,
        backbone: str | Path | nn.Module | Callable | Any = "auto",
        *,
        encoder: str | Path | nn.Module | Any = None,
        distance: str = "sqeuclidean",
        normalize: str | None = None,
        scale: float | None = None,
        transductive: bool | str | TransductiveMethod = False,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        cache: str | Path | CodeCache | None = None,
        device: str | torch.device = "auto",
    ):
        self.backbone = backbone
        self.encoder = encoder
        self.distance = distance
        self.normalize = normalize
        self.scale = scale
        self.transductive = transductive
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.cache = cache
        self.device = device

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"transductive": get_transductive}

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> ProtoNetClassifier:
        """Take the mean code of each class.

        Parameters
        ----------
        X : array-like or sequence of pictures
            The support set: pictures as arrays (n, H, W), (n, H, W, 1 | 3 | 4) or (n, 1 | 3, H, W), uint8 or float in
            [0, 1]; a sequence of file paths or PIL images; 2-D feature rows; or what the encoder takes.
        y : array-like of shape (n,)
            Labels of any type.

        Returns
        -------
        ProtoNetClassifier
            Itself.
        """
        context = self._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._add(X, y, is_first=True, least=2, context=context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> ProtoNetClassifier:
        """Add examples, of known classes or of new ones: the same as `fit` on all of them at once.

        An encoder that is fitted on the support set, and the centre of ``normalize="center-l2"``, stay those of the
        first call.

        Parameters
        ----------
        X, y
            As in `fit`; a single class will do.
        classes : array-like, default=None
            Not needed: classes may be added at any time.

        Returns
        -------
        ProtoNetClassifier
            Itself.
        """
        return self._add(X, y, is_first=not hasattr(self, "classes_"), least=1)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (n, n_classes); for two classes the second one's less the first one's, (n,).

        A transductive method's are logarithms of probabilities.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities (n, n_classes) in the order of `classes_`: the softmax of the logits."""
        return softmax(self._logits(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the labels of the nearest prototypes, (n,).

        With `transductive`, all rows of X are classified together: the same row may get another label in another X.
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def _deployed(self) -> Any:
        check_is_fitted(self, "classes_")
        return deployed(self)

    def _add(self, X: Any, y: Any, *, is_first: bool, least: int, context: Any = None) -> ProtoNetClassifier:
        X = rows_on_host(X)
        refuse_missing(self, X, y)
        y = class_labels(y, n_rows(X), self)
        self._check_transductive()
        labels, codes_of_y = np.unique(y, return_inverse=True)
        if len(labels) < least:
            raise ValueError(
                f"ProtoNetClassifier needs samples of at least {least} classes in the support set, but the data "
                f"contains only one class: {labels[0]!r}."
            )
        encoder, kind = fitted_encoder(self, X, y) if is_first else (self.encoder_, self._kind)
        codes = encoded(self, encoder, kind, X, reset=is_first, context=context)
        if is_first:
            centre = codes.mean(axis=0) if self.normalize == "center-l2" else np.zeros(codes.shape[1])
        else:
            centre = self._centre
        codes = self._normalised(codes, centre)
        support = self._support_with(codes, y, is_first=is_first)
        sums, counts = np.zeros((len(labels), codes.shape[1])), np.bincount(codes_of_y, minlength=len(labels))
        np.add.at(sums, codes_of_y, codes)
        if not is_first:
            labels, sums, counts = _merged(self.classes_, self._sums, self.class_count_, labels, sums, counts)
        self.encoder_, self._kind, self.n_codes_, self._centre = encoder, kind, codes.shape[1], centre
        self.classes_, self._sums, self.class_count_, self._support = labels, sums, counts, support
        return self

    @property
    def prototypes_(self) -> np.ndarray:
        """The mean codes, (n_classes, n_codes)."""
        check_is_fitted(self, "classes_")
        # c_k = sum_{i: y_i = k} f(x_i) / n_k
        return self._sums / self.class_count_[:, None]

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "classes_")
        X = rows_on_host(X)
        codes = self._normalised(encoded(self, self.encoder_, self._kind, X, reset=False), self._centre)
        if self.transductive is not False:
            return self._joint_logits(codes)
        query, prototypes = torch.from_numpy(codes), torch.from_numpy(self.prototypes_)
        if self.distance == "cosine":
            return check_finite((self.scale or 10.0) * cosines(query, prototypes).numpy(), self)
        return check_finite(-(self.scale or 1.0) * squared_distances(query, prototypes).numpy(), self)

    def _joint_logits(self, codes: np.ndarray) -> np.ndarray:
        support_codes, labels = self._known_support()
        device = resolve_device(self.device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        support, query = (torch.from_numpy(part).to(device, dtype) for part in (support_codes, codes))
        y = torch.from_numpy(np.searchsorted(self.classes_, labels)).to(device)
        logits = get_transductive(self.transductive)(support, y, query, len(self.classes_))
        return logits.double().cpu().numpy()

    def _support_with(self, codes: np.ndarray, y: np.ndarray, *, is_first: bool) -> Support | None:
        """Return the support set so far, where a transductive method needs it."""
        if self.transductive is False or is_first:
            return None if self.transductive is False else (codes, y)
        known_codes, known_y = self._known_support()
        return np.concatenate([known_codes, codes]), np.concatenate([known_y, y])

    def _known_support(self) -> Support:
        if self._support is None:
            raise ValueError("transductive was set after fit, which kept no support set: call fit again.")
        return self._support

    def _check_transductive(self) -> None:
        if self.transductive is False:
            return
        method = get_transductive(self.transductive)
        method._validate_params()
        if self.distance != "sqeuclidean" or self.scale is not None:
            raise ValueError(
                f"distance and scale go with transductive=False: {type(method).__name__} has its own. Leave "
                f"distance='sqeuclidean' and scale=None; got {self.distance!r} and {self.scale!r}."
            )

    def _normalised(self, codes: np.ndarray, centre: np.ndarray) -> np.ndarray:
        if self.normalize is not None:
            codes = codes - centre
        # the prototype of cosines is the mean direction
        is_direction = self.normalize is not None or self.distance == "cosine"
        return to_unit_length(codes) if is_direction else codes

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _merged(
    old: np.ndarray, old_sums: np.ndarray, old_counts: np.ndarray, new: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels of both, their sums and their counts.

    Raises
    ------
    TypeError
        If the labels are of different kinds, numbers and text.
    """
    if (old.dtype.kind in "US") != (new.dtype.kind in "US") and "O" not in (old.dtype.kind, new.dtype.kind):
        raise TypeError(f"y holds labels of another type than before: {new.tolist()[:3]} after {old.tolist()[:3]}.")
    labels = np.union1d(old, new)
    all_sums, all_counts = np.zeros((len(labels), sums.shape[1])), np.zeros(len(labels), dtype=counts.dtype)
    for some, some_sums, some_counts in ((old, old_sums, old_counts), (new, sums, counts)):
        places = np.searchsorted(labels, some)
        all_sums[places] += some_sums
        all_counts[places] += some_counts
    return labels, all_sums, all_counts
