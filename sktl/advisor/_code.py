"""An unfitted estimator as code that one can paste."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn

import sktl

FOR_MODULES = "network"
RECIPE = [name for name, _ in sktl.make_codes_classifier().steps]


def as_code(estimator: Any) -> str:
    """Return imports, and the statement ``model = ...``.

    Modules, and callables that make them, have no code of their own: they stand as `network`, with a line that says
    so.
    """
    imports: dict[str, set[str]] = {}
    text = _call(estimator, imports, indent=0)
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    if any(FOR_MODULES in part for part in text.replace("(", " ").replace(",", " ").replace("=", " ").split()):
        lines.append(f"\n# {FOR_MODULES}: the network that you gave to TransferAdvisor")
    return "\n".join([*lines, "", f"model = {text}"])


def _call(estimator: Any, imports: dict[str, set[str]], indent: int) -> str:
    if isinstance(estimator, Pipeline):
        if [name for name, _ in estimator.steps] == RECIPE:
            imports.setdefault("sktl", set()).add("make_codes_classifier")
            return f"make_codes_classifier({_call(estimator[0], imports, indent)})"
        steps = [step for _, step in estimator.steps]
        if [name for name, _ in make_pipeline(*steps).steps] == [name for name, _ in estimator.steps]:
            imports.setdefault("sklearn.pipeline", set()).add("make_pipeline")
            inner = " " * (indent + 4)
            lines = [f"{inner}{_call(step, imports, indent + 4)},\n" for step in steps]
            return f"make_pipeline(\n{''.join(lines)}{' ' * indent})"
    kind = type(estimator)
    imports.setdefault(_public_module(kind), set()).add(kind.__name__)
    defaults = {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items()}
    arguments = []
    for name, value in estimator.get_params(deep=False).items():
        default = defaults.get(name, inspect.Parameter.empty)
        if type(value) is type(default) and repr(value) == repr(default):
            continue
        arguments.append(f"{name}={_value(value, imports, indent)}")
    return f"{kind.__name__}({', '.join(arguments)})"


def _value(value: Any, imports: dict[str, set[str]], indent: int) -> str:
    if isinstance(value, (BaseEstimator, Pipeline)):
        return _call(value, imports, indent)
    if isinstance(value, nn.Module) or (callable(value) and not isinstance(value, type)):
        return FOR_MODULES
    if isinstance(value, list) and any(isinstance(item, tuple) for item in value):  # named steps, each on a line
        inside = " " * (indent + 4)
        lines = [f"{inside}{_value(item, imports, indent + 4)},\n" for item in value]
        return f"[\n{''.join(lines)}{' ' * indent}]"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_value(item, imports, indent) for item in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_value(item, imports, indent)}" for key, item in value.items()) + "}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, torch.device) or hasattr(value, "__fspath__"):
        return _quoted(str(value))
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return f'"{text}"' if repr(text) == f"'{text}'" else repr(text)


def _public_module(kind: type) -> str:
    """Return where users import a class from: the first package on its path that lists it."""
    if kind.__module__.startswith("sktl.") and kind.__name__ in sktl.__all__:
        return "sktl"
    parts = kind.__module__.split(".")
    for n in range(1, len(parts)):
        package = ".".join(parts[:n])
        if getattr(importlib.import_module(package), kind.__name__, None) is kind:
            return package
    return kind.__module__
