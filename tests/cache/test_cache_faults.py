"""Folders that are no store, damage, no place, no right to write: the result is right, and a warning says why."""

from __future__ import annotations

import errno
import json
import os
import warnings

import lmdb
import numpy as np
import pytest
from cache_codes import Counting, assert_right, codes_of, never, some_keys

from sktl.cache import DiskCache
from sktl.cache._integrity import inspect
from sktl.cache._records import decode
from sktl.exceptions import CacheWarning

KEYS = some_keys(200)


@pytest.fixture
def filled(folder):
    """A folder with a store that no process has open."""
    cache = DiskCache(folder)
    cache.put_many(KEYS, codes_of(KEYS))
    cache._store._close()
    del cache
    return folder


def all_are_right(folder, max_bytes=None):
    """Get all codes, twice, and return how many were computed the first time."""
    cache, compute = DiskCache(folder, max_bytes), Counting(KEYS)
    assert_right(KEYS, cache.get_or_compute(KEYS, compute))
    assert_right(KEYS, cache.get_or_compute(KEYS, Counting(KEYS)))
    return len(compute.asked)


# Folders.


def test_a_folder_of_something_else_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("important")
    cache = DiskCache(folder)
    for use in (
        lambda: cache.get_many([b"a"]),
        lambda: cache.put_many([b"a"], [np.zeros(1)]),
        lambda: cache.get_or_compute([b"a"], never),
        lambda: cache.n_entries,
        lambda: cache.clear(),
    ):
        with pytest.raises(ValueError, match=r"is not empty and is not a cache .* give an empty or a new folder"):
            use()
    assert os.listdir(folder) == ["thesis.tex"]


def test_a_file_is_left_alone(folder):
    folder.write_text("important")
    for path in (folder, folder / "below"):
        with pytest.raises(ValueError, match="is a file, or lies in one; give the path of a folder"):
            DiskCache(path).get_or_compute([b"a"], never)
    assert folder.read_text() == "important"


def test_a_marker_of_something_else(folder):
    folder.mkdir()
    (folder / "sktl-cache.json").write_text('{"format": "another"}')
    with pytest.raises(ValueError, match="not written by sktl"):
        DiskCache(folder).get_many([b"a"])


def test_a_marker_cut_short_is_written_anew(filled):
    (filled / "sktl-cache.json").write_text('{"form')
    assert all_are_right(filled) == 0
    assert json.loads((filled / "sktl-cache.json").read_text()) == {"format": "sktl-cache", "version": 1}


def test_codes_of_another_version_are_not_mixed_in(filled):
    (filled / "v1").rename(filled / "v2")
    (filled / "sktl-cache.json").write_text('{"format": "sktl-cache", "version": 2}')
    before = (filled / "v2" / "data.mdb").read_bytes()
    with pytest.warns(CacheWarning, match=r"another format \(2\)") as caught:
        assert all_are_right(filled) == len(KEYS)
    assert len(caught) == 1
    assert (filled / "v2" / "data.mdb").read_bytes() == before


def test_an_empty_folder_becomes_a_store(folder):
    folder.mkdir()
    assert all_are_right(folder) == len(KEYS)
    assert {"sktl-cache.json", "v1", "owners"} <= set(os.listdir(folder))


# Damage.


def change_records(folder, change, keys):
    env = lmdb.open(str(folder / "v1"), max_dbs=3, map_size=2**26)
    codes = env.open_db(b"codes")
    with env.begin(write=True, db=codes) as txn:
        for key in keys:
            record = bytearray(txn.get(key))
            txn.put(key, bytes(change(record)))
    env.close()


def flip(at):
    def change(record):
        record[at % len(record)] ^= 0x40
        return record

    return change


@pytest.mark.parametrize(
    "change",
    [flip(at) for at in (0, 12, 20, 21, 22, 24, 28, 100, -1)]
    + [lambda record: record[:-1], lambda record: record[:10], lambda record: b"", lambda record: record + b"x"],
)
def test_a_damaged_entry_is_computed_anew(filled, change):
    change_records(filled, change, KEYS[5:8])
    cache, compute = DiskCache(filled), Counting(KEYS)
    assert [value is None for value in cache.get_many(KEYS[4:9])] == [False, True, True, True, False]
    assert_right(KEYS, cache.get_or_compute(KEYS, compute))
    assert compute.asked == [5, 6, 7]
    assert_right(KEYS, cache.get_or_compute(KEYS, never))
    assert cache.n_entries == len(KEYS)
    cache.prune(0)
    assert cache.n_entries == 0


def test_an_entry_is_not_served_under_another_key(filled):
    env = lmdb.open(str(filled / "v1"), max_dbs=3, map_size=2**26)
    with env.begin(write=True, db=env.open_db(b"codes")) as txn:
        txn.put(KEYS[0], txn.get(KEYS[1]))
    env.close()
    assert DiskCache(filled).get_many(KEYS[:1]) == [None]


def test_a_record_with_random_bytes_is_none():
    rng = np.random.default_rng(0)
    for length in range(200):
        assert decode(b"a", b"SKC1" + rng.bytes(length)) is None
    assert decode(b"a", None) is None


DAMAGES = ["garbage", "text", "zeros", "first page", "all but the head"]
DAMAGES += ["cut to a page", "cut to the head", "cut in the middle"]


def damage(path, kind):
    size, used = path.stat().st_size, path.stat().st_blocks * 512
    if kind == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(size))
    elif kind == "text":
        path.write_text("not a data file")
    elif kind == "zeros":
        path.write_bytes(bytes(size))
    elif kind.startswith("cut"):
        os.truncate(path, {"cut to a page": 4096, "cut to the head": 8192, "cut in the middle": used // 2}[kind])
    elif kind == "first page":
        with path.open("r+b") as file:
            file.write(b"\xff" * 4096)
    elif kind == "all but the head":
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(np.random.default_rng(0).bytes(used))


@pytest.mark.parametrize(
    "kind",
    [
        "garbage",
        "text",
        "zeros",
        "cut to a page",
        "cut to the head",
        "cut in the middle",
        "first page",
        "all but the head",
    ],
)
def test_a_damaged_file_is_put_aside(filled, kind):
    damage(filled / "v1" / "data.mdb", kind)
    with pytest.warns(CacheWarning, match=r"are damaged \(.*put aside in 'v1-damaged'") as caught:
        assert all_are_right(filled) == len(KEYS)
    assert len(caught) == 1
    assert (filled / "v1-damaged" / "data.mdb").exists()
    assert all_are_right(filled) == 0


def test_a_file_that_is_cut_while_in_use(filled):
    cache = DiskCache(filled)
    assert_right(KEYS, cache.get_many(KEYS))
    os.truncate(filled / "v1" / "data.mdb", 16384)
    with pytest.warns(CacheWarning, match="cut short"):
        assert_right(KEYS, cache.get_or_compute(KEYS, Counting(KEYS)))
    assert_right(KEYS, cache.get_or_compute(KEYS, never))


@pytest.mark.parametrize("error", [lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.PanicError])
def test_damage_that_shows_only_in_use(filled, error):
    cache = DiskCache(filled)
    cache.n_entries  # noqa: B018
    broken = (filled / "v1" / "data.mdb").stat().st_ino

    def read(txn, tables):
        if cache._store._inode[1] == broken:
            raise error("broken")
        return 5

    with pytest.warns(CacheWarning, match="damaged"):
        assert cache._store.write(read, None) == 5
    assert all_are_right(filled) == len(KEYS)


DAMAGE_AND_USE = """
import os, sys, warnings
import numpy as np
from cache_codes import Counting, assert_right, codes_of, some_keys
from sktl.cache import DiskCache
warnings.simplefilter("ignore")
keys = some_keys(200)
path = os.path.join(sys.argv[1], "v1", "data.mdb")
rng = np.random.default_rng(int(sys.argv[2]))
sound = open(path, "rb").read()
used = len(sound.rstrip(b"\\0"))
for trial in range(12):
    data = bytearray(sound)
    for _ in range(1 + trial % 3):
        at, length = int(rng.integers(0, used)), int(rng.integers(1, 9000))
        data[at : at + length] = rng.bytes(len(data[at : at + length]))
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path)
    cache = DiskCache(sys.argv[1])
    cache._store._found_sound = None
    assert_right(keys, cache.get_or_compute(keys, Counting(keys)))
    cache.put_many(some_keys(50, "more"), codes_of(some_keys(50, "more")))
    got = [(key, value) for key, value in zip(keys, cache.get_many(keys)) if value is not None]
    assert_right([key for key, _ in got], [value for _, value in got])
    cache.prune(cache.n_bytes // 2)
    cache._store._close()
    print(trial, flush=True)
"""


@pytest.mark.parametrize("seed", [0, 1])
def test_random_damage_neither_ends_the_process_nor_is_served(filled, start, finish, seed):
    assert finish(start(DAMAGE_AND_USE, filled, seed)).split()[-1] == "11"


def test_sound_files_are_found_sound(folder):
    rng = np.random.default_rng(0)
    cache = DiskCache(folder)
    for step in range(120):
        keys = [KEYS[index] for index in rng.integers(0, len(KEYS), 40)]
        sizes = rng.integers(0, 10 ** rng.integers(1, 4), 40)
        if step % 10 == 9:
            cache.prune(int(cache.n_bytes * rng.random()))
        elif step % 3:
            cache.put_many(keys, [np.zeros(size, np.float32) for size in sizes])
        else:
            cache.get_or_compute(keys, Counting(keys))
        assert inspect(folder / "v1" / "data.mdb").fault is None


# No right to write.


@pytest.fixture
def read_only(monkeypatch):
    """Make this process one that may not write; root may write to anything, so it takes more than chmod."""
    access, lmdb_open = os.access, lmdb.open

    def refuse_writing(path, **options):
        if not options.get("readonly") or options.get("lock", True):
            raise lmdb.ReadonlyError(f"{path}: Permission denied")
        return lmdb_open(path, **options)

    def restrict(how):
        if how == "access":
            monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
        monkeypatch.setattr(lmdb, "open", refuse_writing)

    return restrict


@pytest.mark.parametrize("how", ["access", "open"])
def test_a_read_only_store_is_read(filled, read_only, how):
    change_records(filled, flip(100), KEYS[:3])
    read_only(how)
    cache = DiskCache(filled)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(KEYS[3:], cache.get_many(KEYS[3:]))
        assert_right(KEYS[3:], cache.get_or_compute(KEYS[3:], never))
    more = [*KEYS, *some_keys(100, "more")]
    compute = Counting(more)
    with pytest.warns(CacheWarning, match=r"cannot be stored in .*read-only") as caught:
        assert_right(more, cache.get_or_compute(more, compute))
    assert len(caught) == 1
    assert compute.asked == [0, 1, 2, *range(200, 300)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(more, cache.get_or_compute(more, compute))
        cache.put_many(more, codes_of(more))
    assert compute.asked[103:] == compute.asked[:103]


def test_a_new_store_where_nothing_can_be_written(folder, read_only):
    read_only("access")
    with pytest.warns(CacheWarning, match="read-only") as caught:
        assert all_are_right(folder) == len(KEYS)
    assert len(caught) == 1
    assert not folder.exists()


def test_no_locks_means_no_claims(filled, monkeypatch):
    def refuse(self, *arguments, **options):
        raise NotImplementedError("no locks here")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    more = some_keys(100, "more")
    compute = Counting(more)
    assert_right(more, DiskCache(filled).get_or_compute(more, compute))
    assert len(compute.asked) == 100
    assert_right(more, DiskCache(filled).get_or_compute(more, never))


# No place.


@pytest.mark.parametrize(
    "error",
    [
        lmdb.DiskError("No space left on device"),
        OSError(errno.ENOSPC, "No space left on device"),
        lmdb.MemoryError("x"),
    ],
)
def test_a_full_disk(filled, monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr("sktl.cache._store.Store._reserve_file", fail)
    cache, more = DiskCache(filled), [*KEYS, *some_keys(100, "more")]
    compute = Counting(more)
    with pytest.warns(CacheWarning, match="cannot be stored") as caught:
        assert_right(more, cache.get_or_compute(more, compute))
    assert len(caught) == 1
    assert compute.asked == list(range(200, 300))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_right(more, cache.get_or_compute(more, compute))
    monkeypatch.undo()
    cache.prune(10**9)  # says that there is place again
    assert_right(more, cache.get_or_compute(more, Counting(more)))
    assert_right(more, cache.get_or_compute(more, never))


FILL = """
import resource, sys, warnings
import sktl.cache._store as store
store.FIRST_MAP = 2**20
from cache_codes import Counting, assert_right, some_keys
from sktl.cache import DiskCache
resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))
keys = some_keys(3000)
compute = Counting(keys)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert_right(keys, DiskCache(sys.argv[1]).get_or_compute(keys, compute))
assert compute.asked == list(range(3000))
[warning] = caught
print(warning.category.__name__, warning.message)
compute = Counting(keys)
assert_right(keys, DiskCache(sys.argv[1]).get_or_compute(keys, compute))
assert 0 < len(compute.asked) < 2900
"""


def test_a_limit_on_the_size_of_files(folder, start, finish):
    pytest.importorskip("resource", reason="limits of file sizes are set by a module of Unix alone")
    output = finish(start(FILL, folder))
    assert output.startswith("CacheWarning Codes cannot be stored in")
    assert "too large" in output
    keys = some_keys(3000)
    compute = Counting(keys)
    assert_right(keys, DiskCache(folder).get_or_compute(keys, compute))
    assert 0 < len(compute.asked) < 2900
