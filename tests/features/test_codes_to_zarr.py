"""Codes written block by block: the same as in one process, gone on with after a kill, and never codes of others."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from counting_network import counting_network, n_seen
from PIL import Image

from sktl import CNNCodesTransformer
from sktl.exceptions import BadImageError, PictureWarning
from sktl.features import codes_to_zarr

da = pytest.importorskip("dask.array", reason="Dask computes the blocks, an optional package (sktl[cluster])")
db = pytest.importorskip("dask.bag", reason="Dask computes the blocks, an optional package (sktl[cluster])")
dd = pytest.importorskip("dask.dataframe", reason="data frames of Dask are optional (sktl[cluster])")
zarr = pytest.importorskip("zarr", reason="codes are written by zarr, an optional package (sktl[cluster])")
HERE = Path(__file__).resolve().parent


def small(log, **params):
    options = {"layers": "body", "pooling": "flatten", "image_size": 24, "engine": "torch", "n_jobs": 1} | params
    return CNNCodesTransformer(counting_network(log), device="cpu", **options)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (30, 24, 24, 3), dtype=np.uint8)


@pytest.fixture
def paths(pictures, tmp_path):
    (tmp_path / "pictures").mkdir()
    found = [str(tmp_path / "pictures" / f"{i:02}.png") for i in range(len(pictures))]
    for path, picture in zip(found, pictures):
        Image.fromarray(picture).save(path)
    return found


def test_any_form_of_rows(pictures, paths, log, tmp_path):
    transformer = small(log)
    expected = transformer.transform(pictures)
    frame = dd.from_pandas(pd.DataFrame({"path": paths}), npartitions=4)
    forms = {
        "array": pictures, "list": paths, "column": pd.Series(paths), "dask": da.from_array(pictures, chunks=7),
        "frame": frame["path"], "bag": db.from_sequence(paths, npartitions=4).filter(lambda path: True),
    }  # fmt: skip
    for name, X in forms.items():
        codes = codes_to_zarr(transformer, X, tmp_path / name, block_size=8)
        assert codes.chunks[0] == (8, 8, 8, 6)
        assert codes.dtype == np.float32
        assert np.allclose(codes.compute(), expected, atol=1e-5), name
    fitted = small(log).fit(frame)
    assert np.allclose(codes_to_zarr(fitted, frame, tmp_path / "named", block_size=8).compute(), expected, atol=1e-5)
    with pytest.raises(TypeError, match="X is a generator"):
        codes_to_zarr(transformer, (path for path in paths), tmp_path / "none")


def test_goes_on_where_it_was(pictures, log, tmp_path):
    transformer, folder = small(log), tmp_path / "codes"
    expected = codes_to_zarr(transformer, pictures, folder, block_size=8).compute()
    seen = n_seen(log)
    assert np.array_equal(codes_to_zarr(transformer, pictures, folder, block_size=8).compute(), expected)
    assert n_seen(log) == seen
    os.remove(folder / "blocks" / "0000000002.done")
    assert np.array_equal(codes_to_zarr(transformer, pictures, folder, block_size=8).compute(), expected)
    assert 8 <= n_seen(log) - seen <= 16


def test_half_the_space(pictures, log, tmp_path):
    codes = codes_to_zarr(small(log), pictures, tmp_path / "codes", dtype="float16")
    assert codes.dtype == np.float16
    assert np.allclose(codes.compute(), small(log).transform(pictures), rtol=1e-3, atol=1e-3)


def test_folders_of_others_are_refused(pictures, log, tmp_path):
    folder = tmp_path / "codes"
    codes_to_zarr(small(log), pictures, folder, block_size=8)
    with pytest.raises(ValueError, match=r"holds codes of another transformer.* codes '"):
        codes_to_zarr(small(log, layers="head"), pictures, folder, block_size=8)
    with pytest.raises(ValueError, match="rows 30, now 29"):
        codes_to_zarr(small(log), pictures[:29], folder, block_size=8)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("!")
    with pytest.raises(ValueError, match="holds other files"):
        codes_to_zarr(small(log), pictures, tmp_path / "mine")


def test_a_damaged_chunk_is_an_error(pictures, log, tmp_path):
    codes = codes_to_zarr(small(log), pictures, tmp_path / "codes", block_size=8)
    chunk = tmp_path / "codes" / "codes" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        codes.compute()


def test_all_bad_pictures_are_named_and_the_others_written(paths, log, tmp_path):
    folder, whole = tmp_path / "codes", Path(paths[3]).read_bytes()
    for i in (3, 21):
        Path(paths[i]).write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"2 of 30 pictures .*\[3\] .*03\.png.*\[21\]") as error:
        codes_to_zarr(small(log), paths, folder, block_size=8)
    assert list(error.value.failures) == [3, 21]
    assert sorted(path.name for path in folder.glob("blocks/*.*")) == ["0000000001.done", "0000000003.done"]
    Path(paths[3]).write_bytes(whole)
    with pytest.warns(PictureWarning, match="1 of 30 pictures") as caught:
        codes = codes_to_zarr(small(log, on_bad="report"), paths, folder, block_size=8).compute()
    assert [w.message.failures.keys() for w in caught if isinstance(w.message, PictureWarning)] == [{21}]
    assert np.flatnonzero(np.isnan(codes).all(axis=1)).tolist() == [21]
    seen = n_seen(log)
    with pytest.warns(PictureWarning, match=r"\[21\]"):  # kept with the codes
        codes_to_zarr(small(log, on_bad="report"), paths, folder, block_size=8)
    assert n_seen(log) == seen
    report = folder / "blocks" / "0000000002.failures.json"
    assert list(json.loads(report.read_text())) == ["21"]
    with pytest.raises(BadImageError, match="1 of 30"):
        codes_to_zarr(small(log), paths, folder, block_size=8)
    report.write_bytes(report.read_bytes()[:5])  # cut short by a kill: that block is computed again
    with pytest.warns(PictureWarning, match=r"\[21\]"):
        codes_to_zarr(small(log, on_bad="report"), paths, folder, block_size=8)
    Path(paths[21]).write_bytes(whole)
    codes = codes_to_zarr(small(log), paths, folder, block_size=8).compute()
    assert np.array_equal(codes[21], codes[3])
    assert np.isfinite(codes_to_zarr(small(log, on_bad="report"), paths, folder, block_size=8).compute()).all()


def test_urls(pictures, log):
    fsspec = pytest.importorskip("fsspec", reason="URLs are read by fsspec")
    codes = codes_to_zarr(small(log), pictures, "memory://extraction", block_size=8)
    assert np.allclose(codes.compute(), small(log).transform(pictures), atol=1e-5)
    fsspec.filesystem("memory").rm("/extraction", recursive=True)


def test_killed_at_random_it_loses_nothing_that_was_finished(pictures, tmp_path):
    """Kill a run twice; blocks that were marked are not computed again, and the codes are right."""
    np.save(tmp_path / "pictures.npy", pictures)
    log, folder = tmp_path / "log", tmp_path / "codes"
    command = [sys.executable, str(HERE / "extract_to_zarr.py"), str(tmp_path / "pictures.npy"), str(folder), str(log)]
    rng = np.random.default_rng(0)
    for kill in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        if kill < 2:
            before = {path: path.stat().st_mtime_ns for path in folder.glob("blocks/*")}
            time.sleep(rng.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=120)
        process.stdout.close()
        assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert process.returncode == 0
    assert len(list(folder.glob("blocks/*.done"))) == 15
    expected = small(tmp_path / "other").transform(pictures)
    assert np.allclose(da.from_zarr(str(folder / "codes")).compute(), expected, atol=1e-5)
