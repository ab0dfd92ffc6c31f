"""What computes a block of rows on a worker: the transformer, opened once a process, and faults with the worker's name.

A job is one value of the graph, which each worker is sent once. It carries the versions and the fingerprint of the
client's network, so that a worker with others says so before it computes anything.
"""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

import sktl
from sktl._array_api import take_rows
from sktl._device import keep_freed_memory_on_workers
from sktl._extraction import Extractor, codes_and_failures
from sktl._forking import ForkSafeLock
from sktl._memory import Remembered, emptied_on_request
from sktl._modes import plain_modes
from sktl._openvino import bound_threads
from sktl._validation import available_cpus, shorten
from sktl._warn_once import warn_user
from sktl.exceptions import BadImageError, PictureWarning, WeightsError, WorkerError
from sktl.features._dask_blocks import as_said
from sktl.features._missing import GapFiller, missing_rows
from sktl.features._settled import network_of

KEPT_JOBS = 4
LACKING = "is missing (None, NaN or empty text)"
ABSENT = "no such file"  # how a file's failure says that it is not there

_open: Remembered[str, Any] = Remembered(KEPT_JOBS)
_lock = ForkSafeLock()


@emptied_on_request
def _forget() -> None:
    _open.clear()


@dataclass(frozen=True)
class Job:
    """All that a worker needs to compute codes.

    Attributes
    ----------
    token : str
        What tells it from other jobs.
    payload : bytes
        The pickled transformer, its engine and its precision settled.
    versions : dict of str to str
        Of the client's packages that a worker must have too.
    fingerprint : str or None
        Of the client's network; None where other processes find another one for the same network.
    n_features : int
        Numbers a code.
    recipe : str
        A digest of all that decides a row's code.
    kind : str or None
        The dtype that the client was told the rows have; None where they are no numbers.
    """

    token: str
    payload: bytes = field(repr=False)
    versions: Mapping[str, str]
    fingerprint: str | None
    n_features: int
    recipe: str = ""
    kind: str | None = None

    def opened(self) -> Any:
        """Return the transformer, its network loaded, once a process."""
        with _lock:
            return _open.get_or_make(self.token, self._open)[0]

    def _open(self) -> tuple[Any, Any]:
        self._check_versions()
        keep_freed_memory_on_workers()
        with plain_modes():
            transformer = pickle.loads(self.payload)
            if getattr(transformer, "n_jobs", 1) is None:
                transformer.n_jobs = threads_of_a_task()
            if torch.get_num_threads() < available_cpus():
                bound_threads(torch.get_num_threads())
            try:
                extractor = transformer._extractor()  # held, so that the network stays
            except (ValueError, ImportError) as error:
                raise WorkerError(f"{here()} cannot run the network: {error}") from error
        found = network_of(extractor).fingerprint
        if self.fingerprint is not None and found != self.fingerprint:
            raise WorkerError(
                f"{here()} has other weights: fingerprint {found[:12]}, the client's is {self.fingerprint[:12]}. "
                "Install the same packages of weights, or give a file that all workers see."
            )
        return transformer, extractor

    def _check_versions(self) -> None:
        found = {name: version_of(name) for name in self.versions}
        exact = set(found) if "nncf" in found else {"sktl"}  # ranges of 8 bits are found by each worker itself
        differing = [name for name in found if name in exact and found[name] != self.versions[name]]
        missing = [name for name in found if found[name] is None]
        if differing or missing:
            named = ", ".join(
                f"{name} {found[name] or 'is missing'} (the client has {self.versions[name]})"
                for name in dict.fromkeys(differing + missing)
            )
            raise WorkerError(
                f"{here()} has another environment: {named}. Codes of both could differ. Install the same versions on "
                "all workers: pip install "
                + " ".join(f"{name}=={self.versions[name]}" for name in dict.fromkeys(differing + missing))
            )


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None where it is missing."""
    if package == "sktl":
        return sktl.__version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def block_codes(job: Job, rows: Any, start: int | None, length: float = np.nan) -> np.ndarray:
    """Return the codes of a block, float32 of shape (n, n_features).

    Parameters
    ----------
    job : Job
        What computes them.
    rows : array, Series, data frame, list or iterator
        The block.
    start : int or None
        The number of its first row among all, for messages.
    length : float
        How many rows Dask was told that it has; NaN where that is not known.
    """
    codes, failures = block_codes_and_failures(job, rows, start, length)
    if failures:
        warn_user(
            PictureWarning(
                f"{here()}: {len(failures)} of {len(rows)} pictures of a block cannot be read, and their codes are "
                f"NaN: {shorten(f'[{i}] {reason}' for i, reason in failures.items())}.",
                failures,
            ),
        )
    return codes


def block_codes_and_failures(
    job: Job, rows: Any, start: int | None, length: float = np.nan, *, collects: bool = False
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the codes of a block, and what is wrong with each of its pictures that cannot be read.

    These are rows of NaN where the transformer, or `collects`, asks for it; else an error.
    """
    if isinstance(rows, (Iterator, tuple)):
        rows = list(rows)
    _check_block(job, rows, start, length)
    if len(rows) == 0:
        return np.empty((0, job.n_features), dtype=np.float32), {}
    transformer = job.opened()
    try:
        with plain_modes():
            codes, failures = _codes(transformer, rows, collects or getattr(transformer, "on_bad", "error") == "report")
    except BadImageError as error:
        raise _named(error, start) from error
    except WeightsError as error:
        raise WorkerError(f"{here()} cannot run the network: {error}") from error
    if len(failures) == len(rows) and not codes.shape[1]:  # nothing was there
        codes = np.full((len(rows), job.n_features), np.nan, dtype=np.float32)
    if codes.shape != (len(rows), job.n_features):
        raise WorkerError(f"{here()} made codes of shape {codes.shape}, not {(len(rows), job.n_features)}.")
    return codes, {(start or 0) + i: failures[i] for i in sorted(failures)}


def _check_block(job: Job, rows: Any, start: int | None, length: float) -> None:
    """Raise a ValueError where a block is not what Dask was told: codes would be those of other rows or values."""
    where = "A block" if start is None else f"The block that begins with row {start:,}"
    if length == length and len(rows) != length:
        raise ValueError(
            f"{where} was said to have {int(length)} rows, but has {len(rows)}. Give the chunks or shape that the "
            "delayed parts have."
        )
    as_said(rows, job.kind, where)


def _codes(transformer: Any, rows: Any, reports: bool) -> tuple[np.ndarray, dict[int, str]]:
    """Return the codes, and what is wrong with pictures by their place in the block, if it `reports` that."""
    lacking = missing_rows(rows) if reports and getattr(transformer, "missing", "") == "error" else None
    if lacking is None or not lacking.any():
        return _codes_of_present(transformer, rows, reports)
    places = np.flatnonzero(~lacking)
    failures = dict.fromkeys(np.flatnonzero(lacking).tolist(), LACKING)
    if not len(places):
        return np.full((len(rows), 0), np.nan, dtype=np.float32), failures
    codes, found = _codes_of_present(transformer, take_rows(rows, places), reports)
    out = np.full((len(rows), codes.shape[1]), np.nan, dtype=np.float32)
    out[places] = codes
    return out, failures | {int(places[i]): reason for i, reason in found.items()}


def _codes_of_present(transformer: Any, rows: Any, reports: bool) -> tuple[np.ndarray, dict[int, str]]:
    source, extractor = transformer._ready(rows)
    failures: dict[int, str] = {}
    if not reports or not isinstance(extractor, (Extractor, GapFiller)):
        return extractor.codes(source), failures

    def codes_of(extractor: Extractor, source: Any) -> np.ndarray:
        codes, found = codes_and_failures(extractor, source)
        failures.update(found)
        return codes

    if isinstance(extractor, Extractor):
        return codes_of(extractor, source), failures
    codes = replace(extractor, codes_of=codes_of).codes(source)
    places = np.flatnonzero(~source.lacking).tolist()  # of the rows that have a picture
    return codes, {places[i]: reason for i, reason in failures.items()}


def _named(error: BadImageError, start: int | None) -> BadImageError:
    """Return the error with the worker's name, and rows counted among all where it is known."""
    failures = {(start or 0) + int(i): reason for i, reason in error.failures.items()}
    counted = "in this block" if start is None else f"in the block that begins with row {start:,}"
    remedy = ""
    if failures and all(reason.endswith(ABSENT) for reason in failures.values()):
        remedy = (
            " Files must be seen by the workers, not by the client alone: put them on a shared folder, give URLs "
            "(s3://..., http://...), or pass their bytes."
        )
    return BadImageError(f"{here()}, {counted}: {error.args[0]}{remedy}", failures)


def here() -> str:
    """Return the name of this worker, or of this process."""
    try:
        from distributed import get_worker

        worker = get_worker()
        return f"Worker {worker.name} at {worker.address}"
    except (ImportError, ValueError):  # none
        return f"Process {os.getpid()} on {socket.gethostname()}"


def threads_of_a_task() -> int:
    """Return how many threads a task may have, so that all tasks of a process have no more than its share of cores."""
    return max(1, torch.get_num_threads() // tasks_at_once())


def tasks_at_once() -> int:
    """Return how many tasks run in this process at once."""
    try:
        from distributed import get_worker

        return int(get_worker().state.nthreads)
    except (ImportError, ValueError):
        import dask

        return int(dask.config.get("num_workers", None) or available_cpus())
