"""Memory over 200 rounds of fit and predict, with every estimator in turn: it grows by no more than 50 MB.

Open files and threads do not grow with the rounds either.
"""

from __future__ import annotations

import gc
import os
import threading
import warnings
from typing import Any

import numpy as np

from tests.cases import CASES, outputs
from tests.stress._result import Result

N_ROUNDS, N_FIRST = 200, 20  # the first rounds fill caches that have bounds
LIMIT = 50 * 10**6  # bytes
FEW = 4  # files or threads, that a pool may still open


def run(count: int, seed: int, n_rounds: int = N_ROUNDS, n_first: int = N_FIRST) -> Result:
    """Try `count` estimators; the next seed goes on where this one ends."""
    result = Result("growth")
    if not os.path.exists("/proc/self/statm"):
        result.skipped = "this system does not say how much memory a process takes"
        return result
    order = np.random.default_rng(0).permutation(len(CASES))
    for number in range(count):
        case = CASES[order[(seed * count + number) % len(order)]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            growth, files, n_threads = _grown(case, n_rounds, n_first)
        said = [f"{growth / 10**6:.0f} MB"] * (growth > LIMIT)
        said += [f"{files} open files"] * (files > FEW) + [f"{n_threads} threads"] * (n_threads > FEW)
        result.count(f"{case.name}: {', '.join(said)} in {n_rounds} rounds" if said else None)
    return result


def _grown(case: Any, n_rounds: int, n_first: int) -> list[int]:
    before = [0, 0, 0]
    for number in range(n_first + n_rounds):
        if number == n_first:
            before = _held()
        outputs(case.make().fit(case.X, case.y), case.X, case.y)
    return [after - held for after, held in zip(_held(), before)]


def _held() -> list[int]:
    """Return bytes in memory, open files and threads of this process."""
    return [_resident(), len(os.listdir("/proc/self/fd")), threading.active_count()]


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
