"""Keys and values for the tests of the store: a value is a function of its key, so that a wrong one can be told."""

from __future__ import annotations

import hashlib

import numpy as np


def some_keys(n_keys: int, prefix: str = "key") -> list[bytes]:
    return [f"{prefix}-{index:05d}".encode().ljust(60, b".") for index in range(n_keys)]


def code_of(key: bytes, n_features: int = 300) -> np.ndarray:
    return np.frombuffer(hashlib.shake_128(key).digest(4 * n_features), np.uint32).astype(np.float32)


def codes_of(keys) -> list[np.ndarray]:
    return [code_of(key) for key in keys]


def assert_right(keys, values):
    assert len(keys) == len(values)
    for key, value in zip(keys, values):
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, code_of(key))


def never(positions):
    raise AssertionError(f"computed {len(positions)} codes that are stored")


class Counting:
    """A compute that remembers the positions it was asked for."""

    def __init__(self, keys, block: int = 16):
        self.keys, self.block, self.asked = keys, block, []

    def __call__(self, positions):
        for start in range(0, len(positions), self.block):
            part = positions[start : start + self.block]
            self.asked.extend(part)
            yield part, [code_of(self.keys[position]) for position in part]
