"""The nearest class mean as a classifier."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing, gen_batches
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import class_labels, row_weights
from sktl._deployment import Exportable
from sktl._estimator import LogitClassifierMixin, ModuleSharingMixin, NamedPartsMixin
from sktl._inputs import InputKind
from sktl._label_matrix import is_label_matrix, label_matrix
from sktl._magnitudes import check_finite
from sktl._torch_datasets import refuse_silent_targets
from sktl.cache import CodeCache
from sktl.fewshot._class_sums import class_sums, label_logits, label_sums, merged
from sktl.fewshot._deployed import deployed
from sktl.fewshot._encoding import ENCODER_CONSTRAINTS, codes_of, fitted_encoder, refuse_missing
from sktl.fewshot._normalisation import NORMALISATIONS, NormalisedCodes, centre_of
from sktl.fewshot._prototypes_file import Savable
from sktl.fewshot._row_metric import scatter_of
from sktl.fewshot._transductive_support import Support, TransductiveSupport
from sktl.fewshot.heads import DISTANCES, cosines, squared_distances
from sktl.fewshot.transductive import TransductiveMethod, get_transductive

ROWS_AT_ONCE = 8192  # codes are normalised and compared in blocks: all at once would take several times the memory


class ProtoNetClassifier(
    NormalisedCodes,
    TransductiveSupport,
    Savable,
    Exportable,
    LogitClassifierMixin,
    CallbackSupportMixin,
    NamedPartsMixin,
    ModuleSharingMixin,
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
    distance : {"auto", "sqeuclidean", "cosine"}, default="auto"
        Between codes and prototypes. "auto" is "cosine" where codes are brought to unit length ("l2"), which also does
        so with prototypes: a class whose rows lie closer has no advantage. Else "sqeuclidean", as in the paper.
    normalize : {"auto", "l2", "center-l2", "within"} or None, default="auto"
        What happens to codes first. "l2": unit length. "center-l2": also less n / (n + 1) of the mean code of the first
        support set, of n rows a class (SimpleShot). "within": distances count by how much rows of one class differ
        along each direction (Mahalanobis, drawn to equal spread while rows are few); columns with units of their own
        are brought to one scale. None: nothing. "auto" is "l2" for codes of a pretrained network, which gains up to 15
        points with one example a class, and for feature rows of 64 columns or more, as codes have; "within" for fewer
        columns; None for other encoders (a meta-trained one was trained without), for codes of transductive methods,
        which have their own, and for cosines of rows.
    scale : float, default=None
        Factor of the logits, for probabilities; predicted classes do not depend on it. None goes by the number n of
        rows a class, since few say little of where a class lies: 30 n / (n + 3) for unit length, 40 n / (n + 2) for
        cosines; for "within" N / (N + 12) times the lesser of 1/2 and 2 d^(-3/4), of N rows with d columns. These have
        the lowest log-loss whichever data set is left out. It is 1 where codes are left as they are.
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
        The labels, sorted; with several labels a row their columns, 0, 1, ...
    prototypes_ : ndarray of shape (n_classes, n_codes)
        The mean codes, as they are compared; (2, n_labels, n_codes) of rows without and with each of several labels.
    class_count_ : ndarray of shape (n_classes,) or (2, n_labels)
        Examples behind each, or their weight.
    encoder_ : transformer or None
        The encoder in use.
    n_codes_ : int
        Width of the codes.
    normalize_ : {"l2", "center-l2", "within"} or None
        What "auto" became.
    distance_ : {"sqeuclidean", "cosine"}
        What "auto" became.
    scale_ : float
        What ``scale=None`` became.
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
        "distance": [StrOptions({"auto", *DISTANCES})],
        "normalize": [StrOptions({"auto", *NORMALISATIONS}), None],
        "scale": [Interval(Real, 0, None, closed="neither"), None],
        "transductive": [
            Options(bool, {False}),
            Options(np.bool_, {np.False_}),
            str,
            TransductiveMethod,
        ],
    }

    classes_: np.ndarray
    class_count_: np.ndarray
    encoder_: Any
    _kind: InputKind | None  # of X, where a backbone reads it
    _sums: np.ndarray  # (n_classes, n_codes)
    _centre: np.ndarray
    _scatter: np.ndarray | None  # (n_codes, n_codes), for normalize="within"
    _support: Support | None  # kept for a transductive method

    def __init__(
        self,
        backbone: str | Path | nn.Module | Callable | Any = "auto",
        *,
        encoder: str | Path | nn.Module | Any = None,
        distance: str = "auto",
        normalize: str | None = "auto",
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
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ProtoNetClassifier:
        """Take the mean code of each class.

        Parameters
        ----------
        X : array-like or sequence of pictures
            The support set: pictures as arrays (n, H, W), (n, H, W, 1 | 3 | 4) or (n, 1 | 3, H, W), uint8 or float in
            [0, 1]; a sequence of file paths or PIL images; 2-D feature rows; or what the encoder takes.
        y : array-like of shape (n,) or (n, n_labels)
            Labels of any type; or several labels a row as a matrix of zeros and ones, where each label by itself is
            told by its prototypes with and without it.
        sample_weight : array-like of shape (n,), default=None
            Weights in the means: 2 counts as two rows, 0 as none. An encoder fitted on the support set ignores them.

        Returns
        -------
        ProtoNetClassifier
            Itself.
        """
        context = self._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._add(X, y, sample_weight, is_first=True, least=2, context=context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> ProtoNetClassifier:
        """Add examples, of known classes or of new ones: the same as `fit` on all of them at once.

        An encoder that is fitted on the support set, and the centre of ``normalize="center-l2"``, stay those of the
        first call.

        Parameters
        ----------
        X, y
            As in `fit`; a single class will do.
        classes : array-like, default=None
            Not needed: classes may be added at any time.
        sample_weight : array-like of shape (n,), default=None
            As in `fit`.

        Returns
        -------
        ProtoNetClassifier
            Itself.
        """
        return self._add(X, y, sample_weight, is_first=not hasattr(self, "classes_"), least=1)

    def _deployed(self) -> Any:
        check_is_fitted(self, "classes_")
        if self._is_multilabel:
            raise ValueError("Prototypes of several labels a row are not deployed; fit on one label a row.")
        return deployed(self)

    def _add(
        self, X: Any, y: Any, sample_weight: Any, *, is_first: bool, least: int, context: Any = None
    ) -> ProtoNetClassifier:
        refuse_silent_targets(X, y, self)
        X = rows_on_host(X)
        refuse_missing(self, X, y)
        is_multilabel = is_label_matrix(y)
        y = label_matrix(y) if is_multilabel else class_labels(y, n_rows(X), self)
        self._check_transductive(is_multilabel, sample_weight)
        weight = None if sample_weight is None else row_weights(sample_weight, n_rows(X))
        if weight is not None and not weight.all():  # a row of weight 0 is as if it were not there
            check_consistent_length(range(n_rows(X)), y)
            X, y, weight = (_safe_indexing(part, np.flatnonzero(weight)) for part in (X, y, weight))
        labels, which = (np.arange(y.shape[1]), None) if is_multilabel else np.unique(y, return_inverse=True)
        if not is_multilabel and len(labels) < least:
            raise ValueError(
                f"ProtoNetClassifier needs samples of at least {least} classes in the support set, but the data "
                f"contains only one class: {labels[0]!r}."
            )
        if not is_first and (
            is_multilabel != self._is_multilabel or (which is None and len(labels) != len(self.classes_))
        ):
            before = f"(n, {len(self.classes_)})" if self._is_multilabel else "(n,)"
            raise ValueError(f"y must have the shape that it had in the first call, {before}; got {y.shape}.")
        encoder, kind = fitted_encoder(self, X, y) if is_first else (self.encoder_, self._kind)
        codes = codes_of(self, encoder, kind, X, reset=is_first, context=context)
        how = self._normalisation(encoder, codes.shape[1])
        if is_first:
            centre = centre_of(codes, weight, len(labels), how)
        else:
            centre = self._centre
        sums: Any = 0.0
        counts: Any = 0.0
        scatter: Any = 0.0 if how == "within" else None
        kept = []  # of a transductive method, which needs all codes
        for block in gen_batches(len(codes), ROWS_AT_ONCE):
            part, w = self._normalised(codes[block], centre, how), None if weight is None else weight[block]
            if which is None:
                part_sums, part_counts = label_sums(part, y[block], w)
            else:
                part_sums, part_counts = class_sums(part, which[block], len(labels), w)
            sums, counts = sums + part_sums, counts + part_counts
            if scatter is not None:
                scatter = scatter + scatter_of(part, w)
            if self._is_transductive:
                kept.append(part)
        support = self._support_with(np.concatenate(kept), y, is_first=is_first) if kept else None
        if not is_first:
            if which is None:
                sums, counts = sums + self._sums, counts + self.class_count_
            else:
                labels, sums, counts = merged(self.classes_, self._sums, self.class_count_, labels, sums, counts)
            scatter = None if scatter is None else scatter + self._scatter
        self.encoder_, self._kind, self.n_codes_, self._centre = encoder, kind, codes.shape[1], centre
        self.classes_, self._sums, self.class_count_, self._support = labels, sums, counts, support
        self._is_multilabel, self._scatter = is_multilabel, scatter
        return self

    @property
    def prototypes_(self) -> np.ndarray:
        """The mean codes, (n_classes, n_codes); (2, n_labels, n_codes) without and with each of several labels."""
        check_is_fitted(self, "classes_")
        # c_k = sum_{i: y_i = k} w_i f(x_i) / sum_{i: y_i = k} w_i; of no rows at all it is 0
        return self._in_metric(self._sums / np.where(self.class_count_ == 0, 1, self.class_count_)[..., None])

    def features(self, X: Any) -> np.ndarray:
        """Return the codes that are compared with `prototypes_`, float64 of shape (n, width of a code)."""
        check_is_fitted(self, "classes_")
        codes = codes_of(self, self.encoder_, self._kind, rows_on_host(X), reset=False)
        return self._in_metric(self._normalised(codes, self._centre, self.normalize_))

    def _outputs(self, X: Any) -> np.ndarray:
        if self._is_transductive:
            return self._joint_logits(self.features(X))
        check_is_fitted(self, "classes_")
        codes = codes_of(self, self.encoder_, self._kind, rows_on_host(X), reset=False)
        how, scale, in_metric = self.normalize_, self.scale_, self._metric() or (lambda codes: codes)
        prototypes = torch.from_numpy(self.prototypes_.reshape(-1, codes.shape[1]))
        parts = []
        for block in gen_batches(len(codes), ROWS_AT_ONCE):
            query = torch.from_numpy(in_metric(self._normalised(codes[block], self._centre, how)))
            if self.distance_ == "cosine":
                parts.append(scale * cosines(query, prototypes).numpy())
            else:
                parts.append(-scale * squared_distances(query, prototypes).numpy())
        logits = check_finite(np.concatenate(parts), self)
        return label_logits(logits.reshape(len(codes), 2, -1), self.class_count_) if self._is_multilabel else logits

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_label = not self._is_transductive
        return tags
