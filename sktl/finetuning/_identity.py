"""Which training is which: a digest of the data, the parameters and where it starts."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import xxhash
from torch import nn

from sktl.finetuning._batches import Examples
from sktl.finetuning._learned import LearnedNetwork
from sktl.finetuning._networks import PictureSpec, RowSpec

IDENTITY_FORMAT = 1
WITHOUT_EFFECT = {  # on what is learned, but for rounding
    "backbone", "weights", "cache", "callbacks", "checkpoint_dir", "compile", "device", "n_jobs", "random_state",
    "verbose",
}  # fmt: skip


def training_identity(
    estimator: Any, spec: PictureSpec | RowSpec, examples: Examples, learned: LearnedNetwork | None, seed: int | None
) -> str:
    """Return hexadecimal digits that change with whatever changes the result of a training.

    Parameters
    ----------
    estimator : estimator
        Its parameters.
    spec : PictureSpec or RowSpec
        Stands for the network.
    examples : Examples
        All that is trained or validated on.
    learned : LearnedNetwork or None
        What training goes on from.
    seed : int or None
        None where every fit draws one.
    """
    digest = xxhash.xxh3_128(repr((IDENTITY_FORMAT, type(estimator).__name__, seed)).encode())
    params = estimator.get_params(deep=True)
    for name in sorted(set(params) - WITHOUT_EFFECT):
        digest.update(f"{name}={described(params[name])};".encode())
    digest.update((spec.fingerprint if isinstance(spec, PictureSpec) else repr(spec.n_features)).encode())
    for values in (examples.indices, *examples.labels):
        digest.update(np.ascontiguousarray(values).tobytes())
    if isinstance(examples.data, np.ndarray):
        digest.update(np.ascontiguousarray(examples.data).tobytes())
    else:
        digest.update(b"".join(examples.data.digests(0, len(examples.data), estimator.n_jobs)))
    if learned is not None:
        for name, tensor in learned.tensors.items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def described(value: Any) -> str:
    """Return text that is the same for the same value in another process."""
    if isinstance(value, nn.Module):
        return type(value).__name__
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{xxhash.xxh3_64_hexdigest(np.ascontiguousarray(value).tobytes())}"
    if isinstance(value, dict):
        return str(sorted((described(k), described(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return str([described(item) for item in value])
    if callable(value):
        try:
            source = inspect.getsource(value)
        except (OSError, TypeError):
            source = ""
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}{source}"
    return repr(value)
