"""Several processes on one folder: each key computed once, whatever ends a process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest
from cache_codes import Counting, assert_right, code_of, codes_of, never, some_keys

from sktl.cache import DiskCache, MemoryCache, open_cache

N_KEYS = 200

ASK = """
import os, sys, time
import numpy as np
from cache_codes import Counting, assert_right, some_keys
from sktl.cache import DiskCache

folder, log, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
keys = some_keys(200)
keys = [keys[index] for index in np.random.default_rng(seed).permutation(len(keys))] if seed else keys
log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def compute(positions):
    for block in Counting(keys)(positions):
        time.sleep(0.02)
        os.write(log, b"".join(keys[position] + b"\\n" for position in block[0]))
        yield block

print("ready", flush=True)
sys.stdin.readline() if seed == 99 else None
assert_right(keys, DiskCache(folder).get_or_compute(keys, compute, claim_size=32))
"""


@pytest.mark.parametrize("seeds", [(0, 0), (1, 2, 3)])
def test_processes_compute_each_key_once(folder, tmp_path, start, finish, seeds):
    log = tmp_path / "computed"
    for process in [start(ASK, folder, log, seed) for seed in seeds]:
        finish(process)
    assert sorted(log.read_bytes().split()) == some_keys(N_KEYS)
    assert not list((folder / "owners").iterdir())
    keys = some_keys(N_KEYS)
    assert_right(keys, DiskCache(folder).get_or_compute(keys, never))


def _ask_in_child(cache, log):
    keys = some_keys(N_KEYS)

    def compute(positions):
        for block in Counting(keys)(positions):
            time.sleep(0.01)
            with open(log, "ab", buffering=0) as file:
                file.write(b"".join(keys[position] + b"\n" for position in block[0]))
            yield block

    assert_right(keys, cache.get_or_compute(keys, compute))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_in_use_can_be_handed_to_children(folder, tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    context = multiprocessing.get_context(method)
    cache, log = DiskCache(folder), tmp_path / "computed"
    cache.put_many([b"mine"], [code_of(b"mine")])
    children = [context.Process(target=_ask_in_child, args=(cache, log)) for _ in range(2)]
    for child in children:
        child.start()
    _ask_in_child(cache, log)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert sorted(log.read_bytes().split()) == some_keys(N_KEYS)
    assert_right([b"mine"], cache.get_many([b"mine"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forks_while_other_threads_use_the_stores(folder):
    keys = some_keys(50)
    caches = [DiskCache(folder), MemoryCache()]
    end = threading.Event()

    def work(cache):
        while not end.is_set():
            cache.put_many(keys, codes_of(keys))
            cache.get_or_compute(keys[:20], Counting(keys))

    threads = [threading.Thread(target=work, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(10):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for cache in caches:
                    assert_right(keys, cache.get_or_compute(keys, Counting(keys)))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
        time.sleep(0.02)
    deadline = time.monotonic() + 30
    codes = {}
    while len(codes) < len(children) and time.monotonic() < deadline:
        for child in set(children) - set(codes):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                codes[child] = status
        time.sleep(0.01)
    end.set()
    for thread in threads:
        thread.join()
    for child in set(children) - set(codes):
        os.kill(child, signal.SIGKILL)
    assert codes == dict.fromkeys(children, 0)
    assert_right(keys, caches[0].get_many(keys))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_the_shared_memory_store_goes_into_a_forked_child():
    cache = open_cache("memory")
    cache.put_many([b"before fork"], [code_of(b"before fork")])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_has_shared, (cache, b"before fork"))


def _has_shared(cache, key):
    return cache is open_cache("memory") and cache.get_many([key])[0] is not None


CLAIM_AND_HANG = """
import sys, time
from cache_codes import Counting, some_keys
from sktl.cache import DiskCache
keys = some_keys(200)

def compute(positions):
    for number, block in enumerate(Counting(keys)(positions)):
        if number == 2:
            print("hanging", flush=True)
            time.sleep(120)
        yield block

DiskCache(sys.argv[1]).get_or_compute(keys, compute)
"""


def test_claims_of_a_killed_process_are_taken_over(folder, start):
    process = start(CLAIM_AND_HANG, folder)
    assert process.stdout.readline() == "hanging\n"
    keys = some_keys(N_KEYS)
    threading.Timer(0.5, process.kill).start()
    compute = Counting(keys)
    start_time = time.monotonic()
    assert_right(keys, DiskCache(folder).get_or_compute(keys, compute))
    assert 0.4 < time.monotonic() - start_time < 20
    assert sorted(compute.asked) == list(range(32, N_KEYS))
    assert not list((folder / "owners").iterdir())


WRITE = """
import sys
from cache_codes import codes_of, some_keys
from sktl.cache import DiskCache
cache, run = DiskCache(sys.argv[1]), int(sys.argv[2])
for number in range(100_000):
    keys = some_keys(16, f"{run}-{number}")
    cache.put_many(keys, codes_of(keys))
    print(number, flush=True)
"""


def test_nothing_that_was_stored_is_lost_by_a_kill(folder, start):
    import numpy as np

    rng = np.random.default_rng(0)
    stored = []
    runs = 20
    pending = [start(WRITE, folder, 0)]
    for run in range(runs):
        process = pending.pop()
        if run + 1 < runs:  # the next one starts, and soon writes, while this one is killed
            pending.append(start(WRITE, folder, run + 1))
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        assert errors == ""
        n_blocks = 1 + sum(line.endswith("\n") for line in rest.splitlines(keepends=True))
        stored += [key for number in range(n_blocks) for key in some_keys(16, f"{run}-{number}")]
        cache = DiskCache(folder)
        assert_right(stored, cache.get_many(stored))
    maybe = [key for run in range(runs) for number in range(300) for key in some_keys(16, f"{run}-{number}")]
    there = [(key, value) for key, value in zip(maybe, cache.get_many(maybe)) if value is not None]
    assert_right([key for key, _ in there], [value for _, value in there])
    assert len(stored) <= cache.n_entries
    assert not (folder / "v1-damaged").exists()


GROW = """
import sys
import sktl.cache._store as store
store.FIRST_MAP = 2**17
from cache_codes import Counting, codes_of, some_keys, assert_right
from sktl.cache import DiskCache
cache = DiskCache(sys.argv[1])
for number in range(30):
    keys = some_keys(32, f"{sys.argv[2]}-{number}")
    cache.put_many(keys, codes_of(keys))
    assert_right(keys, cache.get_many(keys))
"""


def test_processes_follow_each_other_as_the_store_grows(folder, start, finish):
    for process in [start(GROW, folder, run) for run in range(3)]:
        finish(process)
    cache = DiskCache(folder)
    for run in range(3):
        for number in range(30):
            keys = some_keys(32, f"{run}-{number}")
            assert_right(keys, cache.get_many(keys))
