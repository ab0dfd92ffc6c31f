"""A fitted estimator as one file: tensors, and JSON in their header."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from sktl import __version__
from sktl._inputs import InputKind
from sktl._preprocessing import Preprocessing
from sktl._validation import shorten
from sktl.backbones import NetworkIdentity, Pooling
from sktl.exceptions import WeightsError
from sktl.finetuning._learned import LearnedNetwork
from sktl.finetuning._lora import LoRA
from sktl.finetuning._networks import PictureSpec, RowSpec
from sktl.finetuning._resolved import RESOLVED
from sktl.training import encode_tensors, read_tensors, write_whole

FORMAT = 1
PLACES = ("cache", "checkpoint_dir")  # where fit writes: the user's to choose, not a file's
ATTRIBUTES = ("classes_", "n_outputs_", "_is_single", "n_features_in_", "feature_names_in_", "n_iter_", "history_")
SCALERS = ("_scaler", "_target_scaler")
OF_SCALERS = ("mean_", "scale_", "var_", "n_samples_seen_")
RECORDS: dict[str, Any] = {  # what stands in JSON as {name: fields}
    "Preprocessing": Preprocessing,
    "Pooling": Pooling,
    "InputKind": InputKind,
    "RowSpec": RowSpec,
    "PictureSpec": PictureSpec,
    "NetworkIdentity": NetworkIdentity,
}


def save_estimator(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator; parameters that hold code or live objects are left out with a warning."""
    learned: LearnedNetwork = estimator._learned
    params, left_out = {}, []
    for name, value in estimator.get_params(deep=False).items():
        try:
            params[name] = encoded(value)
        except TypeError:
            left_out.append(name)
    unneeded = [name for name in left_out if name != "backbone"]
    if unneeded:
        warnings.warn(
            f"{', '.join(unneeded)} of this {type(estimator).__name__} hold code or live objects, which are not saved. "
            "Predictions do not need them; the loaded estimator has their defaults.",
            UserWarning,
            stacklevel=4,
        )
    spec: Any = learned.spec
    is_given = "backbone" in left_out
    header = {
        "format": FORMAT, "version": __version__, "class": type(estimator).__name__, "params": params,
        "attributes": _attributes(estimator),
        "kind": encoded(estimator._kind), "is_given": is_given,
        "spec": encoded(dataclasses.replace(spec, backbone=None) if is_given else spec),
        "adapter": None if learned.adapter is None else learned.adapter.get_params(),
        "adapted": list(learned.adapted), "cut": learned.cut,
    }  # fmt: skip
    tensors = {f"network/{name}": tensor for name, tensor in learned.tensors.items()}
    for name in SCALERS:
        scaler = getattr(estimator, name, None)
        for part in OF_SCALERS if scaler is not None else ():
            tensors[f"{name}/{part}"] = torch.as_tensor(np.asarray(getattr(scaler, part)))
    write_whole(Path(path), encode_tensors(tensors, header))


def _attributes(estimator: Any) -> dict[str, Any]:
    """Return what was learned beside the tensors; what "auto" became is left out where it is code."""
    found = {name: encoded(getattr(estimator, name)) for name in ATTRIBUTES if hasattr(estimator, name)}
    for name in RESOLVED:
        with contextlib.suppress(TypeError):
            found |= {name: encoded(getattr(estimator, name))} if hasattr(estimator, name) else {}
    return found


def load_estimator(cls: type, path: str | os.PathLike, backbone: Any, weights: Any) -> Any:
    """Return the estimator that `save_estimator` wrote; nothing of it is taken that does not fit."""
    where = repr(str(path))
    try:
        tensors, header = read_tensors(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{where}: there is no such file.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{where} cannot be loaded: {error}.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or "class" not in header:
        raise WeightsError(f"{where} is no file that a fine-tuned estimator's save wrote, or of another version.")
    if header["class"] != cls.__name__:
        raise WeightsError(f"{where} holds a {header['class']}, not a {cls.__name__}. Use {header['class']}.load.")
    if header["is_given"] and backbone is None:
        raise WeightsError(
            f"{where} was fitted with a network of the user's own, and files hold no code: pass it, as it was before "
            "fit, by load(path, backbone=...)."
        )
    params = {name: decoded(value) for name, value in header["params"].items()}
    replaced = {name: v for name, v in (("backbone", backbone), ("weights", weights)) if v is not None}
    known = set(inspect.signature(cls).parameters) - set(PLACES)
    estimator = cls(**{**{name: v for name, v in params.items() if name in known}, **replaced})
    attributes = {name: decoded(value) for name, value in header["attributes"].items()}
    spec: Any = decoded(header["spec"])
    spec = dataclasses.replace(spec, **replaced) if isinstance(spec, PictureSpec) else spec
    adapter = None if header["adapter"] is None else LoRA(**header["adapter"])
    own = {name.removeprefix("network/"): t for name, t in tensors.items() if name.startswith("network/")}
    learned = LearnedNetwork(spec, own, adapter=adapter, adapted=tuple(header["adapted"]), cut=header["cut"])
    _check_backbone(where, spec)
    _check_tensors(where, learned)
    _check_outputs(where, attributes, spec.n_outputs)
    estimator.__dict__.update(attributes)
    estimator._kind, estimator._learned = decoded(header["kind"]), learned
    for name in SCALERS:
        scaler = _scaler(tensors, name)
        if scaler is not None or name == "_scaler":
            setattr(estimator, name, scaler)
    return estimator


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


def _check_tensors(where: str, learned: LearnedNetwork) -> None:
    module: Any = learned.spec.build()
    if learned.adapter is not None:
        learned.adapter.attach(module, set(learned.adapted).__contains__, 0)
    expected: Mapping[str, Tensor] = module.state_dict()
    problems = [f"{name} is not in the network" for name in learned.tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensor.shape)}, should be {tuple(expected[name].shape)}"
        for name, tensor in learned.tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    problems += [f"{name} is missing" for name in ("head.weight", "head.bias") if name not in learned.tensors]
    problems += [f"{name} has NaN or infinite values" for name, t in learned.tensors.items() if not t.isfinite().all()]
    if problems:
        raise WeightsError(f"The tensors in {where} do not fit the network: {shorten(problems, most=6)}.")


def _check_outputs(where: str, attributes: Mapping[str, Any], n_outputs: int) -> None:
    found = len(attributes["classes_"]) if "classes_" in attributes else attributes.get("n_outputs_")
    if found != n_outputs:
        raise WeightsError(f"{where} names {found} classes or targets, but its network has {n_outputs} outputs.")


def _scaler(tensors: Mapping[str, Tensor], name: str) -> StandardScaler | None:
    if f"{name}/mean_" not in tensors:
        return None
    scaler = StandardScaler()
    for part in OF_SCALERS:
        value = tensors[f"{name}/{part}"].numpy()
        setattr(scaler, part, value if value.ndim else value[()])
    scaler.n_features_in_ = len(scaler.mean_)
    return scaler


def encoded(value: Any) -> Any:
    """Return a value as JSON takes it; what is no plain value becomes an object of one item, its kind and content.

    Raises
    ------
    TypeError
        If it cannot be written without pickle.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [encoded(item) for item in value]}
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return {"array": [value.dtype.str if value.dtype.kind in "biufU" else "object", *map(encoded, value.tolist())]}
    if isinstance(value, Mapping):
        return {"dict": [[encoded(key), encoded(item)] for key, item in value.items()]}
    if isinstance(value, (Path, torch.device)):
        return str(value)
    if isinstance(value, LoRA):
        return {"LoRA": encoded(value.get_params())}
    if type(value).__name__ in RECORDS and dataclasses.is_dataclass(value):
        fields = {field.name: encoded(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {type(value).__name__: fields}
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def decoded(value: Any) -> Any:
    """Return the value that `encoded` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](decoded(item) for item in content)
    if kind == "dict":
        return {decoded(key): decoded(item) for key, item in content}
    if kind == "array":
        return np.asarray([decoded(item) for item in content[1:]], dtype=content[0])
    if kind == "LoRA":
        return LoRA(**decoded(content))
    return RECORDS[kind](**{name: decoded(item) for name, item in content.items()})
