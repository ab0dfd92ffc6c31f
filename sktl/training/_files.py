"""Files of tensors and JSON, without pickle: written whole or not at all, and read only as they were written.

A digest of all bytes of the file, but for its own place, stands in the file's header.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import xxhash
from safetensors import SafetensorError
from torch import Tensor

_MARK = b'"digest":"'
_NO_DIGEST = "0" * 32
_HEAD = 8  # bytes that say how long the header is
_LONGEST_HEADER = 100_000_000  # what safetensors takes
_HOST = xxhash.xxh32_hexdigest(socket.gethostname().encode())
_PART = re.compile(rf"-{_HOST}-(\d+)-\d+\.part")


def encode_tensors(tensors: Mapping[str, Tensor], rest: Any) -> bytes:
    """Return a safetensors file's content, with JSON-able data and a digest in its header."""
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(own, {"sktl": json.dumps(rest), "digest": _NO_DIGEST})
    place = _place_of_digest(content)
    assert place is not None
    return content[:place] + _digest(content, place) + content[place + len(_NO_DIGEST) :]


def decode_tensors(content: bytes) -> tuple[dict[str, Tensor], Any]:
    """Return what `encode_tensors` was given.

    Raises
    ------
    ValueError
        If the content is not, byte by byte, what was written.
    """
    place = _place_of_digest(content)
    if place is None:
        raise ValueError(
            "it is damaged, of another make, or of an earlier version of sktl: it carries no digest of its content. "
            "What an earlier version saved has to be fitted and saved again"
        )
    if content[place : place + len(_NO_DIGEST)] != _digest(content, place):
        raise ValueError("it is damaged: its content is not what was written")
    try:
        metadata = json.loads(content[_HEAD : _header_end(content)])["__metadata__"]
        return safetensors.torch.load(content), json.loads(metadata["sktl"])
    except (SafetensorError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as error:
        raise ValueError(f"it is damaged or of another make: {error}") from error


def _header_end(content: bytes) -> int:
    return _HEAD + int.from_bytes(content[:_HEAD], "little")


def _place_of_digest(content: bytes) -> int | None:
    """Return where the digest stands; quotes inside the JSON data are escaped, so that the mark is none of theirs."""
    found = content.find(_MARK, _HEAD, min(_header_end(content), _LONGEST_HEADER))
    return None if found < 0 else found + len(_MARK)


def _digest(content: bytes, place: int) -> bytes:
    view = memoryview(content)
    digest = xxhash.xxh3_128(view[:place])
    digest.update(_NO_DIGEST.encode())
    digest.update(view[place + len(_NO_DIGEST) :])
    return digest.hexdigest().encode()


def write_whole(path: str | os.PathLike, content: bytes, *, label: str | None = None) -> None:
    """Write a file beside and rename it, so that a crash or a full disk leaves what was there.

    The name of the file beside says whose it is, so that any number of threads and processes write at once, and what a
    process that was killed has left is removed by the next one.

    Parameters
    ----------
    path : path-like
        The file.
    content : bytes
        All of it.
    label : str, optional
        What the name of the file beside begins with, after a dot.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    label = label or f"sktl-{xxhash.xxh3_64_hexdigest(path.name.encode())}"
    part = path.with_name(f".{label}-{_HOST}-{os.getpid()}-{threading.get_ident()}.part")
    remove_stale_parts(path.parent, label)
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


def remove_stale_parts(folder: Path, label: str) -> None:
    """Remove what processes of this machine that live no more have left while they wrote."""
    with contextlib.suppress(OSError):
        for part in folder.glob(f".{label}-{_HOST}-*.part"):
            owner = _PART.search(part.name)
            if owner is not None and not _lives(int(owner[1])):
                part.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    if os.name != "posix":  # where signal 0 is none
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def read_whole(path: str | os.PathLike) -> bytes:
    """Return a file's content: of a regular file only, and only if it is as long as its header says.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is none of these.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        head = file.read(_HEAD)
        length = int.from_bytes(head, "little")
        if len(head) < _HEAD or length > min(status.st_size - _HEAD, _LONGEST_HEADER):
            raise ValueError("it is damaged or of another make: it is shorter than its header says")
        header = file.read(length)
        try:
            entries = json.loads(header)
            ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
            n_bytes = _HEAD + length + max(ends, default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is damaged or of another make: its header cannot be read: {error}") from error
        if status.st_size != n_bytes:
            raise ValueError(f"it is damaged: it has {status.st_size} bytes, its header speaks of {n_bytes!r:.40}")
        try:
            return head + header + file.read()
        except MemoryError as error:
            raise ValueError(f"its {status.st_size} bytes do not fit in memory") from error


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors, copied out of the file, and the data that `encode_tensors` has written.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, is damaged, or of another make.
    """
    return decode_tensors(read_whole(path))


def check_values(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return what is wrong with the values of tensors, a line a tensor."""
    return [
        f"{name} has NaN or infinite values"
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
