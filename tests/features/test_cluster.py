"""Two worker processes: the same codes, each picture once, threads bounded, a worker killed or unlike the client."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from counting_network import counting_network, n_seen
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktl import CNNCodesTransformer
from sktl.exceptions import WorkerError
from sktl.features import codes_to_zarr

distributed = pytest.importorskip("distributed", reason="clusters are Dask's, an optional package (sktl[cluster])")
da = pytest.importorskip("dask.array", reason="clusters are Dask's, an optional package (sktl[cluster])")
pytest.importorskip("zarr", reason="codes are written by zarr, an optional package (sktl[cluster])")


@pytest.fixture(autouse=True)
def global_generators_stay_as_found():
    """Dask's own scheduler draws from Python's generator in this process."""
    before = random.getstate()
    yield
    random.setstate(before)


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def small(log, **params):
    options = {"layers": "body", "pooling": "flatten", "image_size": 24, "engine": "torch"} | params
    return CNNCodesTransformer(counting_network(log), device="cpu", **options)


def test_the_same_codes_and_bounded_threads(client, pictures, log):
    transformer = small(log)
    expected = transformer.transform(pictures)
    lazy = transformer.transform(da.from_array(np.tile(pictures, (10, 1, 1, 1)), chunks=(100, 24, 24, 3)))
    assert np.allclose(lazy.compute(), np.tile(expected, (10, 1)), atol=1e-5)
    blocks = transformer.iter_transform(da.from_array(pictures, chunks=10), block_size=16)
    assert np.allclose(np.concatenate(list(blocks)), expected, atol=1e-5)

    def state():
        import threading

        import torch

        from sktl.features._job import _open

        return torch.get_num_threads(), threading.active_count(), [opened[0].n_jobs for opened in _open.values()]

    for n_torch, n_threads, n_jobs in client.run(state).values():
        assert n_torch == 1  # what Dask bounds it to
        assert n_threads < 12
        assert set(n_jobs) <= {1}


def test_a_grid_computes_each_picture_once_in_the_cluster(client, pictures, log, tmp_path):
    paths = [str(tmp_path / f"{i:02}.png") for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray(picture).save(path)
    transformer = small(log, cache=str(tmp_path / "store"), batch_size=1)
    transformer.fit(paths)
    start = n_seen(log)
    search = GridSearchCV(
        make_pipeline(transformer, LogisticRegression(max_iter=50)), {"logisticregression__C": [0.1, 1.0, 10.0]}, cv=3
    )
    with joblib.parallel_config("dask"):
        search.fit(paths, np.arange(len(paths)) % 2)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    traced = 3  # pictures that are looked at in each process, this one among them
    assert len(pictures) <= n_seen(log) - start <= len(pictures) + 4 * traced


def test_a_killed_worker_loses_nothing_that_was_finished(client, pictures, log, tmp_path):
    transformer, folder = small(log, batch_size=1), tmp_path / "codes"
    rows = np.tile(pictures, (10, 1, 1, 1))
    expected = transformer.transform(pictures)
    done = threading.Thread(target=lambda: codes_to_zarr(transformer, rows, folder, block_size=5))
    done.start()
    before: dict[Path, int] = {}
    while len(before) < 10 and done.is_alive():
        before = {path: path.stat().st_mtime_ns for path in folder.glob("blocks/*.done")}
        time.sleep(0.005)
    assert done.is_alive()
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    done.join(timeout=120)
    assert not done.is_alive()
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    found = da.from_zarr(str(folder / "codes")).compute(scheduler="sync")
    assert np.allclose(found, np.tile(expected, (10, 1)), atol=1e-5)
    client.wait_for_workers(2, timeout=120)


def test_a_worker_of_another_version_is_named(client, pictures, log):
    def become(version):
        import sktl

        before, sktl.__version__ = sktl.__version__, version
        return before

    other = next(iter(client.scheduler_info()["workers"]))
    lazy = small(log).transform(da.from_array(np.tile(pictures, (10, 1, 1, 1)), chunks=(64, 24, 24, 3)))
    before = client.run(become, "9.9", workers=[other])[other]
    try:
        with pytest.raises(WorkerError, match=r"Worker .* at tcp://.* sktl 9\.9 \(the client has"):
            client.compute(lazy, workers=[other]).result()
    finally:
        client.run(become, before, workers=[other])


def test_cancelled_work_leaves_no_thread(client, pictures, log):
    def threads():
        import threading

        return sorted(thread.name for thread in threading.enumerate())

    transformer = small(log, n_jobs=2, batch_size=1)
    transformer.transform(da.from_array(pictures, chunks=(40, 24, 24, 3))).compute()
    before = client.run(threads)
    future = client.compute(transformer.transform(da.from_array(np.tile(pictures, (50, 1, 1, 1)), chunks=500)))
    time.sleep(0.3)
    future.cancel()
    for _ in range(200):  # the block under way is finished
        if client.run(threads) == before:
            break
        time.sleep(0.1)
    assert client.run(threads) == before
