"""A general classifier and its copies as one file: the classifier's own file, and what differs in each copy."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktl._saving import Codec, SavedModel, check_tensors, params_of, read_model, write_model
from sktl.adaptation.from_fitted._base import FromFittedClassifier
from sktl.adaptation.from_fitted._start import Start, unwrapped
from sktl.adaptation.per_domain._copies import Copies, DomainCopy
from sktl.exceptions import WeightsError

GENERAL, COPY = "general", "copy"
ATTRIBUTES = ("n_features_in_", "feature_names_in_")


class Savable:
    """Mixin of the classifier with a copy for each domain."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the general classifier and all copies to one safetensors file; no pickle.

        The file is written whole or not at all.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        TypeError
            If the general classifier has no `save`, or a copy is held whole.
        OSError
            If it cannot be written; what stood there before is left.
        """
        check_is_fitted(self)
        write_model(path, self, *_content(self))

    @classmethod
    def load(cls, path: str | os.PathLike, **networks: Any) -> Any:
        """Return the classifier that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        **networks : Module or callable
            What the general classifier's own `load` needs, such as ``backbone=...`` where it was no name.

        Returns
        -------
        PerDomainClassifier
            Fitted.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, or does not fit its networks.
        """
        saved = read_model(path, {cls.__name__: cls}, Codec())
        with saved.checking():
            return _loaded(saved, networks)


def _content(model: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the header and the tensors of the file."""
    general, codec = unwrapped(model.estimator_), Codec()
    if not hasattr(general, "save"):
        raise TypeError(
            f"The general classifier is a {type(general).__name__}, which has no save: files hold classifiers of this "
            "library that stand alone. Pickle the estimator instead."
        )
    names, copies = model.domains_.tolist(), model.copies_
    held_whole = [name for name in names if copies[name].whole is not None]
    if held_whole:
        raise TypeError(f"The copy of {held_whole[0]!r} is a classifier of its own. Pickle the estimator instead.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / GENERAL
        general.save(file)
        tensors = {GENERAL: torch.from_numpy(np.frombuffer(file.read_bytes(), np.uint8).copy())}
    for place, name in enumerate(names):
        tensors |= {f"{COPY}/{place}/{key}": value for key, value in copies[name].tensors.items()}
    adapter = params_of(model.estimator, codec, ignored=("estimator",))[0]
    header = {
        "params": params_of(model, codec, ignored=("estimator",))[0], "names": names,
        "attributes": {name: codec.to_json(getattr(model, name)) for name in ATTRIBUTES if hasattr(model, name)},
        "n_rows": [copies[name].n_rows for name in names],
        "seed": model._seed, "seen": _sorted(model.__dict__.get("_seen")),
        "general": type(general).__name__, "adapter": {"class": type(model.estimator).__name__, "params": adapter},
    }  # fmt: skip
    return header, tensors


def _loaded(saved: SavedModel, networks: dict[str, Any]) -> Any:
    header = saved.header
    content = saved.tensors.pop(GENERAL)
    if content.dtype != torch.uint8 or content.ndim != 1:
        raise ValueError("it holds no general classifier")
    kind = _class_named(header["general"], BaseEstimator, "load")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / GENERAL
        file.write_bytes(content.numpy().tobytes())
        general = kind.load(file, **networks)
    adapter_kind = _class_named(header["adapter"]["class"], FromFittedClassifier, "fit")
    params = {name: saved.codec.from_json(value) for name, value in header["adapter"]["params"].items()}
    adapter = adapter_kind(general, **params)
    adapter._validate_params()
    model = saved.estimator(estimator=adapter)
    model.__dict__.update(saved.attributes(ATTRIBUTES))
    model._copies, model._seed = Copies(general), header["seed"]
    if not (model._seed is None or type(model._seed) is int):
        raise ValueError("its seed is no number")
    seen = header.get("seen")  # files of earlier versions have none
    if not (seen is None or _is_list(seen, str)):
        raise ValueError("the names of its domains are no text")
    model._seen = None if seen is None else set(seen)
    names, counts, start = header["names"], header["n_rows"], Start.of(general)
    if not _is_list(names, str) or not _is_list(counts, int) or len(names) != len(counts) or start is None:
        raise ValueError("its names do not fit its copies")
    expected = start.open().module.state_dict()
    parts: list[dict[str, torch.Tensor]] = [{} for _ in names]
    for key, value in saved.tensors.items():
        mark, place, name = key.split("/", 2)
        if mark != COPY or not 0 <= int(place) < len(parts):
            raise ValueError(f"{key[:60]!r} belongs to no copy")
        parts[int(place)][name] = value
    for name, tensors, count in zip(names, parts, counts):
        check_tensors(saved.where, tensors, expected)
        model._copies.by_domain[name] = DomainCopy(tensors, None, count)
    return model


def _sorted(names: set[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _class_named(name: Any, base: type, method: str) -> Any:
    """Return a class of the library, or of the user's own, that has been defined by now."""
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.__name__ == name and hasattr(cls, method):
            return cls
    raise WeightsError(f"The file speaks of a {str(name)[:60]}, which is not known here. Use sktl.load, or import it.")


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(type(item) is kind for item in value)
