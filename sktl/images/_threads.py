"""A function over many indices, by threads that end with the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from sktl._validation import effective_n_jobs

T = TypeVar("T")

CHUNK = 32


def map_threaded(
    function: Callable[[int], T], indices: Sequence[int] | np.ndarray, n_jobs: int | None = None
) -> list[T]:
    """Return ``[function(i) for i in indices]``, computed by ``effective_n_jobs(n_jobs)`` threads."""

    def run(chunk: Sequence[int] | np.ndarray) -> list[T]:
        return [function(int(i)) for i in chunk]

    n_threads = effective_n_jobs(n_jobs)
    if n_threads == 1 or len(indices) < 2:
        return run(indices)
    size = min(CHUNK, -(-len(indices) // n_threads))
    chunks = [indices[start : start + size] for start in range(0, len(indices), size)]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="sktl-images") as executor:
        return [result for results in executor.map(run, chunks) for result in results]
