"""Folders and files that others made: nothing outside a store is touched, and nothing that is wrong is served."""

import os
import threading
import uuid

import numpy as np
import pytest

from sktl.cache import DiskCache, MemoryCache
from sktl.cache._owners import blocks, bury_the_dead
from sktl.cache._records import _HEAD, _TAG, _checksum, decode, encode
from sktl.exceptions import CacheWarning
from tests.stress import full_disk, store_records


def _with_fitting_checksum(body: bytes) -> bytes:
    return _HEAD.pack(_TAG, 0, _checksum(b"k", body)) + body


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"<f4", b"|O8"), (b"<f4", b"zzz"), (b"<f4", b"<f8"), (b"\x03" + bytes(7), b"\xff" * 8)],
    ids=["objects", "no dtype", "other size", "huge shape"],
)
def test_records_with_a_fitting_checksum_and_a_wrong_form_count_as_missing(old, new):
    body = encode(b"k", np.ones(3, np.float32), 0)[_HEAD.size :]
    assert decode(b"k", _with_fitting_checksum(body)).tolist() == [1, 1, 1]
    assert body.count(old)
    assert decode(b"k", _with_fitting_checksum(body.replace(old, new, 1))) is None


def test_damaged_records_are_never_another_value():
    result = store_records.run(400, seed=0)
    assert result.n_cases == 400
    assert not result.violations


@pytest.mark.skipif(os.name != "posix", reason="links need no rights on POSIX only")
@pytest.mark.parametrize("name", ["owners", "sktl-cache.json", "setup.lock", "v1"])
def test_links_in_a_store_are_refused_and_what_they_lead_to_is_left(tmp_path, name):
    store, other = tmp_path / "store", tmp_path / "other"
    other.mkdir()
    (other / "poetry.lock").write_text("precious")
    DiskCache(store).put_many([b"k"], [np.ones(2)])
    target = other if name in ("owners", "v1") else other / "poetry.lock"
    (store / name).rename(tmp_path / "away") if (store / name).exists() else None
    (store / name).symlink_to(target)
    with pytest.raises(ValueError, match="is a link"):
        DiskCache(store).put_many([b"j"], [np.ones(2)])
    assert os.listdir(other) == ["poetry.lock"]
    assert (other / "poetry.lock").read_text() == "precious"


def test_only_lock_files_of_owners_are_removed(tmp_path):
    (tmp_path / "poetry.lock").touch()
    dead = tmp_path / f"{uuid.uuid4().hex}.lock"
    dead.touch()
    outside = tmp_path.parent / "outside.lock"
    outside.touch()
    bury_the_dead(tmp_path)
    assert not blocks(tmp_path, b"../outside")
    assert (tmp_path / "poetry.lock").exists()
    assert outside.exists()
    assert not dead.exists()


@pytest.mark.parametrize("path", ["", "  "])
def test_an_empty_path_is_no_folder(path):
    with pytest.raises(ValueError, match="names no folder"):
        DiskCache(path)


def test_who_waits_in_vain_says_so_and_computes(monkeypatch):
    monkeypatch.setattr("sktl.cache._claims.PATIENCE", 0.2)
    cache, has_begun, may_end = MemoryCache(), threading.Event(), threading.Event()

    def stopped(positions):
        has_begun.set()
        may_end.wait(10)
        yield positions, [np.float32(1)]

    other = threading.Thread(target=cache.get_or_compute, args=([b"k"], stopped))
    other.start()
    has_begun.wait(10)
    try:
        with pytest.warns(CacheWarning, match="computed here"):
            (value,) = cache.get_or_compute([b"k"], lambda at: iter([(at, [np.float32(1)])]))
    finally:
        may_end.set()
        other.join()
    assert value == 1


def test_a_full_disk_ends_no_process_and_is_named():
    result = full_disk.run(4, seed=0)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.n_cases == 4
    assert not result.violations
