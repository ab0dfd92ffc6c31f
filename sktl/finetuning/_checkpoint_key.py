"""Which training is which: a digest of the data, the parameters and where it starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash

from sktl._identity import callbacks_that_matter, key_of_settings
from sktl.finetuning._batches import Examples
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._networks import PictureSpec, RowSpec

IDENTITY_FORMAT = 2
WITHOUT_EFFECT = {  # on what is learned, but for rounding; the network and the seed are taken in by themselves
    "backbone", "weights", "cache", "checkpoint_dir", "compile", "device", "n_jobs", "random_state", "verbose",
}  # fmt: skip


def training_identity(
    estimator: Any,
    spec: PictureSpec | RowSpec,
    examples: Examples,
    learned: FittedNetwork | None,
    seed: int | None,
    valid: Examples | None = None,
    groups: Any = None,
) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return hexadecimal digits that change with whatever changes the result of a training.

    Parameters
    ----------
    estimator : estimator
        Its parameters.
    spec : PictureSpec or RowSpec
        Stands for the network.
    examples : Examples
        All that is trained or validated on.
    learned : FittedNetwork or None
        What training goes on from.
    seed : int or None
        None where every fit draws one.
    valid : Examples or None
        Data of the user's own that is validated on.
    groups : array-like or None
        What is held out together.

    Returns
    -------
    digits : str
    unknown : dict
        What could not be made out, by parameter: if there is any, another training may have the same digits.
    """
    params = estimator.get_params(deep=False)
    settings = {name: value for name, value in params.items() if name not in WITHOUT_EFFECT}
    settings["callbacks"] = callbacks_that_matter(params["callbacks"])
    settings["the class"] = type(estimator)
    settings_key, unknown = key_of_settings(settings)
    digest = xxhash.xxh3_128(repr((IDENTITY_FORMAT, settings_key, seed)).encode())
    digest.update((spec.fingerprint if isinstance(spec, PictureSpec) else repr(spec.n_features)).encode())
    if isinstance(spec, PictureSpec) and spec.identity is not None and spec.identity.unknown:
        unknown["backbone"] = spec.identity.unknown
    for part in (examples,) if valid is None else (examples, valid):
        for values in (part.indices, *part.labels):
            digest.update(np.ascontiguousarray(values).tobytes())
        if isinstance(part.data, np.ndarray):
            digest.update(np.ascontiguousarray(part.data).tobytes())
        else:
            digest.update(b"".join(part.data.digests(0, len(part.data), estimator.n_jobs)))
    if groups is not None:
        digest.update(np.unique(np.asarray(groups), return_inverse=True)[1].tobytes())
    if learned is not None:
        for name, tensor in learned.tensors.items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest(), unknown
