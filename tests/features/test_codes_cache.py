"""Codes by content: computed once, served to the bit, whatever happens to those who compute them."""

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from counting_network import counting_network, n_seen
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sktl import CNNCodesTransformer, _extraction, open_cache
from sktl.cache import MemoryCache
from sktl.exceptions import BadImageError, CacheWarning
from sktl.images._item_source import ItemSource

HERE = Path(__file__).parent


def some_pictures(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


def counting(log, cache, **params):
    defaults = {"layers": "body", "image_size": 16, "batch_size": 25, "engine": "torch", "device": "cpu"}
    return CNNCodesTransformer(counting_network(log), cache=cache, **{**defaults, **params})


@pytest.fixture
def log(tmp_path):
    return tmp_path / "seen"


@pytest.mark.parametrize(("where", "n_jobs"), [("memory", 1), ("disk", 1), ("disk", 2)])
def test_a_five_by_five_grid_over_a_thousand_pictures_sees_each_once(tmp_path, log, where, n_jobs, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    X, y = some_pictures(1000), np.arange(1000) % 2
    cache = MemoryCache() if where == "memory" else tmp_path / "codes"
    pipeline = make_pipeline(counting(log, cache), LogisticRegression(max_iter=20))
    grid = {"logisticregression__C": [0.01, 0.1, 1, 10, 100]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty iterations need not converge
        before = n_seen(log)
        GridSearchCV(pipeline, grid, cv=5, n_jobs=n_jobs, error_score="raise").fit(X, y)
    overhead = n_seen(log) - before - 1000
    # Tracing and folding run a handful of made pictures; no real one runs twice.
    assert 0 <= overhead <= 12 * n_jobs
    assert open_cache(cache).n_entries == 1000


def test_fresh_and_cached_are_equal_to_the_bit(tmp_path, log):
    X = some_pictures(40)
    fresh = counting(log, None).transform(X)
    for cache in (MemoryCache(), tmp_path / "codes"):
        first, again = (counting(log, cache).transform(X) for _ in range(2))
        assert np.array_equal(first, fresh)
        assert np.array_equal(again, fresh)
    shuffled = np.random.default_rng(1).permutation(40)
    before = n_seen(log)
    assert np.array_equal(counting(log, tmp_path / "codes").transform(X[shuffled]), fresh[shuffled])
    assert n_seen(log) == before


def test_whatever_changes_a_code_changes_its_key(log):
    X, cache = some_pictures(5), MemoryCache()
    variants = [{}, {"pooling": "max"}, {"pooling": "gem"}, {"pooling": "gem", "gem_power": 2.0}, {"image_size": 18}]
    variants += [{"layers": "body.0"}, {"preprocessing": {"mean": (0, 0, 0)}}, {"preprocessing": {"crop_pct": 1.0}}]
    for n, params in enumerate(variants, start=1):
        found = counting(log, cache, **params).transform(X)
        assert cache.n_entries == 5 * n
        assert np.array_equal(found, counting(log, None, **params).transform(X))


def test_layers_are_kept_one_by_one(log):
    X, cache = some_pictures(30), MemoryCache()
    counting(log, cache, layers=["body.0", "body"]).transform(X)
    before = n_seen(log)
    one = counting(log, cache, layers="body").transform(X)
    assert n_seen(log) == before
    assert np.array_equal(one, counting(log, None, layers="body").transform(X))


def test_other_weights_are_never_mixed(log):
    X, cache = some_pictures(5), MemoryCache()
    network = counting_network(log)
    transformer = CNNCodesTransformer(network, layers="body", image_size=16, engine="torch", cache=cache)
    first = transformer.fit_transform(X)
    with torch.no_grad():
        network.body[0].weight.add_(1)
    assert not np.array_equal(transformer.fit_transform(X), first)


def test_an_extraction_killed_at_twenty_random_moments(tmp_path, log):
    np.save(tmp_path / "X.npy", some_pictures(600, seed=3))
    command = [sys.executable, HERE / "kill_at_random.py", "X.npy", tmp_path / "codes", log, "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    held = [int(line) for line in done.stdout.split()]
    assert len(held) == 20
    assert held == sorted(held), "a finished entry was lost"
    assert 0 < held[0] < 600 or held[-1] > 0, "no run was killed while it worked"
    # What is lost at each kill is at most a block under way, the batches ahead of it, and the pictures of the trace.
    assert n_seen(log) <= 600 + 21 * (16 + 3 * 4 + 12)
    expected = CNNCodesTransformer(
        counting_network(log), layers="body", pooling="flatten", image_size=64, batch_size=4, engine="torch"
    ).transform(np.load(tmp_path / "X.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), expected, rtol=1e-5, atol=1e-6)


def test_an_interrupted_extraction_goes_on_where_it_stopped(tmp_path, log):
    X = some_pictures(200)
    blocks = counting(log, tmp_path / "codes", batch_size=4).iter_transform(X, block_size=4)
    rest = counting(log, tmp_path / "codes", batch_size=4)
    next(blocks)
    blocks.close()
    held = open_cache(tmp_path / "codes").n_entries
    assert held > 0
    before = n_seen(log)
    rest.transform(X)
    assert n_seen(log) - before <= 200 - held + 12


def test_two_threads_at_once_compute_each_picture_once(log):
    X, cache, found = some_pictures(200), MemoryCache(), []
    transformer = counting(log, cache, batch_size=5).fit(X)
    before = n_seen(log)
    threads = [threading.Thread(target=lambda: found.append(transformer.transform(X))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(np.array_equal(codes, found[0]) for codes in found)
    assert n_seen(log) - before <= 200 + 12


def test_files_are_known_by_content_wherever_they_lie(tmp_path, log):
    picture = Image.fromarray(some_pictures(1)[0])
    cache = MemoryCache()
    for name in ("a.png", "b.png"):
        picture.save(tmp_path / name)
    codes = counting(log, cache).transform([tmp_path / "a.png", tmp_path / "b.png"])
    assert cache.n_entries == 1
    assert np.array_equal(codes[0], codes[1])


def test_bad_files_keep_the_good_ones(tmp_path, log):
    paths = []
    for i, pixels in enumerate(some_pictures(60)):
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(pixels).save(paths[-1])
    for i in (50, 55):
        paths[i].write_bytes(paths[i].read_bytes()[:-120])
    cache = MemoryCache()
    with pytest.raises(BadImageError) as caught:
        counting(log, cache, batch_size=5).transform(paths)
    assert sorted(caught.value.failures) == [50, 55]
    assert cache.n_entries >= 30


def test_a_store_that_cannot_be_used_is_no_reason_to_fail(tmp_path, log):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="file"):
        counting(log, tmp_path / "file").transform(some_pictures(2))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("not a store")
    with pytest.raises(ValueError, match="full"):
        counting(log, tmp_path / "full").transform(some_pictures(2))


def test_modules_without_readable_source_are_kept_for_this_process_only(tmp_path):
    space: dict = {"nn": nn}
    exec("class Nameless(nn.Sequential):\n    pass", space)
    with torch.random.fork_rng(devices=[]):
        network = space["Nameless"](
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    transformer = CNNCodesTransformer(network, image_size=16, engine="torch", cache=tmp_path / "codes")
    with pytest.warns(CacheWarning, match="for this process only"):
        first = transformer.fit_transform(some_pictures(4))
    assert not (tmp_path / "codes").exists()
    with pytest.warns(CacheWarning):
        assert np.array_equal(transformer.transform(some_pictures(4)), first)


def test_a_cache_of_another_kind_is_a_type_error():
    with pytest.raises(ValueError, match="cache"):
        CNNCodesTransformer(cache=3).fit(some_pictures(2))


def saved(folder, n):
    paths = [folder / f"{i}.png" for i in range(n)]
    for path, picture in zip(paths, some_pictures(n)):
        Image.fromarray(picture).save(path)
    return paths


def test_what_is_in_the_store_needs_no_second_look_at_its_header(tmp_path, log, monkeypatch):
    paths, cache, checked = saved(tmp_path, 6), MemoryCache(), []
    check = ItemSource.check
    monkeypatch.setattr(ItemSource, "check", lambda self, n_jobs=None: checked.append(1) or check(self, n_jobs))
    fresh = counting(log, cache).transform(paths)
    assert len(checked) == 1
    assert np.array_equal(counting(log, cache).transform(paths), fresh)
    assert len(checked) == 1


def test_bad_files_of_all_blocks_are_named_though_the_first_block_is_stored(tmp_path, log, monkeypatch):
    monkeypatch.setattr(_extraction, "CACHED_BLOCK", 3)
    paths, cache = saved(tmp_path, 9), MemoryCache()
    counting(log, cache).transform(paths[:3])
    paths[4].write_bytes(b"")
    paths[7].unlink()
    with pytest.raises(BadImageError, match=r"(?s)4\.png.*7\.png"):
        counting(log, cache).transform(paths)
    paths[4].unlink()
    with pytest.raises(BadImageError, match=r"(?s)4\.png.*7\.png"):
        counting(log, cache).transform(paths)
