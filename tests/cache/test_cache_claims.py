"""Each key is computed once: within a call, among threads, and after a failure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cache_codes import Counting, assert_right, code_of, codes_of, never, some_keys

from sktl.cache import MemoryCache


def test_only_what_is_missing_is_computed(cache):
    keys = some_keys(50)
    cache.put_many(keys[10:20], codes_of(keys[10:20]))
    compute = Counting(keys)
    assert_right(keys, cache.get_or_compute(keys, compute))
    assert compute.asked == [*range(10), *range(20, 50)]
    assert_right(keys, cache.get_or_compute(keys, never))
    assert cache.get_or_compute([], never) == []


def test_duplicates_are_computed_once(cache):
    keys = [b"a", b"b", b"a", b"c", b"b", b"a"]
    compute = Counting(keys)
    assert_right(keys, cache.get_or_compute(keys, compute))
    assert compute.asked == [0, 1, 3]


def test_claims_are_bounded(cache):
    keys = some_keys(150)
    asked = []

    def compute(positions):
        asked.append(len(positions))
        yield from Counting(keys)(positions)

    cache.get_or_compute(keys, compute)
    cache.get_or_compute(some_keys(10, "more"), lambda positions: compute(positions), claim_size=4)
    assert asked == [64, 64, 22, 4, 4, 2]
    with pytest.raises(ValueError, match="claim_size"):
        cache.get_or_compute(keys, compute, claim_size=0)


def test_positions_and_values_may_come_in_any_order(cache):
    keys = some_keys(30)

    def compute(positions):
        for position in reversed(positions):
            yield np.array([position]), code_of(keys[position])[None]

    assert_right(keys, cache.get_or_compute(keys, compute))


def test_a_reused_buffer_does_no_harm(cache):
    keys = some_keys(30)
    buffer = np.empty((1, 300), np.float32)

    def compute(positions):
        for position in positions:
            buffer[0] = code_of(keys[position])
            yield [position], buffer

    assert_right(keys, cache.get_or_compute(keys, compute))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_yielded_before_a_failure_is_kept(cache, error):
    keys = some_keys(100)
    closed = []

    def failing(positions):
        try:
            for number, block in enumerate(Counting(keys)(positions)):
                if number == 2:
                    raise error("stopped")
                yield block
        finally:
            closed.append(True)

    with pytest.raises(error, match="stopped"):
        cache.get_or_compute(keys, failing)
    assert closed == [True]
    assert cache.n_entries == 32
    compute = Counting(keys)
    start = time.monotonic()
    assert_right(keys, cache.get_or_compute(keys, compute))
    assert time.monotonic() - start < 5
    assert compute.asked == list(range(32, 100))


@pytest.mark.parametrize(
    ("block", "match"),
    [
        (([0], []), "1 positions and 0 values|1 positions with 0 values"),
        (([7], [np.zeros(1)]), "not asked for: 7"),
        (([0], [np.zeros(1)]), "without a value for the positions 1"),
    ],
)
def test_a_compute_that_breaks_its_contract(cache, block, match):
    with pytest.raises(ValueError, match=match):
        cache.get_or_compute([b"a", b"b"], lambda positions: iter([block]))
    assert_right([b"a", b"b"][1:], cache.get_or_compute([b"b"], Counting([b"b"])))


def test_threads_compute_each_key_once(cache):
    keys = some_keys(300)
    asked, lock = [], threading.Lock()

    def ask(seed):
        order = np.random.default_rng(seed).permutation(len(keys))
        mine = [keys[index] for index in order]

        def compute(positions):
            for block in Counting(mine)(positions):
                time.sleep(0.002)
                with lock:
                    asked.extend(mine[position] for position in block[0])
                yield block

        assert_right(mine, cache.get_or_compute(mine, compute, claim_size=32))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert sorted(asked) == keys


def test_threads_share_values_that_are_not_kept():
    cache = MemoryCache(max_bytes=0)
    started, asked = threading.Barrier(2), []

    def compute(positions):
        time.sleep(0.2)
        asked.extend(positions)
        yield positions, codes_of([b"a"])

    def ask(_):
        started.wait()
        return cache.get_or_compute([b"a"], compute)[0]

    with ThreadPoolExecutor(2) as pool:
        assert_right([b"a"] * 2, list(pool.map(ask, range(2))))
    assert asked == [0]


def test_a_failing_thread_leaves_its_keys_to_the_others(cache):
    keys = some_keys(40)
    claimed = threading.Event()

    def fail(positions):
        claimed.set()
        time.sleep(0.2)
        raise RuntimeError("stopped")
        yield

    with ThreadPoolExecutor(1) as pool:
        failure = pool.submit(cache.get_or_compute, keys, fail)
        claimed.wait()
        compute = Counting(keys)
        assert_right(keys, cache.get_or_compute(keys, compute))
        assert len(compute.asked) == 40
        with pytest.raises(RuntimeError, match="stopped"):
            failure.result()


def test_an_owner_without_news_is_not_waited_for_for_ever(cache, monkeypatch):
    monkeypatch.setattr("sktl.cache._claims.PATIENCE", 0.3)
    keys = some_keys(100)
    claimed, end = threading.Event(), threading.Event()

    def hang(positions):
        claimed.set()
        end.wait(30)
        yield from Counting(keys)(positions)

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(cache.get_or_compute, keys, hang)
        claimed.wait()
        assert_right(keys, cache.get_or_compute(keys, Counting(keys), claim_size=10))
        end.set()
        assert_right(keys, hanging.result())


def test_a_compute_that_asks_for_its_own_keys_does_not_wait_for_itself(cache):
    keys = some_keys(10)

    def nested(positions):
        yield positions, cache.get_or_compute([keys[position] for position in positions], Counting(keys))

    start = time.monotonic()
    assert_right(keys, cache.get_or_compute(keys, nested))
    assert time.monotonic() - start < 5
