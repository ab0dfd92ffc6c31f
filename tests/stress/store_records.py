"""Records of a store that are damaged, or made up with a checksum that fits: a right value or none, never another."""

from __future__ import annotations

import numpy as np

from sktl.cache._records import _HEAD, _TAG, _checksum, decode, encode
from tests.stress._result import Result

KEY = b"key"


def run(count: int, seed: int) -> Result:
    """Damage `count` records: half of them anywhere, half in what describes the value, with the checksum made anew."""
    rng = np.random.default_rng(seed)
    result = Result("store records")
    for case in range(count):
        value = rng.standard_normal(tuple(rng.integers(0, 5, rng.integers(0, 4)))).astype(rng.choice(["f4", "f8"]))
        record = bytearray(encode(KEY, value, case))
        is_made_up = bool(case % 2)
        first, end = (_HEAD.size, len(record) - value.nbytes) if is_made_up else (0, len(record))
        for place in rng.integers(first, end, rng.integers(1, 4)):
            record[place] ^= 1 << int(rng.integers(8))
        if is_made_up:
            order = _HEAD.unpack_from(record)[1]
            record[: _HEAD.size] = _HEAD.pack(_TAG, order, _checksum(KEY, bytes(record[_HEAD.size :])))
        result.count(_violation(bytes(record), value, is_made_up, f"seed {seed}, case {case}"))
    return result


def _violation(record: bytes, value: np.ndarray, is_made_up: bool, where: str) -> str | None:
    try:
        found = decode(KEY, record)
    except Exception as error:
        return f"{where}: {type(error).__name__}: {error}"
    if found is None or (is_made_up and found.nbytes == value.nbytes):  # a shape that fits the bytes cannot be told
        return None
    is_same = found.dtype == value.dtype and found.shape == value.shape and found.tobytes() == value.tobytes()
    return None if is_same else f"{where}: another value"
