"""Bounds, pruning, sizes and how a store shows itself."""

from __future__ import annotations

import numpy as np
import pytest
from cache_codes import Counting, assert_right, codes_of, some_keys

from sktl.cache import DiskCache, MemoryCache
from sktl.cache._base import human_size


def present(cache, keys):
    return [value is not None for value in cache.get_many(keys)]


def test_memory_forgets_the_least_recently_used():
    cache = MemoryCache(max_bytes=3 * (1 + 400))
    value = np.zeros(100, np.float32)
    cache.put_many([b"a", b"b", b"c"], [value] * 3)
    cache.get_many([b"a"])
    cache.put_many([b"d"], [value])
    assert present(cache, [b"a", b"b", b"c", b"d"]) == [True, False, True, True]
    assert cache.n_bytes == cache.max_bytes
    cache.put_many([b"big"], [np.zeros(1000, np.float32)])
    assert present(cache, [b"big", b"a", b"c", b"d"]) == [False, True, True, True]
    assert cache.prune(401) == 802
    assert present(cache, [b"a", b"c", b"d"]) == [False, False, True]


@pytest.mark.parametrize("max_bytes", [0, 5000])
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_all_values_come_back_from_a_store_too_small_for_them(kind, max_bytes, folder):
    cache = MemoryCache(max_bytes) if kind == "memory" else DiskCache(folder, max_bytes)
    keys = some_keys(200)
    compute = Counting(keys)
    assert_right(keys, cache.get_or_compute(keys, compute))
    assert sorted(compute.asked) == list(range(200))
    assert cache.n_bytes <= max_bytes


def test_disk_forgets_what_was_written_first(folder):
    cache = DiskCache(folder)
    keys = some_keys(300)
    cache.put_many(keys, codes_of(keys))
    cache.put_many(keys[:10], codes_of(keys[:10]))  # written anew, so they are the youngest
    before = cache.n_bytes
    freed = cache.prune(before // 2)
    assert cache.n_bytes == before - freed <= before // 2
    there = present(cache, keys)
    assert all(there[:10])
    first = there.index(True, 10)
    assert not any(there[10:first])
    assert all(there[first:])
    assert_right(keys[first:], cache.get_many(keys[first:]))


def test_disk_stays_within_its_bound_and_uses_its_file_again(folder):
    cache = DiskCache(folder, max_bytes=500_000)
    for batch in range(40):
        keys = some_keys(50, f"batch-{batch}")
        cache.put_many(keys, codes_of(keys))
        assert cache.n_bytes <= 500_000
        assert_right(keys, cache.get_many(keys))
    assert (folder / "v1" / "data.mdb").stat().st_blocks * 512 < 1_500_000


def test_clear(cache):
    keys = some_keys(20)
    cache.clear()
    cache.put_many(keys, codes_of(keys))
    cache.clear()
    assert (cache.n_entries, cache.n_bytes) == (0, 0)
    assert cache.prune(0) == 0
    cache.put_many(keys, codes_of(keys))
    assert_right(keys, cache.get_many(keys))


def test_a_store_grows_past_its_first_map(folder, monkeypatch):
    monkeypatch.setattr("sktl.cache._store.FIRST_MAP", 2**17)
    cache = DiskCache(folder)
    for batch in range(10):
        keys = some_keys(50, f"batch-{batch}")
        cache.put_many(keys, codes_of(keys))
    cache.put_many([b"large"], [np.ones(10**6, np.float32)])
    assert cache.n_entries == 501
    assert cache.get_many([b"large"])[0].sum() == 10**6
    assert_right(keys, cache.get_many(keys))


def test_repr(folder):
    memory, disk = MemoryCache(2**20), DiskCache(folder)
    assert repr(disk) == f"DiskCache({str(folder)!r}: 0 entries, 0 B)"
    assert not folder.exists()
    for cache in (memory, disk):
        cache.put_many(some_keys(1000), np.zeros((1000, 10), np.float32))
    assert repr(memory) == "MemoryCache(1,000 entries, 97.7 KiB of 1.0 MiB)"
    assert repr(disk).startswith(f"DiskCache({str(folder)!r}: 1,000 entries, ")
    assert repr(DiskCache(__file__)) == f"DiskCache({__file__!r}: cannot be opened)"
    assert [human_size(size) for size in (0, 1023, 1024, 2**40, 5 * 2**50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 TiB",
        "5120.0 TiB",
    ]
