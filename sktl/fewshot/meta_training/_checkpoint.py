"""Where a meta-training stands, kept after each epoch: what tells it from others, and what it goes on from."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import xxhash
from torch import Tensor

from sktl._identity import callbacks_that_matter, cannot_be_resumed, key_of_settings
from sktl.backbones import load_backbone
from sktl.exceptions import CheckpointWarning
from sktl.fewshot.meta_training._inputs import OWN_NETWORKS
from sktl.training import OF_TRAININGS, CheckpointFolder, KeepEpochs

NO_SETTINGS = ("callbacks", "checkpoint_dir", "verbose", "warm_start", "device", "random_state")


def kept_training(
    estimator: Any, rows: Tensor, targets: Any, seed: int, lasting: contextlib.ExitStack
) -> tuple[KeepEpochs | None, dict[str, Any] | None, int]:
    """Return what keeps the epochs of this training, the state to go on from if there is one, and the seed to use.

    A training without `random_state` goes on with the seed that it was begun with.
    """
    if estimator.checkpoint_dir is None:
        return None, None, seed
    key, unknown = _key(estimator, rows, targets, None if estimator.random_state is None else seed)
    folder = CheckpointFolder(estimator.checkpoint_dir, key)
    if unknown:
        message = cannot_be_resumed(estimator, f"checkpoint_dir={str(estimator.checkpoint_dir)!r}", unknown)
        warnings.warn(message, CheckpointWarning, stacklevel=6)
        return None, None, seed
    saved = lasting.enter_context(folder).latest(OF_TRAININGS)
    seed = seed if saved is None else saved["seed"]
    return KeepEpochs(folder, {"seed": seed}), saved, seed


def _key(estimator: Any, rows: Tensor, targets: Any, seed: int | None) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a digest of what decides a training, and what of the settings could not be made out, by name."""
    settings = {name: value for name, value in estimator.get_params(deep=False).items() if name not in NO_SETTINGS}
    settings["callbacks"] = callbacks_that_matter(estimator.callbacks)
    settings["seed"], settings["the class"] = seed, type(estimator)
    settings["optimizer"] = estimator._optimizer()
    if isinstance(estimator.module, str) and estimator.module not in OWN_NETWORKS:
        settings["weights"] = load_backbone(estimator.module).fingerprint
    if estimator.warm_start and hasattr(estimator, "_learned"):
        settings["start"] = estimator._learned.tensors
    settings_key, unknown = key_of_settings(settings)
    digest = xxhash.xxh3_128(f"{settings_key};{rows.dtype};{tuple(rows.shape)};".encode())
    digest.update(rows.contiguous().numpy().tobytes())
    for values in (targets.labels, targets.groups, targets.values):
        digest.update(b"None;" if values is None else f"{values.dtype}{values.shape};".encode())
        digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest(), unknown
