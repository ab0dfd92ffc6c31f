"""Where an adaptation stands, kept after each epoch: what tells it from others, and what it goes on from."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import xxhash
from scipy import sparse

from sktl._identity import callbacks_that_matter, cannot_be_resumed, key_of_settings
from sktl.adaptation.joint._network import DEFAULT_BACKBONE
from sktl.adaptation.joint._roles import Roles
from sktl.backbones import load_backbone
from sktl.exceptions import CheckpointWarning
from sktl.training import OF_TRAININGS, CheckpointFolder, KeepEpochs

NO_SETTINGS = ("callbacks", "checkpoint_dir", "verbose", "device", "random_state", "n_jobs")


def kept_training(
    estimator: Any,
    data: Any,
    codes: np.ndarray,
    weight: np.ndarray | None,
    roles: Roles,
    seed: int,
    lasting: contextlib.ExitStack,
) -> tuple[KeepEpochs | None, dict[str, Any] | None, int]:
    """Return what keeps the epochs of this training, the state to go on from if there is one, and the seed to use.

    A training without `random_state` goes on with the seed that it was begun with.
    """
    if estimator.checkpoint_dir is None:
        return None, None, seed
    key, unknown = _key(estimator, data, codes, weight, roles, None if estimator.random_state is None else seed)
    folder = CheckpointFolder(estimator.checkpoint_dir, key)
    if unknown:
        message = cannot_be_resumed(estimator, f"checkpoint_dir={str(estimator.checkpoint_dir)!r}", unknown)
        warnings.warn(message, CheckpointWarning, stacklevel=6)
        return None, None, seed
    kinds = OF_TRAININGS | ({"best": dict} if callable(estimator.selection) else {})
    saved = lasting.enter_context(folder).latest(kinds)
    seed = seed if saved is None else saved["seed"]
    return KeepEpochs(folder, {"seed": seed, "best": {}}), saved, seed


def _key(
    estimator: Any, data: Any, codes: np.ndarray, weight: np.ndarray | None, roles: Roles, seed: int | None
) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a digest of what decides a training, and what of the settings could not be made out, by name."""
    settings = {name: value for name, value in estimator.get_params(deep=False).items() if name not in NO_SETTINGS}
    settings["callbacks"] = callbacks_that_matter(estimator.callbacks)
    settings["seed"], settings["the class"] = seed, type(estimator)
    is_named = isinstance(estimator.backbone, str) and not isinstance(data, np.ndarray) and not sparse.issparse(data)
    if is_named and estimator.weights is not None:
        name = DEFAULT_BACKBONE if estimator.backbone == "auto" else estimator.backbone
        settings["values of the backbone"] = load_backbone(name, estimator.weights).fingerprint
    settings_key, unknown = key_of_settings(settings)
    digest = xxhash.xxh3_128(settings_key.encode())
    held = (codes, weight, *roles.sources, roles.target, roles.target_labelled)
    for values in (*held, *_parts_of(data, estimator.n_jobs)):
        if values is None or isinstance(values, bytes):
            digest.update(values or b"None;")
        else:
            digest.update(f"{values.dtype}{values.shape};".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest(), unknown


def _parts_of(data: Any, n_jobs: int | None) -> tuple[Any, ...]:
    """Return what tells rows apart: arrays, or the digests of pictures."""
    if sparse.issparse(data):
        rows = data.tocsr()
        return rows.data, rows.indices, rows.indptr, np.asarray(rows.shape)
    return (data,) if isinstance(data, np.ndarray) else (b"".join(data.digests(0, len(data), n_jobs)),)
