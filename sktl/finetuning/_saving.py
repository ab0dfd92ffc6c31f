"""A fine-tuned estimator as one file: what training has changed, and how the network is rebuilt around it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sktl._inputs import InputKind
from sktl._preprocessing import Preprocessing
from sktl._saving import Codec, SavedModel, check_tensors, params_of, read_model, tensors_of_scaler, write_model
from sktl.backbones import NetworkIdentity, Pooling
from sktl.exceptions import WeightsError
from sktl.finetuning._fitted_network import HEAD, FittedNetwork
from sktl.finetuning._lora import LoRA
from sktl.finetuning._networks import HIDDEN, PictureSpec, RowSpec
from sktl.finetuning._resolved import RESOLVED

ATTRIBUTES = (
    "classes_", "n_outputs_", "_is_single", "_is_multilabel", "n_features_in_", "feature_names_in_", "n_iter_",
    "history_",
)  # fmt: skip
CODEC = Codec(Preprocessing, Pooling, InputKind, RowSpec, PictureSpec, NetworkIdentity, LoRA)


def save_estimator(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator."""
    learned: FittedNetwork = estimator._learned
    params, left_out = params_of(estimator, CODEC)
    spec: Any = learned.spec
    is_given = "backbone" in left_out
    header = {
        "params": params, "attributes": _attributes(estimator), "kind": CODEC.to_json(estimator._kind),
        "is_given": is_given, "spec": CODEC.to_json(dataclasses.replace(spec, backbone=None) if is_given else spec),
        "adapter": CODEC.to_json(learned.adapter), "adapted": CODEC.to_json(list(learned.adapted)), "cut": learned.cut,
    }  # fmt: skip
    tensors = {f"network/{name}": tensor for name, tensor in learned.tensors.items()}
    for name in ("_scaler", "_target_scaler"):
        tensors |= tensors_of_scaler(getattr(estimator, name, None), name)
    write_model(path, estimator, header, tensors)


def _attributes(estimator: Any) -> dict[str, Any]:
    """Return what was learned beside the tensors; what "auto" became is left out where it is code."""
    found = {name: CODEC.to_json(getattr(estimator, name)) for name in ATTRIBUTES if hasattr(estimator, name)}
    for name in RESOLVED:
        with contextlib.suppress(TypeError):
            found |= {name: CODEC.to_json(getattr(estimator, name))} if hasattr(estimator, name) else {}
    return found


def load_estimator(cls: type, path: str | os.PathLike, backbone: Any, weights: Any) -> Any:
    """Return the estimator that `save_estimator` wrote; nothing of it is taken that does not fit."""
    saved = read_model(path, {cls.__name__: cls}, CODEC)
    with saved.checking():
        return _loaded(saved, backbone, weights)


def _loaded(saved: SavedModel, backbone: Any, weights: Any) -> Any:
    if saved.header["is_given"] is not False and backbone is None:
        raise WeightsError(
            f"{saved.where} was fitted with a network of the user's own, and files hold no code: pass it, as it was "
            "before fit, by load(path, backbone=...)."
        )
    replaced = {name: v for name, v in (("backbone", backbone), ("weights", weights)) if v is not None}
    estimator = saved.estimator(**replaced)
    attributes = saved.attributes((*ATTRIBUTES, *RESOLVED))
    kind, spec, cut = saved.value("kind"), saved.value("spec"), saved.value("cut")
    adapter, adapted = saved.value("adapter"), saved.value("adapted")
    if not isinstance(kind, InputKind) or kind.is_rows != isinstance(spec, RowSpec):
        raise ValueError("its network does not go with its input")
    if (
        not isinstance(adapter, (LoRA, type(None)))
        or not isinstance(adapted, list)
        or not isinstance(cut, (str, type(None)))
    ):
        raise ValueError("its adapter, or its cut, is of a wrong type")
    own = {name.removeprefix("network/"): t for name, t in saved.tensors.items() if name.startswith("network/")}
    n_codes = _check_sizes(saved.where, spec, own)
    spec = dataclasses.replace(spec, **replaced) if isinstance(spec, PictureSpec) else spec
    learned = FittedNetwork(spec, own, adapter=adapter, adapted=tuple(map(str, adapted)), cut=cut)
    _check_outputs(saved.where, attributes, spec.n_outputs)
    _check_backbone(saved.where, spec)
    module: Any = spec.build()
    if adapter is not None:
        adapter.attach(module, set(learned.adapted).__contains__, 0)
    check_tensors(saved.where, own, module.state_dict(), needed=HEAD)
    estimator.__dict__.update(attributes)
    estimator._kind, estimator._learned = kind, learned
    estimator._scaler = saved.scaler("_scaler", n_codes) if kind.is_rows else None
    if kind.is_rows and estimator._scaler is None:
        raise ValueError("the scaler of its rows is missing")
    target_scaler = saved.scaler("_target_scaler", spec.n_outputs)
    if target_scaler is not None:
        estimator._target_scaler = target_scaler
    elif "classes_" not in attributes:
        raise ValueError("the scaler of its targets is missing")
    return estimator


def _check_sizes(where: str, spec: Any, tensors: Mapping[str, Tensor]) -> int:
    """Check the sizes of a network by the tensors that are there, before one is built; return what enters its head."""
    if not isinstance(spec, (RowSpec, PictureSpec)):
        raise ValueError("it describes no network")
    n_codes = spec.n_features if isinstance(spec, RowSpec) else spec.n_codes
    for name, shape in (("head.weight", (spec.n_outputs, n_codes)), ("head.bias", (spec.n_outputs,))):
        if name not in tensors:
            raise WeightsError(f"The tensors in {where} do not fit the network: {name} is missing.")
        if tensors[name].shape != shape:
            raise WeightsError(
                f"The tensors in {where} do not fit the network: {name} is {tuple(tensors[name].shape)}, should be "
                f"{shape}."
            )
    if isinstance(spec, RowSpec) and spec.n_hidden > max(HIDDEN[1], n_codes):
        raise ValueError(f"a network for {n_codes} features has no {spec.n_hidden} hidden units")
    return n_codes


def _check_backbone(where: str, spec: PictureSpec | RowSpec) -> None:
    if isinstance(spec, RowSpec):
        return
    try:
        spec.load()
    except (WeightsError, ValueError) as error:
        remedy = ""
        if spec.weights is not None and not Path(str(spec.weights)).is_file() and "no such file" in str(error):
            remedy = " The backbone's file is gone: restore it, or say where it is now by load(path, weights=...)."
        raise WeightsError(f"{where} does not fit its backbone. {error}{remedy}") from error


def _check_outputs(where: str, attributes: Mapping[str, Any], n_outputs: int) -> None:
    found = len(attributes["classes_"]) if "classes_" in attributes else attributes.get("n_outputs_")
    if found != n_outputs:
        raise WeightsError(f"{where} names {found} classes or targets, but its network has {n_outputs} outputs.")
