"""Files of tensors and JSON, without pickle: written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


def encode_tensors(tensors: Mapping[str, Tensor], rest: Any) -> bytes:
    """Return a safetensors file's content, with JSON-able data in its header."""
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(own, {"sktl": json.dumps(rest)})


def write_whole(path: str | os.PathLike, content: bytes, *, beside: str | None = None) -> None:
    """Write a file beside and rename it, so that a crash or a full disk leaves what was there.

    Parameters
    ----------
    path : path-like
        The file.
    content : bytes
        All of it.
    beside : str, optional
        Name of the file that is written first, in the same folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    part = path.with_name(beside or f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # an interrupt too
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors, copied out of the file, and the data that `encode_tensors` has written.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, is damaged, or of another make.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "sktl" not in metadata:
                raise ValueError("it was not written by sktl")
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(metadata["sktl"])
    except SafetensorError as error:
        raise ValueError(f"it is damaged or of another make: {error}") from error
