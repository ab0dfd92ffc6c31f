"""What a fitted estimator has learned, fact by fact, as far as it says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._device import resolve_device
from sktl._unlabelled import as_labels
from sktl._validation import shorten
from sktl.displays._axes import as_text
from sktl.displays._fitted import parts_of

NETWORKS = ("backbone", "encoder")  # parameters that may be a network
AUTOMATIC = "auto"
LONGEST = 100  # characters of a name
NO_NETWORK = "auto: none, rows are codes"


@dataclasses.dataclass(frozen=True)
class Learned:
    """Lines of text, and the losses."""

    lines: dict[str, str]
    losses: dict[str, np.ndarray]


def learned_by(estimator: Any) -> Learned | None:
    """Return what an estimator has learned; None where it is not fitted.

    A fact that cannot be found out (a network whose weights are no longer there, say) is left out.
    """
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        return None
    if not any(name.endswith("_") and not name.startswith("_") for name in vars(estimator)):
        return None  # it transforms without a fit, and has none yet
    facts: dict[str, Callable[[Any], str]] = {
        "network": _network, "trained": _share, "layers": _layers, "device": _device, "time": _time,
        "classes": _classes, "domains": _domains,
    }  # fmt: skip
    lines = {name: found for name, fact in facts.items() if (found := _or_nothing(fact, estimator))}
    history = _history(estimator)
    losses = {
        name: np.array([_number(row.get(f"{name}_loss")) for row in history], dtype=np.float64)
        for name in ("train", "valid")
        if any(f"{name}_loss" in row for row in history)
    }
    return Learned(lines, losses)


def _or_nothing(fact: Callable[[Any], str], estimator: Any) -> str:
    try:
        return fact(estimator)
    except Exception:  # a representation must not fail, whatever a property raises
        return ""


def _network(estimator: Any) -> str:
    for part in parts_of(estimator):
        for name in NETWORKS:
            network = getattr(part, name, None)
            if network is None or (isinstance(network, str) and network == AUTOMATIC and name == "encoder"):
                continue
            found = _resolved(part) if isinstance(network, str) and network == AUTOMATIC else _named(network)
            if found:
                return found
    return ""


def _resolved(part: Any) -> str:
    """Return the name of what "auto" became."""
    kind = getattr(part, "_kind", None) or getattr(part, "_spec", None)
    if kind is not None and kind.is_rows:
        return NO_NETWORK if getattr(part, "encoder_", part) is None else "auto: an MLP for rows"
    learned = getattr(part, "_learned", None)
    encoder = getattr(part, "encoder_", None)
    names = (
        getattr(getattr(learned, "spec", None), "backbone", None), getattr(learned, "name", None),
        getattr(encoder, "backbone", None),
    )  # fmt: skip
    return next((f"auto: {_named(name)}" for name in names if name is not None), "")


def _named(network: Any) -> str:
    if isinstance(network, (str, Path)):
        return str(network)
    return getattr(network, "__name__", type(network).__name__)


def _share(estimator: Any) -> str:
    for part in parts_of(estimator):
        trained = getattr(part, "n_trained_", None)
        if trained is not None:
            n = part.n_parameters_
            return f"{trained:,} of {n:,} numbers ({trained / n:.1%})" if n else ""
    has_network = any(isinstance(getattr(part, "backbone", None), (str, nn.Module)) for part in parts_of(estimator))
    is_none = _network(estimator) in ("", NO_NETWORK)
    return "nothing: the network stays as it is" if has_network and not is_none else ""


def _layers(estimator: Any) -> str:
    slices = getattr(estimator, "layer_slices_", None)
    if not slices:
        return ""
    return shorten((f"{name} ({part.stop - part.start} columns)" for name, part in slices.items()), most=6)


def _device(estimator: Any) -> str:
    found = (part.device for part in parts_of(estimator) if hasattr(part, "device"))
    return str(resolve_device(next(found)))


def _history(estimator: Any) -> list[dict[str, Any]]:
    for part in parts_of(estimator):
        history = getattr(part, "history_", None)
        if isinstance(history, list):
            return [row for row in history if isinstance(row, dict)]
    return []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, Real) else np.nan


def _time(estimator: Any) -> str:
    history = _history(estimator)
    seconds = [row["dur"] for row in history if "dur" in row]
    if not seconds:
        return ""
    kept = [part.best_epoch_ for part in parts_of(estimator) if getattr(part, "best_epoch_", None)]
    tail = f"; epoch {kept[0]} is kept" if kept else ""
    return f"{len(history)} epoch{'s' * (len(history) != 1)} in {sum(seconds):.3g} seconds{tail}"


def _listed(names: Iterable[Any]) -> str:
    """Return names, of which long ones are cut and of dates the midnight is left out."""
    return shorten(as_text(name, LONGEST).replace(r"\$", "$").strip() for name in names)


def _classes(estimator: Any) -> str:
    names = as_labels(estimator.classes_).tolist()
    return f"{len(names)}: {_listed(names)}"


def _domains(estimator: Any) -> str:
    for part in parts_of(estimator):
        if hasattr(part, "is_target_domain_"):
            pairs = list(zip(np.asarray(part.domains_).tolist(), part.is_target_domain_))
            source, target = ([name for name, is_target in pairs if is_target == role] for role in (False, True))
            return f"source: {_listed(source) or 'none'}; target: {_listed(target) or 'none'}"
        if isinstance(getattr(part, "estimators_", None), dict):
            return f"in this order: {_listed(part.estimators_)}"
    return ""
