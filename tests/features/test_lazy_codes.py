"""Codes of Dask collections: lazy, block by block, the same as in one process, and clear about what is wrong."""

import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from counting_network import counting_network, n_seen
from PIL import Image

from sktl import CNNCodesTransformer, TextCodesTransformer
from sktl._device import keep_freed_memory_on_workers
from sktl.exceptions import BadImageError, WorkerError
from sktl.features import _job
from sktl.features._lazy_codes import job_for

da = pytest.importorskip("dask.array", reason="lazy codes are Dask's arrays, an optional package (sktl[cluster])")
dd = pytest.importorskip("dask.dataframe", reason="data frames of Dask are optional (sktl[cluster])")
db = pytest.importorskip("dask.bag", reason="bags of Dask are optional (sktl[cluster])")


def small(log, **params):
    options = {"layers": "body", "pooling": "flatten", "image_size": 24, "engine": "torch", "n_jobs": 1} | params
    return CNNCodesTransformer(counting_network(log), device="cpu", **options)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (150, 24, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def paths(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(pictures[:20]):
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    return [str(folder / f"{i:02}.png") for i in range(20)]


class TestForms:
    @pytest.mark.parametrize("chunks", [(70, 24, 24, 3), (75, 10, 24, 3), (80, 24, 24, 1)])
    def test_array(self, chunks, pictures, log):
        transformer = small(log)
        expected = transformer.transform(pictures)
        seen = n_seen(log)
        lazy = transformer.transform(da.from_array(pictures, chunks=chunks))
        assert n_seen(log) - seen <= 2  # tracing the network
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype, lazy.chunks[0][0]) == (expected.shape, np.float32, chunks[0])
        assert isinstance(lazy._meta, np.ndarray)
        for scheduler in ("sync", "threads"):
            assert np.allclose(lazy.compute(scheduler=scheduler), expected, atol=1e-5)
        assert np.allclose(
            lazy[100:105].mean(axis=0).compute(scheduler="sync"), expected[100:105].mean(axis=0), atol=1e-5
        )

    def test_columns_and_bags(self, paths, log):
        transformer = small(log)
        expected = transformer.transform(paths)
        frame = dd.from_pandas(pd.DataFrame({"path": paths, "n": range(20)}), npartitions=3)
        for X in (
            frame["path"], frame[["path"]], db.from_sequence(paths, npartitions=4),
            da.from_array(np.array(paths), chunks=7), da.from_array(np.array(paths, object)[:, None], chunks=(7, 1)),
        ):  # fmt: skip
            lazy = transformer.transform(X)
            assert lazy.dtype == np.float32
            assert lazy.shape[1] == expected.shape[1]
            assert np.allclose(lazy.compute(scheduler="sync"), expected, atol=1e-5)
        assert np.isnan(transformer.transform(frame["path"]).shape[0])  # partitions of unknown length

    def test_texts(self):
        pytest.importorskip("sentence_transformers", reason="the encoder of texts is optional")
        texts = ["a fine film", "the fridge is broken", "a splendid movie"] * 4
        transformer = TextCodesTransformer(engine="torch").fit(db.from_sequence(texts, npartitions=2))
        lazy = transformer.transform(db.from_sequence(texts, npartitions=3))
        assert lazy.shape[1] == 384
        assert np.allclose(lazy.compute(scheduler="sync"), transformer.transform(texts), atol=1e-5)

    def test_chunks_are_sized_by_pictures(self, log):
        def chunks(n, rows):
            return small(log).transform(da.zeros((n, 24, 24), chunks=(rows, 24, 24), dtype=np.uint8)).chunks[0]

        assert chunks(4000, 4000) == (512,) * 7 + (416,)
        assert chunks(1000, 4) == (512, 488)
        assert chunks(600, 200) == (200,) * 3

    def test_one_task_a_block_and_one_copy_of_the_network(self, pictures, log):
        lazy = small(log).transform(da.from_array(pictures, chunks=(70, 24, 24, 3)))
        graph = dict(lazy.__dask_graph__())
        tasks = [key for key in graph if isinstance(key, tuple) and str(key[0]).startswith("sktl-codes")]
        assert len(tasks) == 3
        assert sum(isinstance(value, _job.Job) or "Job(" in repr(value) for value in graph.values()) == 1
        assert max(len(pickle.dumps(graph[key])) for key in tasks) < 2000

    def test_rows_without_a_picture(self, paths, log):
        column = [*paths[:5], None, *paths[5:8]]
        transformer = small(log, missing="zero").fit(column)
        frame = dd.from_pandas(pd.Series(column, dtype=object), npartitions=2)
        found = transformer.transform(frame).compute(scheduler="sync")
        assert np.allclose(found, transformer.transform(column), atol=1e-5)
        assert found[:, -1].tolist() == [0] * 5 + [1] + [0] * 3


class TestFit:
    def test_does_not_compute_it_all(self, paths, log):
        read = []

        def block(block_info=None):
            read.append(block_info[None]["chunk-location"][0])
            return np.array(paths[:5], object)

        X = da.map_blocks(block, chunks=((5,) * 6,), dtype=object, meta=np.empty(0, object))
        lazy = small(log).fit_transform(X)
        assert set(read) == {0}
        assert lazy.shape == (30, small(log).fit(paths)._n_features_out)
        pictures = da.map_blocks(
            lambda: pytest.fail("read"), chunks=((5,) * 6, (24,), (24,)), meta=np.empty((0, 0, 0), np.uint8)
        )
        small(log).fit(pictures)

    def test_learns_names_and_widths(self, paths, log):
        frame = dd.from_pandas(pd.DataFrame({"path": paths, "other": paths}), npartitions=2)
        transformer = small(log).fit(frame[["path"]])
        assert transformer.feature_names_in_.tolist() == ["path"]
        with pytest.raises(ValueError, match="feature names should match"):
            transformer.transform(frame[["other"]])
        rows = da.random.random((30, 24 * 24), chunks=(10, -1))
        assert small(log).fit(rows).n_features_in_ == 576
        with pytest.raises(ValueError, match="576 features"):
            small(log).fit(rows).transform(rows[:, :-1])

    def test_values_that_would_be_looked_for_in_all_blocks(self, log):
        rows = da.full((30, 24 * 24), 12.0, chunks=(10, -1))
        with pytest.raises(ValueError, match=r"value_range=\(black, white\)"):
            small(log).fit(rows)
        lazy = small(log, value_range=(0, 16)).fit_transform(rows)
        dense = small(log, value_range=(0, 16)).fit_transform(np.full((30, 24 * 24), 12.0))
        assert np.allclose(lazy.compute(scheduler="sync"), dense, atol=1e-5)

    def test_no_rows(self, log):
        with pytest.raises(ValueError, match="no rows"):
            small(log).fit(db.from_sequence(["a.png"], npartitions=1).filter(lambda path: False))


class TestBlocks:
    def test_iter_transform_of_a_bag(self, paths, log):
        transformer = small(log)
        read = []
        bag = db.from_sequence(paths, npartitions=5).map(lambda path: read.append(path) or path)
        blocks = transformer.iter_transform(bag, block_size=8)
        assert not read
        first = next(blocks)
        assert len(read) == 8  # and no more than was asked for
        rest = list(blocks)
        assert [len(block) for block in (first, *rest)] == [8, 8, 4]
        assert np.allclose(np.concatenate([first, *rest]), transformer.transform(paths), atol=1e-5)

    def test_zero_rows(self, paths, log):
        bag = db.from_sequence(paths[:10], npartitions=5).filter(lambda path: path > paths[3])
        found = small(log).transform(bag).compute(scheduler="sync")
        assert np.allclose(found, small(log).transform(paths[4:10]), atol=1e-5)
        empty = da.from_array(np.empty(0, object), chunks=3)
        assert small(log).transform(empty).compute(scheduler="sync").shape == (0, found.shape[1])

    def test_files_are_written_block_by_block(self, pictures, log, tmp_path):
        pytest.importorskip("zarr", reason="zarr is optional (sktl[cluster])")
        transformer = small(log)
        expected = transformer.transform(pictures)
        lazy = transformer.transform(da.from_array(pictures, chunks=(70, 24, 24, 3)))
        lazy.to_zarr(str(tmp_path / "codes.zarr"))
        assert np.allclose(da.from_zarr(str(tmp_path / "codes.zarr")).compute(), expected, atol=1e-5)
        dd.from_dask_array(lazy, columns=[f"c{i}" for i in range(lazy.shape[1])]).to_parquet(tmp_path / "codes")
        assert len(list((tmp_path / "codes").glob("*.parquet"))) == 3
        assert np.allclose(pd.read_parquet(tmp_path / "codes").to_numpy(), expected, atol=1e-5)

    def test_no_thread_outlives_it(self, pictures, log):
        blocks = small(log).iter_transform(da.from_array(pictures, chunks=(70, -1, -1, -1)), block_size=10)
        before = threading.active_count()
        next(blocks)
        blocks.close()
        assert threading.active_count() == before


def test_workers_keep_freed_memory(monkeypatch):
    """Dask has the C library of workers hand it back at once, which doubles what a network costs."""
    calls = []
    library = SimpleNamespace(mallopt=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr("sktl._device.ctypes.CDLL", lambda name: library)
    monkeypatch.setattr("sktl._device.sys.platform", "linux")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    keep_freed_memory_on_workers()
    assert not calls
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    keep_freed_memory_on_workers()
    assert dict(calls) == {-3: 2**25, -1: 2**26}  # of glibc: what is mapped by itself, and what is handed back


class TestFaults:
    def test_bad_pictures_are_named_by_their_row(self, paths, log, tmp_path):
        torn = tmp_path / "torn.png"
        torn.write_bytes(b"no picture")
        files = np.array([*paths * 4, str(torn), *paths], object)
        lazy = small(log).transform(da.from_array(files, chunks=70))
        with pytest.raises(BadImageError, match=r"begins with row 70: 1 of 31 .*torn\.png") as error:
            lazy.compute(scheduler="sync")
        assert list(error.value.failures) == [80]
        reported = small(log, on_bad="report").transform(da.from_array(files, chunks=70))
        with pytest.warns(UserWarning, match=r"\[80\] .*torn\.png"):
            codes = reported.compute(scheduler="sync")
        assert np.flatnonzero(np.isnan(codes).all(axis=1)).tolist() == [80]

    def test_files_of_the_client_alone(self, paths, log):
        lazy = small(log).transform(db.from_sequence(["/nowhere/a.png", "/nowhere/b.png"], npartitions=1))
        with pytest.raises(BadImageError, match="seen by the workers, not by the client alone"):
            lazy.compute(scheduler="sync")

    def test_another_version(self, pictures, log, monkeypatch):
        lazy = small(log).transform(da.from_array(pictures, chunks=70))
        monkeypatch.setattr("sktl.__version__", "9.9")
        seen = n_seen(log)
        with pytest.raises(WorkerError, match=r"sktl 9\.9 \(the client has .*pip install sktl=="):
            lazy.compute(scheduler="sync")
        assert n_seen(log) == seen

    def test_no_weights(self, pictures, monkeypatch):
        lazy = CNNCodesTransformer(image_size=32, engine="torch").transform(da.from_array(pictures[:4]))
        monkeypatch.setattr("sktl.backbones._embedded.importlib.util.find_spec", lambda name: None)
        from sktl import clear_memory

        clear_memory()
        with pytest.raises(WorkerError, match=r"cannot run the network: .*pip install efficientnet"):
            lazy.compute(scheduler="sync")

    def test_other_weights(self, pictures, log):
        lazy = CNNCodesTransformer("resnet18", weights=None, image_size=32).transform(da.from_array(pictures[:4]))
        job = next(v for v in dict(lazy.__dask_graph__()).values() if hasattr(v, "payload") or hasattr(v, "value"))
        job = getattr(job, "value", job)
        other = _job.Job("other", job.payload, job.versions, "0" * 32, job.n_features)
        with pytest.raises(WorkerError, match="other weights: fingerprint"):
            _job.block_codes(other, pictures[:4], 0)

    def test_precision_is_settled_by_the_client(self, log, monkeypatch, pictures):
        job = job_for(small(log, precision="auto"), pictures, len(pictures))
        assert pickle.loads(job.payload).precision == "float32"
        monkeypatch.setattr("sktl._device.cpu_has_bfloat16", lambda: True)
        job = job_for(small(log, precision="bfloat16"), pictures, len(pictures))
        monkeypatch.setattr("sktl._device.cpu_has_bfloat16", lambda: False)
        with pytest.raises(WorkerError, match="precision='bfloat16', but this CPU"):
            _job.block_codes(job, pictures[:4], 0)

    def test_other_collections(self, log):
        from dask import delayed

        with pytest.raises(TypeError, match="Dask array, a Series"):
            small(log).transform(delayed([1]))
