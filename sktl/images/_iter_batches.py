"""Batches in order, decoded ahead of whoever consumes them."""

from __future__ import annotations

import numbers
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from sktl._deadline import check_deadline
from sktl._preprocessing import Preprocessing
from sktl._validation import effective_n_jobs
from sktl.exceptions import BadImageError
from sktl.images._errors import bad_images
from sktl.images._source import PictureSource, as_tensor, empty_batch


def iter_batches(
    source: PictureSource,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    n_jobs: int | None = None,
    indices: Sequence[int] | np.ndarray | None = None,
    draft: bool = True,
    prefetch: int | None = None,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Yield pictures in uint8 batches, in order, while threads decode the next ones.

    The threads end with the iterator: when it is exhausted, closed or dropped, and on any error.

    Parameters
    ----------
    source : PictureSource
        The pictures.
    preprocessing : Preprocessing
        The size to scale and crop to.
    batch_size : int
        Pictures in a batch; the last one may be smaller.
    n_jobs : int, default=None
        Threads, as in joblib; None means one a core.
    indices : sequence of int, default=None
        Which pictures, in which order; None means all.
    draft : bool, default=True
        See `PictureSource.batch`.
    prefetch : int, default=None
        Most batches held beside the one that was yielded. None means 2, or more where batches are so small that two of
        them would leave threads idle.

    Yields
    ------
    indices : array of shape (b,)
    batch : uint8 tensor of shape (b, 3, h, w)

    Raises
    ------
    BadImageError
        At the first picture that cannot be decoded; it names all others that cannot be among those not yet yielded.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.backbones import Preprocessing
    >>> from sktl.images import as_pictures, iter_batches
    >>> source = as_pictures(np.zeros((10, 32, 32), dtype=np.uint8))
    >>> [len(which) for which, batch in iter_batches(source, Preprocessing(size=(48, 48)), batch_size=4)]
    [4, 4, 2]
    """
    for argument, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
        if not (isinstance(value, numbers.Integral) and value >= least) and not (value is None and least == 0):
            raise ValueError(f"{argument} must be an integer of at least {least}; got {value!r}.")
    n_threads = effective_n_jobs(n_jobs)
    order = source.checked(np.arange(len(source)) if indices is None else indices)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    task_size = source.task_size(preprocessing, batch_size, n_threads)
    if task_size == 0 or len(order) == 1:  # a thread takes longer to start than one picture to decode
        return _decoded_now(source, preprocessing, batches, draft)
    if prefetch is None:
        prefetch = max(2, -(-2 * n_threads // batch_size))
    return _decoded_ahead(source, preprocessing, batches, draft, n_threads, task_size, prefetch)


def _decoded_now(
    source: PictureSource, preprocessing: Preprocessing, batches: list[np.ndarray], draft: bool
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    for which in batches:
        check_deadline()
        yield which, source.batch(which, preprocessing, draft=draft)


def _decoded_ahead(
    source: PictureSource,
    preprocessing: Preprocessing,
    batches: list[np.ndarray],
    draft: bool,
    n_threads: int,
    task_size: int,
    prefetch: int,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    executor = ThreadPoolExecutor(n_threads, thread_name_prefix="sktl-images")
    waiting: deque[tuple[np.ndarray, list[Future]]] = deque()
    submitted = 0

    def submit_up_to(most: int) -> None:
        nonlocal submitted
        while len(waiting) < most and submitted < len(batches):
            which = batches[submitted]
            out = empty_batch(len(which), preprocessing)
            tasks = [slice(start, start + task_size) for start in range(0, len(which), task_size)]
            futures = [executor.submit(source.write, out[t], which[t], preprocessing, draft=draft) for t in tasks]
            waiting.append((out, futures))
            submitted += 1

    try:
        for i, which in enumerate(batches):
            check_deadline()
            submit_up_to(max(1, prefetch))
            out, futures = waiting.popleft()
            try:
                for future in futures:
                    future.result()
            except BadImageError as error:
                executor.shutdown(wait=True, cancel_futures=True)
                rest = np.unique(np.concatenate(batches[i:]))
                failures = source.failures(rest, preprocessing, n_threads)
                # A file may be sound again when it is looked at once more.
                raise bad_images({**error.failures, **failures}, len(source)) from error
            submit_up_to(prefetch)
            yield which, as_tensor(out)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
