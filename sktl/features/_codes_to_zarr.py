"""Codes of very many rows in a Zarr array, block by block; a run that was killed goes on where it was."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.exceptions import BadImageError, PictureWarning
from sktl.features._codes_folder import CodesFolder
from sktl.features._dask_blocks import Blocks, as_blocks, graph_over, is_dask, is_dask_array
from sktl.features._job import Job, block_codes_and_failures
from sktl.features._lazy_codes import current_client, job_for
from sktl.features._missing import column_of
from sktl.images import is_url

BLOCKS_AT_ONCE = 1024  # handed to the engine: its scheduler never holds the tasks of all
MOST_TIMES = 64
RETRIES = 2  # of a block that fails by what is no fault of its rows


@validate_params(
    {
        "transformer": "no_validation",
        "X": "no_validation",
        "url": [str, os.PathLike],
        "block_size": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float16"})],
        "storage_options": [Mapping, None],
    },
    prefer_skip_nested_validation=True,
)
def codes_to_zarr(
    transformer: Any,
    X: Any,
    url: str | os.PathLike,
    *,
    block_size: int = 512,
    dtype: str = "float32",
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Compute the codes of very many rows and write them into a Zarr array, block by block.

    Dask runs it: on its cluster if there is a client, else in threads of this process. Each block is one task that
    writes one chunk, and then the mark that it is done. The same call again, after the run was killed or has failed,
    computes the blocks that have no mark. Neither codes nor tasks of all rows are ever in one memory.

    Parameters
    ----------
    transformer : CNNCodesTransformer or TextCodesTransformer
        What computes codes, fitted or not. Its `on_bad` says what becomes of pictures that cannot be read. "error":
        all blocks without one are written, then one error names all of them; when they are repaired, the same call
        computes their blocks. "report": their rows are NaN, and one warning names all.
    X : Dask array, Series, data frame or bag; array or list
        The rows, as in `transform`. They must be the same, and in the same order, when the call is repeated. Of
        collections whose partitions are of unknown lengths the rows are counted first.
    url : str or path
        A folder, new or of an earlier call, or a URL that fsspec knows, which all workers see.
    block_size : int, default=512
        Rows a block.
    dtype : {"float32", "float16"}, default="float32"
        What codes are written in; float16 takes half the space.
    storage_options : mapping, default=None
        Given to fsspec.

    Returns
    -------
    Dask array of shape (n, n_features)
        The codes in the file, lazily: ``da.from_zarr(url + "/codes")``.

    Raises
    ------
    ValueError
        If the folder holds codes of another transformer or of another number of rows.
    BadImageError
        If pictures cannot be read, unless the transformer reports them. Its attribute `failures` names all, by row.
    WorkerError
        If a worker has other versions or other weights than this process.

    See Also
    --------
    CNNCodesTransformer.transform : The same lazily, without a file.
    sktl.datasets.read_shards : Tar shards as a bag.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sktl import CNNCodesTransformer
    >>> from sktl.features import codes_to_zarr
    >>> pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    >>> codes = codes_to_zarr(CNNCodesTransformer(image_size=32), pictures, tempfile.mkdtemp(), block_size=4)
    >>> codes.shape, codes.chunks[0]
    ((6, 1280), (4, 2))
    """
    try:
        import dask.array as da
        import fsspec  # noqa: F401
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Codes are written by Dask, fsspec and zarr: pip install 'sktl[cluster]' ({error})."
        ) from error

    root = os.fspath(url) if is_url(url) else os.path.abspath(os.path.expanduser(os.fspath(url)))
    folder = CodesFolder(root, dtype, dict(storage_options or {}))
    blocks, counted = _regular(X, int(block_size), folder.counted())
    job = job_for(transformer, X if is_dask(X) else blocks.collection, blocks.n_rows, keeps_names=False)
    reports = getattr(transformer, "on_bad", "error") == "report"
    folder.prepare(job, int(blocks.n_rows or 0), int(block_size), counted)
    pending = sorted(set(range(len(blocks.keys))) - folder.finished(with_failures=reports))
    failures: dict[int, str] = {}
    at_once = max(BLOCKS_AT_ONCE, -(-len(pending) // MOST_TIMES))
    for start in range(0, len(pending), at_once):
        for found in _written(job, folder, blocks, pending[start : start + at_once], reports):
            failures |= found
    if failures and not reports:
        raise BadImageError(
            f"{len(failures)} of {blocks.n_rows} pictures cannot be read: "
            f"{shorten(f'[{i}] {failures[i]}' for i in sorted(failures))}. The blocks without one are written. Repair "
            "them and call this again, or pass on_bad='report' to the transformer; the attribute 'failures' of this "
            "error holds them all by row.",
            {i: failures[i] for i in sorted(failures)},
        )
    if reports and (failures := folder.failures()):
        warn_user(
            PictureWarning(
                f"{len(failures)} of {blocks.n_rows} pictures cannot be read, and their codes are NaN: "
                f"{shorten(f'[{i}] {reason}' for i, reason in failures.items())}. This warning's attribute 'failures' "
                "says of all what is wrong.",
                failures,
            ),
        )
    return da.from_zarr(folder.codes, storage_options=folder.options or None)


def _regular(X: Any, block_size: int, counted: list[int] | None) -> tuple[Blocks, list[int] | None]:
    """Return the rows in blocks of one length, and the lengths of partitions where they had to be counted."""
    import dask.array as da

    if not is_dask(X):
        values = column_of(X)
        if values is not None:
            X = np.empty(len(values), dtype=object)
            X[:] = values
        elif not hasattr(X, "shape") or not hasattr(X, "dtype"):
            raise TypeError(
                f"X is a {type(X).__name__}; it must be a Dask collection, an array, or a list or column of paths, "
                "pictures or texts."
            )
        return as_blocks(da.from_array(X, chunks=(block_size, *(-1,) * (len(X.shape) - 1))), block_size), None
    if is_dask_array(X) and not np.isnan(X.shape[0]):
        return as_blocks(X, block_size), None
    parts = as_blocks(X)
    if counted is None:
        counted = _computed(parts.collection, {number: (_length, key) for number, key in enumerate(parts.keys)})
    return as_blocks(_with_lengths(parts, counted), block_size), counted


def _with_lengths(parts: Blocks, counted: list[int]) -> Any:
    """Return an array whose chunks are the partitions, now that their lengths are known."""
    import dask.array as da

    if is_dask_array(parts.collection):
        X = parts.collection.copy()
        X._chunks = (tuple(counted), *X.chunks[1:])
        return X
    name = f"sktl-rows-{uuid.uuid4().hex}"
    layer = {(name, number): (_as_objects, key) for number, key in enumerate(parts.keys)}
    graph = graph_over(parts.collection, name, layer, {})
    return da.Array(graph, name, (tuple(counted),), meta=np.empty(0, dtype=object))


def _length(part: Any) -> list[int]:
    return [len(part) if hasattr(part, "__len__") else sum(1 for _ in part)]


def _as_objects(part: Any) -> np.ndarray:
    """Return the rows of a partition as an array of objects."""
    items = column_of(part) if hasattr(part, "__len__") else list(part)
    assert items is not None
    rows = np.empty(len(items), dtype=object)
    rows[:] = items
    return rows


def _written(job: Job, folder: CodesFolder, blocks: Blocks, which: list[int], reports: bool) -> list[dict[int, str]]:
    """Compute and write some blocks; return what is wrong with rows, by their number."""
    starts = blocks.starts
    job_key, folder_key = f"sktl-transformer-{job.token}", f"sktl-folder-{uuid.uuid4().hex}"
    tasks: dict[Any, Any] = {
        number: (
            _write,
            job_key,
            folder_key,
            blocks.keys[number],
            number,
            starts[number],
            blocks.lengths[number],
            reports,
        )
        for number in which
    }
    return _computed(blocks.collection, tasks, {job_key: job, folder_key: folder})


def _computed(collection: Any, tasks: Mapping[int, Any], values: Mapping[str, Any] | None = None) -> list[Any]:
    """Return what tasks over blocks of a collection return, lists of results, as one list."""
    import dask
    import dask.bag as db

    name = f"sktl-blocks-{uuid.uuid4().hex}"
    layer = {(name, place): task for place, task in enumerate(tasks.values())}
    graph = graph_over(collection, name, layer, values or {})
    bag = db.Bag(graph, name, len(layer))
    if current_client() is not None:
        return bag.compute(retries=RETRIES)
    return bag.compute(scheduler=dask.config.get("scheduler", "threads"))


def _write(
    job: Job, folder: CodesFolder, rows: Any, number: int, start: int, length: float, reports: bool
) -> list[dict[int, str]]:
    """Write the codes of a block; return what is wrong with its rows, in a list.

    A worker that dies takes along what its tasks have returned, and the engine runs them again: what is written stays.
    """
    if (known := folder.known(number, with_failures=reports)) is not None:
        return [known]
    try:
        codes, failures = block_codes_and_failures(job, rows, start, length, collects=True)
    except BadImageError as error:  # all of them, so that they can be named at once
        return [error.failures]
    if reports or not failures:
        folder.write(number, start, codes, failures)
    return [failures]
