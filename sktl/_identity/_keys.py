"""Keys of what is kept: by value where that is proved, else by object, for this process."""

from __future__ import annotations

import uuid
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import xxhash

from sktl._identity._bystanders import matters
from sktl._identity._walk import identify

MOST_HELD = 256

_KEYS: dict[int, tuple[Any, str]] = {}  # of objects, by id: (weak reference, key)
_held: OrderedDict[int, None] = OrderedDict()  # of those, by id, that cannot be referred to weakly and so stay


def key_of_object(value: Any) -> str:
    """Return a key that no other object has, now or later."""
    number = id(value)
    held = _KEYS.get(number)
    if held is not None and held[0]() is value:
        return held[1]

    def forget(reference: Any) -> None:
        if number in _KEYS and _KEYS[number][0] is reference:
            del _KEYS[number]

    try:
        reference: Any = weakref.ref(value, forget)
    except TypeError:  # a list, say: once it is let go, it is given another key, and what was kept for it is made anew
        reference = lambda: value  # noqa: E731
        _held[number] = None
        if len(_held) > MOST_HELD:
            _KEYS.pop(_held.popitem(last=False)[0], None)
    _KEYS[number] = (reference, uuid.uuid4().hex)
    return _KEYS[number][1]


def key_of(value: Any) -> str:
    """Return a key of a value, the object's own where the value cannot be made out."""
    found = identify(value)
    return found.digest if not found.unknown else f"{found.digest}{key_of_object(value)}"


def key_of_settings(settings: Mapping[str, Any]) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a digest of an estimator's settings, the same in every process, and what cannot be made out, by name."""
    digest, unknown = xxhash.xxh3_128(), {}
    for name in sorted(settings):
        found = identify(settings[name])
        digest.update(f"{name}={found.digest};".encode())
        if found.unknown:
            unknown[name] = found.unknown
    return digest.hexdigest(), unknown


def callbacks_that_matter(callbacks: Iterable | None) -> list[Any]:
    """Return what tells the callbacks apart that may change what is learned; names ending in "_" are no settings."""
    kept = []
    for entry in callbacks or ():
        callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        if not matters(callback):
            continue
        if isinstance(callback, type) or not hasattr(callback, "__dict__"):
            kept.append(callback)
        else:
            state = {name: value for name, value in vars(callback).items() if not name.endswith("_")}
            kept.append((type(callback), state))
    return kept


def cannot_be_resumed(estimator: Any, argument: str, unknown: Mapping[str, tuple[str, ...]]) -> str:
    """Return what to tell the user where a training is not kept."""
    parts = "; ".join(f"{name} ({', '.join(found[:3])})" for name, found in unknown.items())
    return (
        f"{argument} keeps nothing of this training and resumes none: what stands in {parts} of this "
        f"{type(estimator).__name__} cannot be told from other values of it, by another process above all. Use plain "
        "values, and functions and classes that are written in Python."
    )
