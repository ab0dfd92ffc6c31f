"""Codes of Dask collections: a lazy array, one task a block, and the same blocks one by one."""

from __future__ import annotations

import copy
import uuid
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import xxhash
from sklearn.utils.validation import _check_feature_names

from sktl._extraction import regrouped
from sktl.features._dask_blocks import Blocks, as_blocks, graph_over, holds_numbers
from sktl.features._job import Job, block_codes, version_of
from sktl.features._settled import network_of, recipe_key, settled

BLOCKS_AHEAD = 2  # a thread of the cluster, where blocks are taken one by one


def lazy_codes(transformer: Any, X: Any) -> Any:
    """Return the codes of a Dask collection as a lazy Dask array (n, n_features), float32, of its blocks of rows.

    Nothing is read or computed; the network is loaded here once, for its number of features and its fingerprint.
    """
    blocks = as_blocks(X)
    return codes_of_blocks(job_for(transformer, X, blocks.n_rows), blocks)


def codes_of_blocks(job: Job, blocks: Blocks) -> Any:
    """Return the lazy array of the codes of blocks."""
    import dask.array as da

    name, job_key = f"sktl-codes-{job.token}-{uuid.uuid4().hex[:8]}", f"sktl-transformer-{job.token}"
    layer = {
        (name, number, 0): (block_codes, job_key, key, start, length)
        for number, (key, start, length) in enumerate(zip(blocks.keys, blocks.starts, blocks.lengths))
    }
    graph = graph_over(blocks.collection, name, layer, {job_key: job})
    chunks = (tuple(int(n) if n == n else np.nan for n in blocks.lengths), (job.n_features,))
    return da.Array(graph, name, chunks, meta=np.empty((0, 0), dtype=np.float32))


def iter_lazy_codes(transformer: Any, X: Any, block_size: int) -> Generator[np.ndarray, None, None]:
    """Yield the codes of a Dask collection in order, in blocks of `block_size` rows.

    Blocks are computed by the cluster's client, if there is one, a few ahead of whoever consumes them; else here, when
    they are asked for.
    """
    blocks = as_blocks(X, block_size)
    codes = codes_of_blocks(job_for(transformer, X, blocks.n_rows), blocks)
    return regrouped(_computed(codes.to_delayed().ravel().tolist()), block_size)


def _computed(delayed: list[Any]) -> Iterator[np.ndarray]:
    client = current_client()
    if client is None:
        for block in delayed:
            codes = block.compute(scheduler="sync")
            if len(codes):
                yield codes
        return
    ahead = max(2, BLOCKS_AHEAD * sum(client.nthreads().values()))
    waiting: deque[Any] = deque()
    try:
        for block in delayed:
            waiting.append(client.compute(block))
            if len(waiting) >= ahead and len(codes := waiting.popleft().result()):
                yield codes
        while waiting:
            if len(codes := waiting.popleft().result()):
                yield codes
    finally:
        client.cancel(list(waiting))


def current_client() -> Any:
    """Return the client of a cluster that Dask would use now, None where there is none."""
    try:
        from distributed import get_client

        return get_client()
    except (ImportError, ValueError):
        return None


def job_for(transformer: Any, X: Any, n_rows: int | None, *, keeps_names: bool = True) -> Job:
    """Return what workers compute codes with, all that can be checked here checked.

    Engine and precision are settled here, so that all workers compute the same codes; one that cannot says so. Without
    `keeps_names` workers do not compare names of columns: they are handed rows without.
    """
    import cloudpickle

    transformer._validate_params()
    fitted = hasattr(transformer, "n_features_in_") or hasattr(transformer, "feature_names_in_")
    if holds_numbers(X) and not np.isnan(X.shape[0]):
        transformer._ready(X)
    elif fitted and hasattr(X, "_meta"):
        _check_feature_names(transformer, X._meta, reset=False)
    extractor = transformer._extractor()
    network = network_of(extractor)
    ours = copy.copy(transformer)
    if hasattr(ours, "_skl_callbacks"):
        del ours._skl_callbacks
    settings, n_features = settled(transformer, extractor, n_rows)
    for name, value in {"verbose": 0, **settings}.items():
        setattr(ours, name, value)
    if not keeps_names:
        vars(ours).pop("feature_names_in_", None)
    payload = cloudpickle.dumps(ours)
    versions = {"sktl": str(version_of("sktl"))}
    if settings["engine"] == "openvino" and (found := version_of("openvino")) is not None:
        versions["openvino"] = found
    if settings["precision"] == "int8":
        versions["nncf"] = str(version_of("nncf"))
    return Job(
        xxhash.xxh3_128_hexdigest(payload),
        payload,
        versions,
        network.fingerprint if getattr(network, "is_stable", True) else None,
        n_features,
        recipe_key(transformer, extractor, settings["engine"]),
        str(X.dtype) if holds_numbers(X) else None,
    )
