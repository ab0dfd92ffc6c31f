"""Which code is known by its name: that of installed packages, found where its name says."""

from __future__ import annotations

import functools
import sys
import sysconfig
from pathlib import Path
from typing import Any

KNOWN_PACKAGES = frozenset(
    ("torch", "torchvision", "timm", "sktl", "numpy", "scipy", "sklearn", "skorch", "accelerate", "PIL", "safetensors",
     "joblib", "transformers", "huggingface_hub", "xxhash"),
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def is_known_module(name: str) -> bool:
    """Whether a module is of the standard library, and no file of the same name, or of a known package."""
    top = name.partition(".")[0]
    if top in KNOWN_PACKAGES:
        return True
    if top not in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return True
    path = Path(file).resolve()
    folders = [Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib")]
    return any(folder in path.parents for folder in folders) and "site-packages" not in path.parts


def is_known_home(name: Any, names: dict[str, Any]) -> bool:
    """Whether a function's globals are those of a known module."""
    return isinstance(name, str) and is_known_module(name) and vars(sys.modules.get(name, object)) is names


def is_known_class(cls: type) -> bool:
    """Whether a class is a known package's, and found by its name."""
    module = cls.__module__
    if not isinstance(module, str) or not is_known_module(module):
        return False
    is_python = bool(cls.__flags__ & 1 << 9)  # made while running, as Python's classes are
    return not is_python or found(module, cls.__qualname__) is cls


def is_made_by_known(cls: type) -> bool:
    """Whether a class calls itself a known package's, which makes such classes as it goes (parametrized layers)."""
    return isinstance(cls.__module__, str) and cls.__module__.partition(".")[0] in KNOWN_PACKAGES


def is_known_by_name(value: Any) -> bool:
    """Whether an object of a compiled type, such as Cython's functions, is what a known module has by its name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    return is_known_module(module) and found(module, name) is value


def found(module: Any, qualname: str) -> Any:
    """Return what a name of a loaded module stands for, or None."""
    value: Any = sys.modules.get(module) if isinstance(module, str) else None
    for part in qualname.split("."):
        value = getattr(value, part, None)
    return value
