"""A process that is stopped (Ctrl-Z) while it holds a lock of the store: others say so and compute."""

import os
import signal
import time

import pytest
from cache_codes import Counting, assert_right, codes_of, never, some_keys

from sktl.cache import DiskCache
from sktl.exceptions import CacheWarning

STOPS = """
import os, signal, sys
from cache_codes import codes_of, some_keys
from sktl.cache import DiskCache, _disk
from sktl.cache._store import Store

place, keys = sys.argv[2], some_keys(20)

stopped = []

def stop():
    if not stopped:
        stopped.append(True)
        print("stopped", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)

if place == "write":
    encode = _disk.encode
    _disk.encode = lambda *args: (stop(), encode(*args))[1]
else:
    reserve = getattr(Store, place)
    setattr(Store, place, lambda self, *args: (stop(), reserve(self, *args))[1])
DiskCache(sys.argv[1]).put_many(keys[10:], codes_of(keys[10:]))
print("done", flush=True)
"""

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")


@pytest.mark.parametrize("place", ["write", "_open_environment", "_allocate_locks"])
@pytest.mark.parametrize("is_open", [True, False])
def test_others_say_so_and_compute(place, is_open, folder, start, monkeypatch):
    monkeypatch.setattr("sktl.cache._locks.PATIENCE", 0.5)
    keys, cache = some_keys(20), DiskCache(folder)
    if is_open:
        cache.put_many(keys[:10], codes_of(keys[:10]))
    other = start(STOPS, folder, place)
    assert other.stdout.readline().strip() == "stopped"
    begin = time.monotonic()
    try:
        computed = Counting(keys)
        with pytest.warns(
            CacheWarning, match="another process has kept .* it may be stopped, or slow.*computed without"
        ):
            assert_right(keys, cache.get_or_compute(keys, computed))
        again = DiskCache(folder)
        assert_right(keys, again.get_or_compute(keys, Counting(keys)))
        assert time.monotonic() - begin < 5
        if is_open:
            assert cache.get_many(keys[:1])[0] is not None  # reading goes on
    finally:
        os.kill(other.pid, signal.SIGCONT)
    assert other.wait(20) == 0
    cache._store.wake()
    assert_right(keys, cache.get_or_compute(keys, Counting(keys)))
    assert_right(keys, DiskCache(folder).get_or_compute(keys, never))
