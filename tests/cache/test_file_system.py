"""Folders on file systems of a network, on which LMDB is not safe."""

import numpy as np
import pytest

from sktl.cache import DiskCache, _file_system
from sktl.exceptions import CacheWarning


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Have a part of the folder lie on NFS, and a part of that on a disk."""
    lines = (
        f"/dev/vda / ext4 rw 0 0\nserver:/home {tmp_path}/far\\040away nfs4 rw,vers=4.2 0 0\n"
        f"/dev/vdb {tmp_path}/far\\040away/near ext4 rw 0 0\nserver:/x {tmp_path}/over nfs rw 0 0\n"
        f"tmpfs {tmp_path}/over tmpfs rw 0 0\n"
    )
    (tmp_path / "mounts").write_text(lines)
    monkeypatch.setattr(_file_system, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(_file_system.sys, "platform", "linux")
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("far away/codes", "nfs4"),
        ("far away", "nfs4"),
        ("far awayer", None),
        ("far away/near/codes", None),
        ("codes", None),
        ("over/codes", None),
    ],
)
def test_which_it_is(folder, kind, mounts):
    assert _file_system.network_file_system(mounts / folder) == kind


def test_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(_file_system, "MOUNTS", tmp_path / "none")
    assert _file_system.network_file_system(tmp_path) is None


def test_codes_are_computed_without_it(mounts):
    cache = DiskCache(mounts / "far away" / "codes")
    with pytest.warns(CacheWarning, match="network file system, nfs4, .*codes_to_zarr"):
        cache.put_many([b"a"], [np.ones(3)])
    assert cache.get_many([b"a"]) == [None]
    assert not (mounts / "far away").exists()
    near = DiskCache(mounts / "far away" / "near" / "codes")
    near.put_many([b"a"], [np.ones(3)])
    assert near.get_many([b"a"])[0].tolist() == [1, 1, 1]
