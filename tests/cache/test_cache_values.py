"""What goes in comes out, bit by bit, from either store."""

from __future__ import annotations

import numpy as np
import pytest
from cache_codes import some_keys

from sktl.cache import DiskCache, MemoryCache

rng = np.random.default_rng(0)
VALUES = [
    rng.standard_normal(1280).astype(np.float32),
    rng.standard_normal((7, 7, 3)).astype(np.float16),
    rng.integers(0, 256, (5, 4), np.uint8),
    rng.standard_normal((2, 0, 3)),
    np.array(3.5, np.float32),
    np.array([], np.int64),
    np.array([True, False]),
    np.array([np.nan, -0.0, np.inf, -np.inf], np.float32),
    np.array([0x7FC00001, 0xFFC12345], np.uint32).view(np.float32),  # not-a-numbers that differ in their bits
    rng.standard_normal((6, 8)).astype(np.float32)[::2, ::-3],
    rng.standard_normal((4, 3)).astype(">f4"),
    np.asfortranarray(rng.standard_normal((4, 3))),
    rng.standard_normal(4) + 1j,
    np.float32(2),
]


def test_round_trip(cache):
    keys = some_keys(len(VALUES))
    cache.put_many(keys, VALUES)
    for value, back in zip(VALUES, cache.get_many(keys)):
        value = np.asarray(value)
        assert back.dtype == value.dtype
        assert back.shape == value.shape
        assert back.tobytes() == value.tobytes()
        assert back.flags.aligned


def test_values_cannot_be_changed_from_outside(cache):
    value = np.ones(3, np.float32)
    cache.put_many([b"a"], [value])
    value[:] = 7
    [back] = cache.get_many([b"a"])
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, 1)
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 5


def test_missing_is_none_and_order_is_kept(cache):
    cache.put_many([b"a", b"b"], [np.float32(1), np.float32(2)])
    first, none, second, again = cache.get_many([b"b", b"?", b"a", b"b"])
    assert none is None
    assert (first, second, again) == (2, 1, 2)
    assert cache.get_many([]) == []
    cache.put_many([], [])


def test_overwriting(cache):
    for n_features in (10, 5000, 3):
        cache.put_many([b"a"], [np.full(n_features, n_features, np.float32)])
        [back] = cache.get_many([b"a"])
        np.testing.assert_array_equal(back, np.full(n_features, n_features))
    assert cache.n_entries == 1


def test_rows_of_one_array(cache):
    block = rng.standard_normal((64, 20)).astype(np.float32)
    keys = some_keys(64)
    cache.put_many(keys, block)
    np.testing.assert_array_equal(np.stack(cache.get_many(keys)), block)


@pytest.mark.parametrize(
    ("keys", "error", "match"),
    [
        (["a"], TypeError, r"keys\[0\] is 'a' \(str\)"),
        ([b"a", b""], ValueError, r"keys\[1\] has 0"),
        ([b"a" * 512], ValueError, "1 to 511 bytes"),
    ],
)
def test_bad_keys(cache, keys, error, match):
    with pytest.raises(error, match=match):
        cache.get_many(keys)
    with pytest.raises(error, match=match):
        cache.put_many(keys, [np.zeros(1)] * len(keys))
    with pytest.raises(error, match=match):
        cache.get_or_compute(keys, None)
    assert cache.n_entries == 0


def test_bad_values(cache):
    with pytest.raises(ValueError, match="2 keys and 1 values"):
        cache.put_many([b"a", b"b"], [np.zeros(1)])
    with pytest.raises(TypeError, match="dtype object"):
        cache.put_many([b"a"], [np.array([None])])
    with pytest.raises(TypeError, match="arrays of numbers"):
        cache.put_many([b"a"], [np.zeros(1, "i4,f4")])
    assert cache.n_entries == 0


@pytest.mark.parametrize("bound", [1.5, "1 GiB", True])
def test_bad_bounds(cache, folder, bound):
    for make in (MemoryCache, lambda max_bytes: DiskCache(folder, max_bytes)):
        with pytest.raises(TypeError, match="max_bytes must be an int"):
            make(bound)
        with pytest.raises(ValueError, match="negative"):
            make(-1)
    with pytest.raises(TypeError, match="max_bytes"):
        cache.prune(None)
