"""One file a model: how it is written, and how all that is read is checked."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from torch import Tensor, from_numpy

from sktl import __version__
from sktl._saving._values import Codec
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.exceptions import WeightsError
from sktl.training import encode_tensors, read_tensors, write_whole

FORMAT = 2
PLACES = ("cache", "checkpoint_dir")  # where fit writes: the user's to choose, not a file's
OF_SCALERS = ("mean_", "scale_", "var_", "n_samples_seen_")
COUNTS = ("n_outputs_", "n_features_in_", "n_codes_")


def params_of(
    estimator: Any,
    codec: Codec,
    ignored: tuple[str, ...] = (),
    networks: tuple[str, ...] = ("backbone",),
    needed: tuple[str, ...] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters as JSON takes them, and the names of those that hold code or live objects.

    A warning names those, but for `networks`, without which nothing can be loaded: those are given to `load`.

    Raises
    ------
    TypeError
        If a parameter that predictions need (`needed`) is among them.
    """
    params, left_out = {}, []
    for name, value in estimator.get_params(deep=False).items():
        if name in ignored:
            continue
        try:
            params[name] = codec.to_json(value)
        except TypeError:
            left_out.append(name)
    for name in needed:
        if name in left_out:
            raise TypeError(
                f"{name} of this {type(estimator).__name__} is a {type(getattr(estimator, name)).__name__}, of a class "
                "of the user's own, and files hold no code; predictions need it. Pickle the estimator instead."
            )
    unneeded = [name for name in left_out if name not in networks]
    if unneeded:
        warn_user(
            f"{', '.join(unneeded)} of this {type(estimator).__name__} hold code or live objects, which are not saved. "
            "Predictions do not need them; the loaded estimator has their defaults."
        )
    return params, left_out


def write_model(
    path: str | os.PathLike, estimator: Any, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a fitted estimator to one file: whole, or not at all."""
    about = {"format": FORMAT, "version": __version__, "class": type(estimator).__name__}
    write_whole(Path(path), encode_tensors(tensors, about | dict(header)))


def tensors_of_scaler(scaler: StandardScaler | None, name: str) -> dict[str, Tensor]:
    """Return what a scaler has learned, by name."""
    if scaler is None:
        return {}
    return {f"{name}/{part}": from_numpy(np.array(getattr(scaler, part))) for part in OF_SCALERS}


class SavedModel:
    """What a file holds, of a class that stands in a table. Whatever is wrong with it is a `WeightsError`.

    Parameters
    ----------
    where : str
        The file, for errors.
    cls : type
        Of the estimator.
    header : dict
        JSON data.
    tensors : dict of str to Tensor
        By name.
    codec : Codec
        Reads values.
    """

    def __init__(self, where: str, cls: type, header: dict[str, Any], tensors: dict[str, Tensor], codec: Codec):
        self.where = where
        self.cls = cls
        self.header = header
        self.tensors = tensors
        self.codec = codec

    @contextlib.contextmanager
    def checking(self) -> Iterator[None]:
        """Turn whatever goes wrong into one error that names the file."""
        try:
            yield
        except WeightsError:
            raise
        except KeyError as error:
            raise WeightsError(f"{self.where} cannot be loaded: it lacks {error}.") from error
        except (
            ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
            AssertionError, ImportError,
        ) as error:  # fmt: skip
            raise WeightsError(f"{self.where} cannot be loaded: {str(error) or type(error).__name__}.") from error

    def value(self, name: str) -> Any:
        """Return a value of the header."""
        return self.codec.from_json(self.header[name])

    def estimator(self, **replaced: Any) -> Any:
        """Return the estimator with its parameters, checked as `fit` checks them; it is not fitted yet."""
        params = self.header["params"]
        if not isinstance(params, dict):
            raise ValueError("params must be an object")
        known = set(inspect.signature(self.cls).parameters) - set(PLACES)
        chosen = {name: self.codec.from_json(value) for name, value in params.items() if name in known}
        estimator = self.cls(**{**chosen, **replaced})
        estimator._validate_params()
        return estimator

    def attributes(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return those of the learned attributes that are there; the common ones are checked."""
        held = self.header["attributes"]
        if not isinstance(held, dict):
            raise ValueError("attributes must be an object")
        found = {name: self.codec.from_json(held[name]) for name in names if name in held}
        for name, value in found.items():
            if not _is_sound(name, value):
                raise ValueError(f"{name} cannot be {str(value)[:60]!r}")
        return found

    def scaler(self, name: str, n_features: int) -> StandardScaler | None:
        """Return a scaler of so many features, or None if there is none."""
        if f"{name}/mean_" not in self.tensors:
            return None
        scaler = StandardScaler()
        for part in OF_SCALERS:
            value = self.tensors[f"{name}/{part}"].numpy()
            is_count = part == "n_samples_seen_"
            wanted = {(n_features,), ()} if is_count else {(n_features,)}
            if value.shape not in wanted or value.dtype.kind not in ("iuf" if is_count else "f"):
                raise ValueError(f"{name}/{part} is {value.dtype} {value.shape}, should be float64 ({n_features},)")
            least = {"scale_": np.nextafter(0, 1), "var_": 0.0, "n_samples_seen_": 0.0}.get(part, -np.inf)
            if not (np.isfinite(value) & (value >= least)).all():
                raise ValueError(f"{name}/{part} has NaN, infinite or negative values")
            setattr(scaler, part, value if value.ndim else value[()])
        scaler.n_features_in_ = n_features
        return scaler


def _is_sound(name: str, value: Any) -> bool:
    if name == "classes_":
        return isinstance(value, np.ndarray) and len(value) > 0 and len(set(value.tolist())) == len(value)
    if name in COUNTS:
        return type(value) is int and value > 0
    if name == "n_iter_":
        return type(value) is int and value >= 0
    if name in ("domains_", "is_target_domain_"):
        return isinstance(value, np.ndarray) and value.ndim == 1 and (name == "domains_" or value.dtype == bool)
    if name.startswith(("_is_", "is_")):
        return isinstance(value, bool)
    if name == "feature_names_in_":
        return isinstance(value, np.ndarray) and all(isinstance(item, str) for item in value)
    if name == "history_":
        return isinstance(value, list) and all(isinstance(row, dict) and all(map(_is_text, row)) for row in value)
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def read_model(path: str | os.PathLike, classes: Mapping[str, type], codec: Codec) -> SavedModel:
    """Return what a file holds.

    Raises
    ------
    WeightsError
        If it is missing, damaged, or of none of the classes.
    """
    where = repr(str(path))
    try:
        tensors, header = read_tensors(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{where}: there is no such file.") from error
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{where} cannot be loaded: {error}.") from error
    name = header.get("class") if isinstance(header, dict) else None
    if not isinstance(name, str) or header.get("format") != FORMAT:
        raise WeightsError(f"{where} is no file that an estimator's save wrote, or of another version.")
    if name not in classes:
        known = " or ".join(classes) if len(classes) < 3 else "saved estimator of this kind"
        raise WeightsError(f"{where} holds a {name[:60]}, not a {known}. Use {name[:60]}.load.")
    return SavedModel(where, classes[name], header, tensors, codec)


def check_tensors(where: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], needed: Any = ()) -> None:
    """Raise WeightsError where tensors are not those of a network, in names, shapes, kinds and values.

    Parameters
    ----------
    where : str
        The file.
    tensors : mapping of str to Tensor
        What it holds.
    expected : mapping of str to Tensor
        The network's.
    needed : iterable of str
        Names that must be there.
    """
    problems = [f"{name} is not in the network" for name in tensors if name not in expected]
    problems += [f"{name} is missing" for name in needed if name not in tensors]
    for name, tensor in tensors.items():
        if name not in expected:
            continue
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            problems.append(f"{name} is {tuple(tensor.shape)}, should be {tuple(wanted.shape)}")
        elif tensor.is_floating_point() != wanted.is_floating_point() or tensor.is_complex():
            problems.append(f"{name} is {tensor.dtype}, should be {wanted.dtype}")
        elif tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            problems.append(f"{name} has NaN or infinite values")
    if problems:
        raise WeightsError(f"The tensors in {where} do not fit the network: {shorten(problems, most=6)}.")
