"""Keys and values: their checks, and the bytes that stand for a value on disk."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash

LONGEST_KEY = 511  # what LMDB takes

_TAG = b"SKC1"
_HEAD = struct.Struct("<4sQQ")  # tag, place in the order of writing, checksum of the key and all that follows
_FORM = struct.Struct("<BBH")  # length of the dtype's name, dimensions, where the payload starts
_ALIGNMENT = 16


def checked_keys(keys: Iterable[bytes]) -> list[bytes]:
    """Return the keys as a list, or say which of them cannot be one."""
    keys = list(keys)
    for position, key in enumerate(keys):
        if not isinstance(key, bytes):
            raise TypeError(f"keys must be bytes, but keys[{position}] is {key!r:.50} ({type(key).__name__}).")
        if not 1 <= len(key) <= LONGEST_KEY:
            raise ValueError(
                f"keys must be 1 to {LONGEST_KEY} bytes long, but keys[{position}] has {len(key)}; use a digest of it."
            )
    return keys


def checked_pairs(keys: Iterable[bytes], values: Sequence) -> dict[bytes, np.ndarray]:
    """Return the value of each key, frozen; of a key given twice, the last one."""
    keys = checked_keys(keys)
    if len(keys) != len(values):
        raise ValueError(f"keys and values must be equally many, got {len(keys)} keys and {len(values)} values.")
    return {key: frozen(value) for key, value in zip(keys, values)}


def frozen(value) -> np.ndarray:
    """Return a read-only copy that nothing else refers to."""
    copy = np.array(value, copy=True, order="C", subok=False)
    if copy.dtype.hasobject or copy.dtype.kind == "V":
        raise TypeError(f"values must be arrays of numbers, got an array of dtype {copy.dtype}.")
    copy.setflags(write=False)
    return copy


def encode(key: bytes, value: np.ndarray, order: int) -> bytes:
    """Return the record of a value: a header, the dtype's name, the shape, and the payload at an aligned place."""
    name = value.dtype.str.encode()
    shape = struct.pack(f"<{value.ndim}Q", *value.shape)
    described = _HEAD.size + _FORM.size + len(name) + len(shape)
    start = -(-described // _ALIGNMENT) * _ALIGNMENT
    form = _FORM.pack(len(name), value.ndim, start)
    checked = b"".join((form, name, shape, bytes(start - described), value.tobytes()))
    return _HEAD.pack(_TAG, order, _checksum(key, checked)) + checked


def decode(key: bytes, record: bytes | None) -> np.ndarray | None:
    """Return the read-only value of a record, or None if there is none or anything about it is damaged."""
    if record is None or len(record) < _HEAD.size + _FORM.size:
        return None
    tag, _, checksum = _HEAD.unpack_from(record)
    if tag != _TAG or checksum != _checksum(key, memoryview(record)[_HEAD.size :]):
        return None
    try:  # anybody can make a checksum that fits
        return _value(record)
    except (ValueError, TypeError, SyntaxError, OverflowError, MemoryError, struct.error):
        return None


def _value(record: bytes) -> np.ndarray | None:
    name_length, n_dimensions, start = _FORM.unpack_from(record, _HEAD.size)
    shape_at = _HEAD.size + _FORM.size + name_length
    name = record[shape_at - name_length : shape_at].decode()
    dtype = np.dtype(name)
    shape = struct.unpack_from(f"<{n_dimensions}Q", record, shape_at)
    n_bytes = math.prod(shape) * dtype.itemsize  # exact: Python's integers do not wrap around
    described = shape_at + 8 * n_dimensions
    is_sound = dtype.str == name and not dtype.hasobject and dtype.kind != "V"
    is_placed = start == -(-described // _ALIGNMENT) * _ALIGNMENT and not any(record[described:start])
    if not is_sound or not is_placed or n_bytes != len(record) - start:
        return None
    if not n_bytes:
        return frozen(np.empty(shape, dtype))
    return np.frombuffer(record, dtype, offset=start).reshape(shape)


def order_of(record: bytes) -> int | None:
    """Return the place of a record in the order of writing, or None if its header is damaged."""
    return _HEAD.unpack_from(record)[1] if len(record) >= _HEAD.size and record.startswith(_TAG) else None


def _checksum(key: bytes, checked) -> int:
    digest = xxhash.xxh3_64(key)
    digest.update(checked)
    return digest.intdigest()
