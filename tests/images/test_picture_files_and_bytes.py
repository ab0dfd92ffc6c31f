"""Orders of bytes, files that are no regular ones, and formats for which PIL runs other programs."""

import os
import subprocess

import numpy as np
import pytest

from sktl._preprocessing import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import as_pictures, row_value_range

SMALL = Preprocessing(size=(8, 8))


@pytest.mark.parametrize("code", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("value_range", [None, (0, 1)])
def test_the_order_of_bytes_changes_nothing(code, value_range):
    rng = np.random.default_rng(0)
    top = {"u2": 65536, "i1": 128}.get(code, 256)
    values = rng.random((3, 8, 8)) if code[0] == "f" else rng.integers(0, top, (3, 8, 8))
    native, swapped = values.astype("<" + code), values.astype(">" + code)
    sources = [as_pictures(X, value_range=value_range) for X in (native, swapped)]
    batches = [source.batch([0, 1, 2], SMALL).numpy() for source in sources]
    np.testing.assert_array_equal(*batches)
    assert sources[0].digests(0, 3) == sources[1].digests(0, 3)
    assert row_value_range(native.reshape(3, -1)) == row_value_range(swapped.reshape(3, -1))
    if code == "u2" and value_range is None:
        scaled = as_pictures(np.rint(values / 257).astype(np.uint8))
        np.testing.assert_array_equal(batches[1], scaled.batch([0, 1, 2], SMALL).numpy())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_are_opened(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    source = as_pictures([str(pipe), "/dev/zero", str(tmp_path)])
    with pytest.raises(BadImageError) as caught:
        source.check()
    assert list(caught.value.failures) == [0, 1, 2]
    assert "pipe.png: not a regular file" in caught.value.failures[0]
    assert "/dev/zero: not a regular file" in caught.value.failures[1]
    assert "is a directory" in caught.value.failures[2]
    for i in range(3):
        for read in (source.read, source.digest, lambda i: source.batch([i], SMALL)):
            with pytest.raises(BadImageError, match=r"not a regular file|is a directory"):
                read(i)


def test_pil_runs_no_program(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        started.append(args)
        raise OSError("started")

    started = []
    monkeypatch.setattr(subprocess, "Popen", refuse)
    path = tmp_path / "x.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    source = as_pictures([str(path)])
    with pytest.raises(BadImageError, match=r"x\.png: PostScript"):
        source.check()
    with pytest.raises(BadImageError, match=r"x\.png: PostScript"):
        source.batch([0], SMALL)
    assert not started
