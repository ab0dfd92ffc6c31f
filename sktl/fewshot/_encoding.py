"""What makes codes of X: a pretrained network, a transformer, a meta-learner, its file, or nothing for feature rows."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import _check_feature_names, _check_n_features, check_is_fitted
from torch import nn

from sktl._array_api import check_array, n_rows
from sktl._device import resolve_device, resolve_precision
from sktl._extraction import Extractor, cache_for
from sktl._inputs import InputKind, is_2d, read, understand
from sktl._magnitudes import LARGEST_FLOAT64, check_magnitude, check_not_vanishing
from sktl._preprocessing import Preprocessing
from sktl._progress import stage
from sktl.backbones import CodeRecipe, Normalisation, Pooling, cut_head, load_backbone, resolve_layers
from sktl.cache import CodeCache
from sktl.exceptions import WeightsError
from sktl.fewshot.meta_training._files import load_learner
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.images import as_pictures

DEFAULT_BACKBONE = "efficientnet_lite0"
ENCODER_CONSTRAINTS: dict = {
    "backbone": [str, Path, nn.Module, callable, HasMethods(["fit"])],
    "encoder": [str, Path, nn.Module, callable, HasMethods(["fit"]), None],
    "image_shape": [tuple, list, None],
    "value_range": [tuple, list, None],
    "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
    "cache": [str, Path, CodeCache, None],
    "device": [str, torch.device],
}


class BackboneCodes(TransformerMixin):
    """The penultimate layer's codes of a pretrained network: a transformer of pictures without state.

    The network has to stay as it is: codes of two networks are no neighbours.
    """

    def __init__(self, backbone: Any, image_size: Any, cache: Any, device: Any):
        self.backbone = backbone
        self.identity = load_backbone(backbone).identity
        self.image_size = image_size
        self.cache = cache
        self.device = device

    def transform(self, X: Any, watch: Any = None) -> np.ndarray:
        """Return the codes, float32; `watch` is told of how many pictures there are codes by now."""
        backbone = load_backbone(self.backbone, holder=self)
        if not self.identity.is_of(backbone.identity):
            raise WeightsError(
                f"The encoder {backbone.name} was changed after fit, and its codes are not those of the prototypes any "
                f"more: fingerprint {self.identity.fingerprint[:12]}, now {backbone.fingerprint[:12]}. Restore it, or "
                "fit again."
            )
        preprocessing = self._preprocessing(backbone)
        device = resolve_device(self.device)
        layers = resolve_layers("penultimate", backbone.trace(preprocessing.size))
        recipe = CodeRecipe(backbone, layers, Pooling(), preprocessing, resolve_precision("auto", device))
        store = cache_for(backbone, self.cache)
        return Extractor(recipe, device, engine="torch", cache=store, watch=watch).codes(as_pictures(X))

    def _preprocessing(self, backbone: Any) -> Preprocessing:
        size = self.image_size if self.image_size is None or np.ndim(self.image_size) == 0 else tuple(self.image_size)
        return backbone.preprocessing.resized_to(size)

    def network(self) -> tuple[nn.Module, Preprocessing]:
        """Return a module of pictures with values in 0..255 to codes, and what is done to pictures before it."""
        backbone = load_backbone(self.backbone)
        preprocessing = self._preprocessing(backbone)
        trace = backbone.trace(preprocessing.size)
        body = cut_head(backbone.module, trace)
        normalisation = Normalisation(preprocessing, trace.input_shape[1])
        return nn.Sequential(normalisation, body, nn.Flatten(1)).eval(), preprocessing


def fitted_encoder(estimator: Any, X: Any, y: Any) -> tuple[Any, InputKind | None]:
    """Return what turns rows into codes, and what X is to it.

    That is a fitted transformer, or None where rows are codes; and how a network's input was understood, or None where
    the encoder reads X itself.

    Raises
    ------
    NotFittedError
        If a frozen encoder was never fitted.
    ValueError, TypeError
        If it cannot be used, with the remedy.
    """
    encoder = _given(estimator)
    is_auto = isinstance(encoder, str) and encoder == "auto"
    is_file = isinstance(encoder, (str, Path)) and not is_auto and _is_file(encoder)
    if is_file:
        return load_learner(encoder), None
    if isinstance(encoder, (str, nn.Module)) or (callable(encoder) and not hasattr(encoder, "transform")):
        kind = understand(estimator, X, encoder, modules_take_rows=False)
        if kind.is_rows:
            return None, kind
        backbone = DEFAULT_BACKBONE if is_auto else encoder
        return BackboneCodes(backbone, estimator.image_size, estimator.cache, estimator.device), kind
    if not hasattr(encoder, "fit") or not hasattr(encoder, "transform"):
        inner = getattr(encoder, "estimator", encoder)
        remedy = (
            f"{type(inner).__name__} adapts to each task: use FewShotClassifier(learner=...)."
            if isinstance(inner, MetaLearner)
            else "Give a transformer, a backbone's name, the path of a saved meta-learner, or None."
        )
        raise TypeError(f"encoder must have a transform method; {type(encoder).__name__} has none. {remedy}")
    if isinstance(encoder, FrozenEstimator):
        check_frozen(encoder, "encoder")
        return encoder, None
    refuse_fitted(encoder, "encoder")
    return clone(encoder).fit(X, y), None


def _given(estimator: Any) -> Any:
    """Return `encoder`, or `backbone` where there is none; both are an error."""
    is_auto = isinstance(estimator.backbone, str) and estimator.backbone == "auto"
    if estimator.encoder is None:
        return estimator.backbone
    if not is_auto:
        raise ValueError(
            f"Give backbone or encoder, not both; got backbone={estimator.backbone!r} and "
            f"encoder={estimator.encoder!r}. An encoder brings its own network."
        )
    return estimator.encoder


def check_frozen(frozen: FrozenEstimator, name: str) -> None:
    """Raise NotFittedError where what is frozen was never fitted."""
    try:
        check_is_fitted(frozen.estimator)
    except NotFittedError as error:
        raise NotFittedError(
            f"{name} is a frozen {type(frozen.estimator).__name__} that was never fitted. Fit it first, or give it "
            "without FrozenEstimator, to be fitted on the support set."
        ) from error


def refuse_fitted(estimator: Any, name: str) -> None:
    """Raise ValueError where a fitted meta-learner would be trained anew on a support set."""
    if isinstance(estimator, MetaLearner) and hasattr(estimator, "n_iter_"):
        raise ValueError(
            f"{name} is a fitted {type(estimator).__name__} that is not frozen: fit would train it anew on the support "
            f"set. Give FrozenEstimator({type(estimator).__name__.lower()}) (sklearn.frozen), which survives clone too."
        )


def codes_of(
    estimator: Any, encoder: Any, kind: InputKind | None, X: Any, *, reset: bool, context: Any = None
) -> np.ndarray:
    """Return the codes of X, float64 (n, n_codes); a code that is not finite, or no vector, is refused.

    A backbone's pictures are a task of the callback `context`.
    """
    if kind is not None:
        X = read(estimator, X, kind, reset=reset)
        if kind.is_rows:
            check_magnitude(X, LARGEST_FLOAT64)
            if reset and is_classifier(estimator):
                check_not_vanishing(X)
            return X
        with stage(estimator, context, "codes", len(X), "pictures") as watch:
            codes = encoder.transform(X, watch)
    else:
        see_columns(estimator, X, reset=reset)
        codes = np.asarray(encoder.transform(X))
    if codes.ndim != 2:
        raise ValueError(
            f"encoder must return codes of shape (n, n_codes); {_name(encoder)} returned shape {codes.shape}. Flatten "
            "or pool them."
        )
    codes = check_array(codes, dtype=np.float64, input_name="encoder.transform(X)")
    check_magnitude(codes, LARGEST_FLOAT64, "encoder.transform(X)")
    if reset and is_classifier(estimator):
        check_not_vanishing(codes, name="encoder.transform(X)")
    if not reset and codes.shape[1] != estimator.n_codes_:
        raise ValueError(
            f"encoder returned {codes.shape[1]} codes a row, but {estimator.n_codes_} in fit: {_name(encoder)} was "
            "changed in between, or X is of another size."
        )
    return codes


def see_columns(estimator: Any, X: Any, *, reset: bool) -> None:
    """Learn the number and the names of X's columns, or compare them, where something else reads X."""
    _check_feature_names(estimator, X, reset=reset)
    if is_2d(X):
        _check_n_features(estimator, X, reset=reset)


def refuse_missing(estimator: Any, X: Any, y: Any) -> None:
    """Raise ValueError where there are no rows, or no labels."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(f"This {name} requires y to be passed, but the target y is None.")
    if n_rows(X) == 0:
        shape = getattr(X, "shape", (0,))
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required by {name}.")


def _is_file(encoder: str | Path) -> bool:
    return isinstance(encoder, Path) or Path(encoder).suffix == ".safetensors"


def _name(encoder: Any) -> str:
    return type(getattr(encoder, "estimator", encoder)).__name__
