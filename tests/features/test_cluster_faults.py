"""What goes wrong in large sets: parts that are not what was said, gaps, servers, folders of others, little memory."""

import functools
import http.server
import importlib.metadata
import io
import random
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from sktl import CNNCodesTransformer
from sktl.exceptions import BadImageError, PictureWarning, WorkerError
from sktl.features import _codes_folder, _job, codes_to_zarr
from sktl.features._lazy_codes import job_for

dask = pytest.importorskip("dask", reason="Dask computes the blocks, an optional package (sktl[cluster])")
da = pytest.importorskip("dask.array", reason="Dask computes the blocks, an optional package (sktl[cluster])")
db = pytest.importorskip("dask.bag", reason="Dask computes the blocks, an optional package (sktl[cluster])")
dd = pytest.importorskip("dask.dataframe", reason="data frames of Dask are optional (sktl[cluster])")
zarr = pytest.importorskip("zarr", reason="codes are written by zarr, an optional package (sktl[cluster])")

PICTURES = np.random.default_rng(0).integers(0, 256, (10, 24, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def small(network):
    options = {"image_size": 24, "engine": "torch", "n_jobs": 1, "device": "cpu"}
    return functools.partial(CNNCodesTransformer, network, **options)


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def parts(*values, rows=5, dtype=np.uint8):
    """Return an array of delayed parts, each said to be pictures of this dtype."""
    shape = (rows, 24, 24, 3)
    return da.concatenate([da.from_delayed(dask.delayed(np.asarray)(value), shape, dtype) for value in values])


class TestParts:
    def test_values_of_another_range(self, small, tmp_path):
        mixed = parts(PICTURES[:5], (PICTURES[5:] / 255).astype(np.float32))
        said = r"was said to hold uint8, but holds float32"
        with pytest.raises(ValueError, match=said):
            small().transform(mixed).compute()
        with pytest.raises(ValueError, match=said):
            codes_to_zarr(small(), mixed, tmp_path / "codes", block_size=4)
        with pytest.raises(ValueError, match=said):
            codes_to_zarr(small(), mixed, tmp_path / "others", block_size=5)
        floats = parts(PICTURES[:5] / 255, (PICTURES[5:] / 255).astype(np.float32), dtype=np.float64)
        assert np.allclose(small().transform(floats).compute(), small().transform(PICTURES), atol=1e-4)

    def test_fewer_rows_than_said(self, small, tmp_path):
        short = parts(PICTURES[:5], PICTURES[5:8])
        with pytest.raises(ValueError, match=r"begins with row 0 was said to have 10 rows, but has 8"):
            small().transform(short).compute()
        with pytest.raises(ValueError, match=r"begins with row 5 was said to have 5 rows, but has 3"):
            codes_to_zarr(small(), short, tmp_path / "codes", block_size=5)

    def test_no_rows_at_all(self, small, tmp_path):
        empty = db.from_sequence(["a.png", "b.png"], npartitions=2).filter(lambda path: False)
        assert small().transform(empty).compute().shape == (0, 16)
        assert codes_to_zarr(small(), empty, tmp_path / "codes").shape == (0, 16)

    @pytest.mark.parametrize("dtype", ["uint16", "int32", "bool"])
    def test_hdf5_of_other_numbers(self, dtype, small, tmp_path):
        h5py = pytest.importorskip("h5py", reason="h5py is an optional package")
        data = PICTURES > 99 if dtype == "bool" else PICTURES.astype(dtype) * (257 if dtype == "uint16" else 1)
        with h5py.File(tmp_path / "pictures.h5", "w") as file:
            held = file.create_dataset("pictures", data=data, chunks=(4, 24, 24, 3))
            lazy = small().transform(da.from_array(held, chunks=(5, -1, -1, -1)))
            assert np.allclose(lazy.compute(), small().transform(data), atol=1e-5)


class TestGaps:
    @pytest.mark.parametrize("nothing", [None, b""])
    def test_reported_or_an_error(self, nothing, small, tmp_path):
        pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
        pd.DataFrame({"image": [png(PICTURES[0]), nothing, png(PICTURES[2]), nothing]}).to_parquet(
            tmp_path / "a.parquet"
        )
        column = dd.read_parquet(tmp_path / "a.parquet")["image"]
        with pytest.raises(ValueError, match="in rows 1, 3"):
            small().transform(column).compute()
        with pytest.warns(PictureWarning, match=r"2 of 4 pictures .*\[1\] is missing"):
            codes = small(on_bad="report").transform(column).compute()
        assert np.flatnonzero(np.isnan(codes).all(axis=1)).tolist() == [1, 3]
        assert np.allclose(codes[[0, 2]], small().transform(PICTURES[[0, 2]]), atol=1e-5)
        with pytest.warns(PictureWarning, match=r"\[3\] is missing"):
            stored = codes_to_zarr(small(on_bad="report"), column, tmp_path / "codes").compute()
        assert np.array_equal(stored, codes, equal_nan=True)
        with pytest.raises(BadImageError, match="2 of 4 pictures cannot be read"):
            codes_to_zarr(small(), column, tmp_path / "others")

    def test_nothing_but_gaps(self, small, tmp_path):
        bag = db.from_sequence([None] * 4, npartitions=2)
        with pytest.warns(PictureWarning, match="4 of 4"):
            assert np.isnan(codes_to_zarr(small(on_bad="report"), bag, tmp_path / "codes").compute()).all()


class TestServers:
    @pytest.mark.parametrize(("status", "said"), [(404, "no such file"), (503, "the server answers 503")])
    def test_a_server_that_gives_up_midway(self, status, said, small, tmp_path):
        pytest.importorskip("aiohttp", reason="fsspec reads http by aiohttp")

        class Tired(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                number = int(self.path.strip("/").removesuffix(".png"))
                if number >= 6:
                    self.send_error(status)
                    return
                data = png(PICTURES[number])
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            do_HEAD = do_GET  # noqa: N815

        served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tired)
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        urls = [f"http://127.0.0.1:{served.server_address[1]}/{i}.png" for i in range(8)]
        try:
            with pytest.raises(BadImageError, match=rf"2 of 8 .*\[6\] .*6\.png: {said}") as error:
                codes_to_zarr(small(), urls, tmp_path / "codes", block_size=3)
            assert list(error.value.failures) == [6, 7]
            assert len(list((tmp_path / "codes" / "blocks").glob("*.done"))) == 2
        finally:
            served.shutdown()
            served.server_close()
            thread.join()


class TestFolders:
    def test_codes_of_the_user_are_not_written_over(self, small, tmp_path):
        mine = np.arange(20.0).reshape(10, 2)
        da.from_array(mine).to_zarr(str(tmp_path / "mine" / "codes"))
        with pytest.raises(ValueError, match="holds other files"):
            codes_to_zarr(small(), PICTURES, tmp_path / "mine")
        assert np.array_equal(da.from_zarr(str(tmp_path / "mine" / "codes")).compute(), mine)

    def test_two_runs_that_begin_at_once(self, small, tmp_path, monkeypatch):
        """The second finds nothing, but by the time it begins the first has made the array, and written into it."""
        root = str(tmp_path / "codes")
        noted = _codes_folder.CodesFolder._noted
        has_run = []

        def late(folder):
            found = noted(folder)
            if found is None and not has_run:
                has_run.append(True)
                codes_to_zarr(small(), PICTURES, root, block_size=5)
            return found

        monkeypatch.setattr(_codes_folder.CodesFolder, "_noted", late)
        codes = codes_to_zarr(small(), PICTURES, root, block_size=5).compute()
        assert np.allclose(codes, small().transform(PICTURES), atol=1e-5)

    def test_killed_before_anything_was_noted(self, small, tmp_path, monkeypatch):
        monkeypatch.setattr(_codes_folder, "PATIENCE", 2)
        (tmp_path / "codes" / "blocks").mkdir(parents=True)
        (tmp_path / "codes" / "blocks" / _codes_folder.BEGUN).write_bytes(b"")
        codes = codes_to_zarr(small(), PICTURES, tmp_path / "codes", block_size=5).compute()
        assert np.allclose(codes, small().transform(PICTURES), atol=1e-5)

    def test_what_cannot_be_written(self, small, tmp_path):
        (tmp_path / "file").write_text("!")
        with pytest.raises(ValueError, match="holds other files"):
            codes_to_zarr(small(), PICTURES, tmp_path / "file")
        if sys.platform == "linux":
            with pytest.raises(OSError, match=r"/proc/codes' cannot be written: "):
                codes_to_zarr(small(), PICTURES, "/proc/codes")
        codes_to_zarr(small(), PICTURES, tmp_path / "codes", block_size=5)
        for path in sorted((tmp_path / "codes" / "codes").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        with pytest.raises(ValueError, match="its codes are gone"):
            codes_to_zarr(small(), PICTURES, tmp_path / "codes", block_size=5)


class TestWorkers:
    def test_eight_bits_ask_for_the_same_package_of_quantisation(self, monkeypatch):
        pytest.importorskip("nncf", reason="8 bits are found by nncf, an optional package (sktl[openvino])")
        pytest.importorskip("openvino", reason="8 bits run in OpenVINO, an optional package (sktl[openvino])")
        transformer = CNNCodesTransformer(image_size=32, precision="int8", n_jobs=1, device="cpu")
        job = job_for(transformer, PICTURES, len(PICTURES))
        assert set(job.versions) == {"sktl", "openvino", "nncf"}
        version = importlib.metadata.version
        monkeypatch.setattr(_job.importlib.metadata, "version", lambda name: "0.1" if name == "nncf" else version(name))
        with pytest.raises(WorkerError, match=r"nncf 0\.1 \(the client has .*pip install nncf=="):
            _job.block_codes(job, PICTURES[:2], 0)

    def test_little_memory(self, small):
        """Codes that do not fit in a worker's memory go to its disk, and come back as they were."""
        distributed = pytest.importorskip("distributed", reason="clusters are Dask's, an optional package")
        before = random.getstate()  # Dask's own scheduler draws from Python's generator in this process
        memory = {f"distributed.worker.memory.{name}": 1e-9 for name in ("target", "spill")}
        with (
            dask.config.set(memory | {"distributed.worker.memory.pause": False, "scheduler": "distributed"}),
            distributed.LocalCluster(
                1, threads_per_worker=1, processes=False, memory_limit="8GiB", dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            lazy = small().transform(da.from_array(np.tile(PICTURES, (30, 1, 1, 1)), chunks=(100, -1, -1, -1)))
            kept = client.persist(lazy)
            distributed.wait(kept)
            (worker,) = cluster.workers.values()
            assert len(worker.data.slow) >= 3
            assert np.allclose(kept.compute(), np.tile(small().transform(PICTURES), (30, 1)), atol=1e-5)
        random.setstate(before)
