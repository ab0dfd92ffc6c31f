"""Order, bounds and ends of the threads that decode ahead."""

import threading
import time

import dask.array as da
import numpy as np
import pytest
import torch
from PIL import Image

from sktl._preprocessing import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import as_pictures, iter_batches

SMALL = Preprocessing(size=(16, 16))
IMAGES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (20 + i % 3, 24, 3), dtype=np.uint8)) for i in range(23)
]
ARRAYS = np.random.default_rng(0).integers(0, 256, (23, 20, 24), dtype=np.uint8)
EXACT = np.random.default_rng(0).integers(0, 256, (23, 18, 18), dtype=np.uint8)


@pytest.mark.parametrize("n_jobs", [1, 2, 5, None, -1])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
@pytest.mark.parametrize("X", [IMAGES, ARRAYS, EXACT, da.from_array(ARRAYS, chunks=(5, -1, -1))], ids="iaed")
def test_batches_come_in_order_and_whole(X, batch_size, n_jobs):
    source = as_pictures(X)
    found = list(iter_batches(source, SMALL, batch_size=batch_size, n_jobs=n_jobs))
    np.testing.assert_array_equal(np.concatenate([which for which, _ in found]), np.arange(23))
    assert [len(batch) for _, batch in found[:-1]] == [batch_size] * (len(found) - 1)
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for _, batch in found)
    assert torch.equal(torch.cat([batch for _, batch in found]), source.batch(range(23), SMALL))


@pytest.mark.parametrize("X", [IMAGES, ARRAYS, EXACT], ids="iae")
def test_indices_choose_and_order(X):
    source, order = as_pictures(X), [5, 3, 22, 3, 0]
    found = list(iter_batches(source, SMALL, batch_size=2, indices=order))
    assert np.concatenate([which for which, _ in found]).tolist() == order
    assert torch.equal(torch.cat([batch for _, batch in found]), source.batch(order, SMALL))
    assert list(iter_batches(source, SMALL, batch_size=2, indices=[])) == []


def write_counter(source, monkeypatch, delay=0.0):
    done, write = [], source.write

    def counted(out, indices, preprocessing, *, draft=True):
        time.sleep(delay)
        write(out, indices, preprocessing, draft=draft)
        done.extend(map(int, indices))

    monkeypatch.setattr(source, "write", counted)
    return done


@pytest.mark.parametrize("prefetch", [None, 0, 1, 4])
def test_no_more_than_a_few_batches_are_held(prefetch, monkeypatch):
    source = as_pictures(IMAGES)
    done = write_counter(source, monkeypatch)
    ahead = 2 if prefetch is None else prefetch
    for i, _ in enumerate(iter_batches(source, SMALL, batch_size=3, n_jobs=2, prefetch=prefetch)):
        time.sleep(0.01)
        assert 3 * (i + 1) <= len(done) + (i == 7) <= 3 * (i + 1 + ahead)


def test_small_batches_keep_all_threads_busy(monkeypatch):
    source = as_pictures(IMAGES)
    busy, most, write, lock = set(), [0], source.write, threading.Lock()

    def counted(*args, **kwargs):
        with lock:
            busy.add(threading.get_ident())
            most[0] = max(most[0], len(busy))
        time.sleep(0.02)
        write(*args, **kwargs)
        with lock:
            busy.discard(threading.get_ident())

    monkeypatch.setattr(source, "write", counted)
    for _ in iter_batches(source, SMALL, batch_size=1, n_jobs=4):
        pass
    assert most[0] == 4


def test_in_memory_pictures_of_the_right_size_need_no_threads():
    before = threading.enumerate()
    for _ in iter_batches(as_pictures(EXACT), SMALL, batch_size=4, n_jobs=4):
        assert threading.enumerate() == before


def test_nothing_starts_before_the_first_batch_is_asked_for(monkeypatch):
    source = as_pictures(IMAGES)
    done, before = write_counter(source, monkeypatch), threading.enumerate()
    batches = iter_batches(source, SMALL, batch_size=4)
    assert threading.enumerate() == before
    del batches
    assert done == []


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "thrown"])
def test_threads_end_with_the_iterator(end, monkeypatch):
    source = as_pictures(IMAGES)
    done, before = write_counter(source, monkeypatch, delay=0.005), threading.enumerate()
    batches = iter_batches(source, SMALL, batch_size=2, n_jobs=3)
    next(batches)
    assert len(threading.enumerate()) == len(before) + 3
    if end == "exhausted":
        assert len(list(batches)) == 11
    elif end == "closed":
        batches.close()
    elif end == "thrown":
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt())
    del batches
    assert threading.enumerate() == before
    assert end == "exhausted" or len(done) < 23


def test_interrupt_while_waiting(monkeypatch):
    source, before = as_pictures(IMAGES), threading.enumerate()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(iter_batches(source, SMALL, batch_size=2, n_jobs=2))
    assert threading.enumerate() == before


def test_one_error_names_every_bad_file(tmp_path):
    paths = []
    for i, image in enumerate(IMAGES):
        paths.append(tmp_path / f"{i}.png")
        image.save(paths[-1])
    for i in (9, 10, 21):
        paths[i].write_bytes(paths[i].read_bytes()[:300])
    source, before = as_pictures(paths), threading.enumerate()
    source.check()
    batches = iter_batches(source, SMALL, batch_size=4, n_jobs=2)
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(BadImageError, match=r"3 of 23 pictures .*\[9\] .*9\.png: truncated.*\[21\]") as caught:
        next(batches)
    assert list(caught.value.failures) == [9, 10, 21]
    assert threading.enumerate() == before
    with pytest.raises(BadImageError) as caught:
        list(iter_batches(source, SMALL, batch_size=4, n_jobs=2, indices=[21, 0, 9]))
    assert list(caught.value.failures) == [9, 21]


def test_bad_values_of_a_lazy_array_end_it_too():
    X = np.zeros((20, 4, 4))
    X[13] = 7
    with pytest.raises(ValueError, match=r"floats from 0 to 7"):
        list(iter_batches(as_pictures(da.from_array(X, chunks=(3, -1, -1))), SMALL, batch_size=4))
    # Dask keeps threads of its own.
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sktl")]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"batch_size": 1, "prefetch": -1}, "prefetch must be an integer of at least 0"),
        ({"batch_size": 1, "n_jobs": 0}, "n_jobs must not be 0"),
    ],
)
def test_arguments_are_checked_at_the_call(kwargs, message):
    with pytest.raises(ValueError, match=message):
        iter_batches(as_pictures(IMAGES), SMALL, **kwargs)
    with pytest.raises(IndexError):
        iter_batches(as_pictures(IMAGES), SMALL, batch_size=1, indices=[23])
