"""From what a user writes to a store; one store a process; what a pickle holds."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from cache_codes import assert_right, codes_of, some_keys

from sktl.cache import CodeCache, DiskCache, MemoryCache, open_cache


def test_what_open_cache_takes(folder, monkeypatch):
    assert open_cache(None) is None
    memory = open_cache("memory")
    assert isinstance(memory, MemoryCache)
    assert open_cache("memory") is memory
    disk = open_cache(folder)
    assert isinstance(disk, DiskCache)
    assert open_cache(str(folder)) is disk
    assert open_cache(folder.parent / "x" / ".." / "codes") is disk
    monkeypatch.chdir(folder.parent)
    assert open_cache("codes") is disk
    assert open_cache(disk) is disk
    assert open_cache(own := MemoryCache(5)) is own
    assert issubclass(DiskCache, CodeCache)
    assert not folder.exists()
    for wrong in (5, True, b"folder", ["memory"]):
        with pytest.raises(TypeError, match="None, 'memory', a path to a folder, or a CodeCache"):
            open_cache(wrong)


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_cache("~/codes").path == Path(tmp_path, "codes").resolve()


def test_bounds(folder):
    memory = open_cache("memory")
    bound = memory.max_bytes
    try:
        assert open_cache("memory", max_bytes=10_000) is memory
        assert memory.max_bytes == 10_000
    finally:
        memory.max_bytes = bound
    assert open_cache(folder, max_bytes=10).max_bytes == 10
    assert open_cache(folder).max_bytes is None
    with pytest.raises(ValueError, match="negative"):
        open_cache(folder, max_bytes=-1)


def test_two_objects_share_one_folder_in_one_process(folder):
    keys = some_keys(5)
    first, second = DiskCache(folder), DiskCache(folder, max_bytes=10**9)
    first.put_many(keys, codes_of(keys))
    assert_right(keys, second.get_many(keys))
    del first
    assert_right(keys, second.get_many(keys))


def test_pickles_are_references(folder):
    keys = some_keys(5)
    disk = DiskCache(folder, max_bytes=10**9)
    disk.put_many(keys, codes_of(keys))
    pickled = pickle.dumps(disk)
    assert len(pickled) < 300
    back = pickle.loads(pickled)
    assert (back.path, back.max_bytes) == (disk.path, disk.max_bytes)
    assert_right(keys, back.get_many(keys))

    shared = open_cache("memory")
    assert pickle.loads(pickle.dumps(shared)) is shared
    own = MemoryCache(12345)
    own.put_many([b"a"], [codes_of([b"a"])[0]])
    back = pickle.loads(pickle.dumps(own))
    assert (back.max_bytes, back.n_entries) == (12345, 0)


def test_copies_are_the_same_store(cache):
    assert copy.copy(cache) is cache
    assert copy.deepcopy({"cache": cache})["cache"] is cache


def test_a_removed_folder_is_made_anew(folder):
    import shutil

    keys = some_keys(5)
    cache = DiskCache(folder)
    cache.put_many(keys, codes_of(keys))
    shutil.rmtree(folder)
    assert cache.get_many(keys) == [None] * 5
    cache.put_many(keys, codes_of(keys))
    assert_right(keys, DiskCache(folder).get_many(keys))
    assert (folder / "sktl-cache.json").exists()
