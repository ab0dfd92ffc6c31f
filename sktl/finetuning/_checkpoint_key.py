"""Which training is which: a digest of the data, the parameters and where it starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl.finetuning._batches import Examples
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._networks import PictureSpec, RowSpec
from sktl.training import training_key

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
    settings: dict[str, Any] = {"seed": seed}
    settings["network"] = spec.fingerprint if isinstance(spec, PictureSpec) else repr(spec.n_features)
    data: list[Any] = []
    for part in (examples,) if valid is None else (examples, valid):
        data += [part.indices, *part.labels]
        if isinstance(part.data, np.ndarray):
            data.append(part.data)
        else:
            data.append(b"".join(part.data.digests(0, len(part.data), estimator.n_jobs)))
    data.append(None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1])
    for name, tensor in () if learned is None else learned.tensors.items():
        data += [name.encode(), tensor.contiguous().numpy()]
    key, unknown = training_key(estimator, WITHOUT_EFFECT, settings, data)
    if isinstance(spec, PictureSpec) and spec.identity is not None and spec.identity.unknown:
        unknown["backbone"] = spec.identity.unknown
    return key, unknown
