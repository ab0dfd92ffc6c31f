"""Which training is which, and where one of an estimator is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xxhash

from sktl._identity import callbacks_that_matter, cannot_be_resumed, key_of_settings
from sktl._warn_once import warn_user
from sktl.exceptions import CheckpointWarning
from sktl.training._checkpoints import OF_TRAININGS, CheckpointFolder, KeepEpochs
from sktl.training._processes import Processes

Unknown = dict[str, tuple[str, ...]]


def training_key(
    estimator: Any, without: Iterable[str], settings: Mapping[str, Any], data: Iterable[Any]
) -> tuple[str, Unknown]:
    """Return a digest of what decides a training, and what of the settings could not be made out, by name.

    Parameters
    ----------
    estimator : estimator
        Its parameters and its class count, and those of its callbacks that may change what is learned.
    without : iterable of str
        The parameters that do not.
    settings : mapping
        What else decides; it goes before parameters of the same names.
    data : iterable of array, bytes or None
        The rows, labels and weights.
    """
    left_out = set(without)
    params = {name: value for name, value in estimator.get_params(deep=False).items() if name not in left_out}
    own = {"callbacks": callbacks_that_matter(estimator.callbacks), "the class": type(estimator)}
    settings_key, unknown = key_of_settings({**params, **own, **settings})
    digest = xxhash.xxh3_128(settings_key.encode())
    for values in data:
        if values is None or isinstance(values, bytes):
            digest.update(b"None;" if values is None else f"{len(values)};".encode() + values)
        else:
            digest.update(f"{values.dtype}{tuple(values.shape)};".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest(), unknown


def kept_training(
    estimator: Any,
    key: str,
    unknown: Unknown,
    seed: int,
    lasting: contextlib.ExitStack,
    *,
    kinds: Mapping[str, type] | None = None,
    extra: Mapping[str, Any] | None = None,
    processes: Processes | None = None,
) -> tuple[KeepEpochs | None, dict[str, Any] | None, int]:
    """Return what keeps the epochs of this training, the state to go on from if there is one, and the seed to use.

    A training without `random_state` goes on with the seed that it was begun with. Where something could not be made
    out nothing is kept, and a warning says what.

    Parameters
    ----------
    estimator : estimator
        With a `checkpoint_dir`.
    key, unknown
        Of `training_key`.
    seed : int
        For a new training.
    lasting : ExitStack
        Holds the folder until the fit is over.
    kinds : mapping of str to type, optional
        What a state has to hold beside what all have.
    extra : mapping, optional
        Kept with each state.
    processes : Processes, optional
        Those that share the training: the first one reads and writes.
    """
    folder = CheckpointFolder(estimator.checkpoint_dir, key)
    if unknown:
        message = cannot_be_resumed(estimator, f"checkpoint_dir={str(estimator.checkpoint_dir)!r}", unknown)
        warn_user(message, CheckpointWarning)
        return None, None, seed
    saved = None
    if processes is None or processes.is_first:
        saved = lasting.enter_context(folder).latest({**OF_TRAININGS, **(kinds or {})})
    saved = saved if processes is None else processes.agreed(saved)
    seed = seed if saved is None else saved["seed"]
    return KeepEpochs(folder, {"seed": seed, **(extra or {})}), saved, seed
