"""A store on a disk with little room: the process lives, codes are right, and the warning names the full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.stress._result import Result

PROGRAM = """
import sys, warnings
import numpy as np
from sktl.cache import DiskCache
values = [np.full(1000, i, np.float32) for i in range(40)]
keys = [bytes([i + 1]) for i in range(40)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = DiskCache(sys.argv[1]).get_or_compute(keys, lambda at: iter([(at, [values[i] for i in at])]))
assert all(np.array_equal(a, b) for a, b in zip(found, values))
print("; ".join(str(warning.message) for warning in caught))
"""


def run(count: int, seed: int) -> Result:
    """Try `count` levels of free space, from 4 KiB to 512 KiB, the small ones more often."""
    result = Result("full disk")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        if not _mount(folder):
            result.skipped = "a small file system can only be mounted as root"
            return result
        try:
            for free in np.exp2(rng.uniform(0, 7, count)).astype(int) * 4096:
                result.count(_violation(Path(folder), int(free), f"seed {seed}, {free} bytes free"))
        finally:
            subprocess.run(["umount", folder], check=True)
    return result


def _mount(folder: str) -> bool:
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
        return subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        return False


def _violation(disk: Path, free: int, where: str) -> str | None:
    ballast, store = disk / "ballast", disk / "store"
    subprocess.run(["rm", "-rf", str(ballast), str(store)], check=True)
    status = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - free)))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(store)], capture_output=True, text=True)
    if done.returncode:
        return f"{where}: ended with {done.returncode}: {done.stderr[-300:]}"
    if done.stdout.strip() and "the disk is full" not in done.stdout:
        return f"{where}: the warning does not name the full disk: {done.stdout.strip()}"
    return None
