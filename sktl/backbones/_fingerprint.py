"""What tells two networks apart: their values and, for a user's own module, its code."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import xxhash
from torch import nn

KNOWN_PACKAGES = ("torch", "torchvision", "timm", "sktl")
_TOKENS: WeakKeyDictionary[nn.Module, bytes] = WeakKeyDictionary()  # ids are given again, tokens are not
PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


def named_fingerprint(name: str, module: nn.Module) -> str:
    """Return the fingerprint of a registered network: its name and its values."""
    digest = xxhash.xxh3_128(name.encode())
    _add_tensors(digest, module)
    return digest.hexdigest()


def module_fingerprint(module: nn.Module) -> tuple[str, bool]:
    """Return the fingerprint of any module, and whether it would be the same in another process.

    Values, structure, plain attributes and the source of classes that no known package holds are taken in. Where a
    source cannot be read, or an attribute is neither plain nor a tensor, the fingerprint holds for this process only.
    """
    digest = xxhash.xxh3_128(repr(module).encode())
    stable = True
    for name, part in module.named_modules():
        cls = type(part)
        digest.update(f"{name}:{cls.__module__}.{cls.__qualname__}".encode())
        for base in cls.__mro__:
            if base is not object and base.__module__.split(".")[0] not in (*KNOWN_PACKAGES, "abc", "typing"):
                stable &= _add_source(digest, base)
        for key, value in sorted(vars(part).items()):
            if not key.startswith("_") and key != "training":
                stable &= _add_value(digest, key, value)
    _add_tensors(digest, module)
    if not stable:
        digest.update(_TOKENS.setdefault(module, uuid.uuid4().bytes))
    return digest.hexdigest(), stable


def _add_tensors(digest: xxhash.xxh3_128, module: nn.Module) -> None:
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            continue
        values = tensor.detach().contiguous().cpu()
        digest.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)


def _add_source(digest: xxhash.xxh3_128, thing: Any) -> bool:
    try:
        digest.update(inspect.getsource(thing).encode())
    except (OSError, TypeError):
        return False
    return True


def _add_value(digest: xxhash.xxh3_128, key: str, value: object) -> bool:
    digest.update(key.encode())
    if isinstance(value, PLAIN):
        digest.update(repr(value).encode())
        return True
    if isinstance(value, np.ndarray):
        digest.update(np.ascontiguousarray(value).tobytes())
        return value.dtype != object
    if isinstance(value, torch.Tensor):
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return True
    if isinstance(value, dict):
        return all([_add_value(digest, repr(k), v) for k, v in value.items()])
    if isinstance(value, Iterable) and isinstance(value, (list, tuple, set, frozenset)):
        return all([_add_value(digest, "", v) for v in value])
    if isinstance(value, type) or inspect.isfunction(value) or inspect.isbuiltin(value):
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
        known = (value.__module__ or "").split(".")[0] in KNOWN_PACKAGES or inspect.isbuiltin(value)
        return known or _add_source(digest, value)
    return isinstance(value, nn.Module)  # registered elsewhere in the tree
