"""Eight threads that fit and predict at once, with every estimator in turn: each gives what one thread alone gives."""

from __future__ import annotations

import copy
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from tests.cases import CASES, outputs
from tests.stress._result import Result

N_THREADS = 8


def run(count: int, seed: int) -> Result:
    """Try `count` estimators; the next seed goes on where this one ends."""
    result = Result("threads")
    order = np.random.default_rng(0).permutation(len(CASES))
    for number in range(count):
        case = CASES[order[(seed * count + number) % len(order)]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result.count(_violation(case))
    return result


def _violation(case: Any) -> str | None:
    before = torch.get_rng_state()
    try:
        fitted = case.make().fit(case.X, case.y)
        expected = outputs(fitted, case.X, case.y)
        together = threading.Barrier(N_THREADS)

        def work(_: int) -> tuple:
            together.wait(60)
            of_shared = outputs(fitted, case.X, case.y)
            return of_shared, outputs(case.make().fit(case.X, copy.deepcopy(case.y)), case.X, case.y)

        with ThreadPoolExecutor(N_THREADS) as pool:
            found = [values for pair in pool.map(work, range(N_THREADS)) for values in pair]
    except Exception as error:
        return f"{case.name}: {type(error).__name__}: {error}"
    n_other = sum(
        not all(np.array_equal(value, wanted) for value, wanted in zip(values, expected, strict=True))
        for values in found
    )
    if n_other:
        return f"{case.name}: {n_other} of {len(found)} results differ from one thread's"
    if not torch.equal(before, torch.get_rng_state()):
        return f"{case.name}: torch's global generator moved"
    return None
