"""A prototype classifier as one file: its prototypes, and what its encoder is."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sktl._inputs import InputKind
from sktl._modes import InPlainModes
from sktl._saving import Codec, SavedModel, params_of, read_model, write_model
from sktl.backbones import NetworkIdentity
from sktl.exceptions import WeightsError
from sktl.fewshot._encoding import BackboneCodes
from sktl.fewshot.meta_training._files import learner_classes
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._saving import CODEC as OF_LEARNERS
from sktl.fewshot.meta_training._saving import learner_header, loaded_learner
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, LaplacianShot

ATTRIBUTES = ("classes_", "n_codes_", "n_features_in_", "feature_names_in_", "_is_multilabel")
CODEC = Codec(InputKind, NetworkIdentity, BDCSPN, LaplacianShot, TIM, PTMAP)
NETWORKS = ("backbone", "encoder")


class Savable(InPlainModes):
    """Mixin of the prototype classifier."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted classifier to one safetensors file: prototypes, a meta-trained encoder, and JSON; no pickle.

        A pretrained network is referred to, not copied. The file is written whole or not at all.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        TypeError
            If the encoder is a transformer that is none of a meta-learner, or the transductive method is of a class of
            one's own: files hold no code.
        OSError
            If it cannot be written; what stood there before is left.
        """
        check_is_fitted(self, "classes_")
        _save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, backbone: Any = None) -> Any:
        """Return the classifier that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        backbone : Module or callable, default=None
            The network that was given as backbone or encoder, or to the meta-learner that is the encoder, where it was
            no name.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, of another estimator, or does not fit its network: what does not is named.
        """
        saved = read_model(path, {cls.__name__: cls}, CODEC)
        with saved.checking():
            return _loaded(saved, backbone)


def _save(estimator: Any, path: str | os.PathLike) -> None:
    params, left_out = params_of(estimator, CODEC, ("cache",), NETWORKS, needed=("transductive",))
    encoder = estimator.encoder_
    learner = encoder.estimator if isinstance(encoder, FrozenEstimator) else encoder
    tensors = {"sums": torch.from_numpy(estimator._sums), "centre": torch.from_numpy(estimator._centre),
               "counts": torch.from_numpy(np.asarray(estimator.class_count_))}  # fmt: skip
    about: dict[str, Any] = {"kind": "none"}
    if isinstance(encoder, BackboneCodes):
        given = next((name for name in NETWORKS if name in left_out), None)
        name = None if given else encoder.backbone
        about = {"kind": "backbone", "name": name, "given": given, "identity": CODEC.to_json(encoder.identity)}
    elif isinstance(learner, MetaLearner):
        about = {"kind": "learner", "class": type(learner).__name__, **learner_header(learner)}
        tensors |= {f"encoder/{name}": tensor for name, tensor in learner._learned.tensors.items()}
    elif encoder is not None:
        raise TypeError(
            f"The encoder of this {type(estimator).__name__} is a {type(learner).__name__}, and files hold no code. "
            "Use a backbone's name or a meta-learner, or put the transformer before the classifier in a Pipeline."
        )
    labels = None
    if estimator._scatter is not None:
        tensors["scatter"] = torch.from_numpy(estimator._scatter)
    if estimator._support is not None:
        tensors["support"], labels = torch.from_numpy(estimator._support[0]), estimator._support[1]
    header = {
        "params": params, "encoder": about, "input": CODEC.to_json(estimator._kind),
        "support_labels": CODEC.to_json(labels),
        "attributes": {name: CODEC.to_json(vars(estimator)[name]) for name in ATTRIBUTES if hasattr(estimator, name)},
    }  # fmt: skip
    write_model(path, estimator, header, tensors)


def _loaded(saved: SavedModel, backbone: Any) -> Any:
    about, kind = saved.header["encoder"], saved.value("input")
    given = about["given"] if about["kind"] == "backbone" else None
    if given is not None and (given not in NETWORKS or backbone is None):
        raise WeightsError(
            f"{saved.where} was fitted with a network of the user's own, and files hold no code: pass it, as it was "
            "before fit, by load(path, backbone=...)."
        )
    if not isinstance(kind, (InputKind, type(None))):
        raise ValueError("it does not say what goes in")
    estimator = saved.estimator(**({} if given is None else {given: backbone}))
    attributes = saved.attributes(ATTRIBUTES)
    n_classes, n_codes = len(attributes["classes_"]), attributes["n_codes_"]
    labels = saved.value("support_labels")
    is_multilabel = bool(attributes.get("_is_multilabel", False))
    of_each = (2, n_classes) if is_multilabel else (n_classes,)  # rows without and with each of several labels
    shapes = {"sums": (*of_each, n_codes), "centre": (n_codes,), "counts": of_each}
    if "scatter" in saved.tensors:
        shapes["scatter"] = (n_codes, n_codes)
    if labels is not None:
        shapes["support"] = (len(labels), n_codes)
        if not set(labels.tolist()) <= set(attributes["classes_"].tolist()):
            raise ValueError("the labels of its support set are none of its classes")
    arrays = {}
    for name, shape in shapes.items():
        array = arrays[name] = saved.tensors[name].numpy()
        wanted = "if" if name == "counts" else "f"  # counts of weighted rows are no whole numbers
        if array.shape != shape or array.dtype.kind not in wanted or not np.isfinite(array).all():
            raise ValueError(f"{name} is {array.dtype} {array.shape} or not finite, should be {shape}")
    if (arrays["counts"] < 0).any() or not (is_multilabel or arrays["counts"].all()):
        raise ValueError("counts has classes without examples")
    estimator.encoder_ = _encoder(saved, about, estimator, backbone)
    if about["kind"] == "learner" and estimator.encoder is None:
        estimator.encoder = estimator.encoder_ = FrozenEstimator(estimator.encoder_)
    estimator.__dict__.update(attributes)
    estimator._kind, estimator._sums, estimator._centre = kind, arrays["sums"], arrays["centre"]
    estimator.class_count_, estimator._scatter = arrays["counts"], arrays.get("scatter")
    if (estimator.normalize_ == "within") != (estimator._scatter is not None):
        raise ValueError("scatter does not go with how its codes are compared")
    estimator._metric()  # what no rows can have summed up to is found here
    estimator._support = None if labels is None else (arrays["support"], labels)
    return estimator


def _encoder(saved: SavedModel, about: dict[str, Any], estimator: Any, backbone: Any) -> Any:
    if about["kind"] == "learner":
        classes = learner_classes()
        if about["class"] not in classes:
            raise ValueError(f"there is no meta-learner {str(about['class'])[:60]!r}")
        tensors = {n.removeprefix("encoder/"): t for n, t in saved.tensors.items() if n.startswith("encoder/")}
        inner = SavedModel(saved.where, classes[about["class"]], about, tensors, OF_LEARNERS)
        return loaded_learner(inner, {str(name): backbone for name in about["given"] if backbone is not None})
    if about["kind"] == "none":
        return None
    identity = CODEC.from_json(about["identity"])
    encoder = BackboneCodes(
        backbone if about["given"] is not None else about["name"], estimator.image_size, None, estimator.device
    )
    if not isinstance(identity, NetworkIdentity) or not identity.is_of(encoder.identity):
        raise WeightsError(
            f"{saved.where} was fitted with other values of its network: fingerprint {str(identity.fingerprint)[:12]}, "
            f"now {encoder.identity.fingerprint[:12]}. Restore those weights, or fit again."
        )
    return encoder
