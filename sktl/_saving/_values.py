"""Values as JSON takes them, and back: of types that stand in a table, and checked before anything is made of them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

LARGEST = 2**63  # of whole numbers
WIDEST = 4096  # characters of a label, beyond which a dtype of text must have a label as long
DATES: dict[str, Any] = {
    "datetime": datetime.datetime, "date": datetime.date, "time": datetime.time,
}  # fmt: skip


class Codec:
    """Writes values as JSON-able data and reads them.

    What is no plain value becomes an object of one item, its kind and content.

    Parameters
    ----------
    *records : type
        Dataclasses and scikit-learn style objects that may stand in a file, known by their names.
    """

    def __init__(self, *records: type):
        self.records = {record.__name__: record for record in records}

    def to_json(self, value: Any) -> Any:
        """Return the value as JSON takes it.

        Raises
        ------
        TypeError
            If it cannot be written without pickle.
        """
        if isinstance(value, (np.datetime64, np.timedelta64)):
            return {"array": self._array(np.asarray(value)[None]), "is_scalar": True}
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [self.to_json(item) for item in value]}
        if isinstance(value, np.ndarray) and value.ndim == 1:
            return {"array": self._array(value)}
        if isinstance(value, Mapping):
            return {"dict": [[self.to_json(key), self.to_json(item)] for key, item in value.items()]}
        if isinstance(value, (Path, torch.device)):
            return str(value)
        if isinstance(value, bytes):
            return {"bytes": value.decode("latin-1")}
        name = type(value).__name__
        held: Any = value
        if DATES.get(name) is type(value):
            return {name: value.isoformat()}
        if name == "Timestamp" and isinstance(value, datetime.datetime):  # of pandas
            return {name: value.isoformat()}
        if type(value) is datetime.timedelta:
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        if self.records.get(name) is type(value):
            if dataclasses.is_dataclass(value):
                fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            else:
                fields = held.get_params(deep=False)
            return {name: {key: self.to_json(item) for key, item in fields.items()}}
        raise TypeError(f"a {name} cannot be written as JSON")

    def _array(self, value: np.ndarray) -> list:
        if value.dtype.kind in "mM":  # counts of the dtype's unit
            return [value.dtype.str, *value.astype(np.int64).tolist()]
        if value.dtype.kind == "S":
            return [value.dtype.str, *(item.decode("latin-1") for item in value.tolist())]
        if value.dtype.kind == "f" and value.dtype.itemsize > 8:
            raise TypeError(f"an array of {value.dtype} cannot be written as JSON")
        return [value.dtype.str if value.dtype.kind in "biufU" else "object", *map(self.to_json, value.tolist())]

    def from_json(self, value: Any) -> Any:
        """Return the value that `to_json` was given.

        Raises
        ------
        ValueError
            If there is none such.
        """
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ValueError(f"{str(value)[:20]}... is no number that is saved")
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if not isinstance(value, dict) or not value or set(value) - {"is_scalar"} != {next(iter(value))}:
            raise ValueError(f"{str(value)[:60]!r} is no value that is saved")
        kind, content = next(iter(value.items()))
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](self.from_json(item) for item in _of(list, content))
        if kind == "dict":
            return {self.from_json(key): self.from_json(item) for key, item in _of(list, content)}
        if kind == "array":
            array = self._as_array(*_of(list, content))
            return array[0] if value.get("is_scalar") is True else array
        if kind == "bytes":
            return _of(str, content).encode("latin-1")
        if kind in DATES:
            return DATES[kind].fromisoformat(_of(str, content))
        if kind == "timedelta":
            return datetime.timedelta(*_of(list, content))
        if kind == "Timestamp":
            import pandas as pd

            return pd.Timestamp(_of(str, content))
        if kind not in self.records:
            raise ValueError(f"{kind[:40]!r} is no kind of value that is saved")
        fields = {key: self.from_json(item) for key, item in _of(dict, content).items()}
        return made(self.records[kind], fields)

    def _as_array(self, name: Any, *items: Any) -> np.ndarray:
        if name == "object":
            array = np.empty(len(items), object)
            array[:] = [self.from_json(item) for item in items]
            return array
        dtype = np.dtype(_of(str, name))
        if dtype.str != name or dtype.kind not in "biufUSmM":
            raise ValueError(f"{name!r} is no dtype that is saved")
        kinds = {"b": bool, "U": str, "S": str, "f": (int, float)}.get(dtype.kind, int)
        if not all(isinstance(item, kinds) and isinstance(item, bool) == (dtype.kind == "b") for item in items):  # type: ignore[arg-type]
            raise ValueError(f"the items of an array are not all of its dtype, {name}")
        if dtype.kind in "US":
            width = dtype.itemsize // (4 if dtype.kind == "U" else 1)
            longest = max(map(len, items), default=0)
            if width < longest or width > max(longest, WIDEST):
                raise ValueError(f"the items of an array do not fit its dtype, {name}")
        if dtype.kind in "mM":
            return np.asarray(items, np.int64).astype(dtype)
        if dtype.kind == "S":
            return np.asarray([item.encode("latin-1") for item in items], dtype)
        return np.asarray(items, dtype)


def made(record: type, fields: Mapping[str, Any]) -> Any:
    """Return an object of a class in the table, whose fields are all there and of the right types.

    Raises
    ------
    ValueError
        If they are not, or the class refuses them.
    """
    if not dataclasses.is_dataclass(record):
        estimator = record(**fields)
        assert isinstance(estimator, BaseEstimator)
        estimator._validate_params()
        return estimator
    hints = _hints(record)
    if set(fields) != set(hints):
        raise ValueError(f"a {record.__name__} has the fields {', '.join(hints)}; got {', '.join(fields)[:200]}")
    for name, hint in hints.items():
        if not fits(fields[name], hint):
            raise ValueError(f"{name} of a {record.__name__} cannot be {str(fields[name])[:60]!r}")
    return record(**fields)


@functools.cache
def _hints(record: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; numbers that are no numbers (NaN) are of none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    if hint is int:
        return type(value) is int and abs(value) < LARGEST
    return isinstance(value, hint)


def _of(kind: type, content: Any) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"{str(content)[:60]!r} should be a {kind.__name__}")
    return content
