"""Where an adaptation stands, kept after each epoch: what tells it from others."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from scipy import sparse

from sktl.adaptation.joint._network import DEFAULT_BACKBONE
from sktl.adaptation.joint._roles import Roles
from sktl.backbones import load_backbone
from sktl.training import KeepEpochs, kept_training, processes_of, training_key

NO_SETTINGS = ("callbacks", "checkpoint_dir", "verbose", "device", "random_state", "n_jobs")


def kept_adaptation(
    estimator: Any,
    data: Any,
    y_values: np.ndarray,
    weight: np.ndarray | None,
    roles: Roles,
    seed: int,
    lasting: contextlib.ExitStack,
) -> tuple[KeepEpochs | None, dict[str, Any] | None, int]:
    """Return what keeps the epochs of this training, the state to go on from if there is one, and the seed to use."""
    if estimator.checkpoint_dir is None:
        return None, None, seed
    settings: dict[str, Any] = {"seed": None if estimator.random_state is None else seed}
    is_named = isinstance(estimator.backbone, str) and not isinstance(data, np.ndarray) and not sparse.issparse(data)
    if is_named and estimator.weights is not None:
        name = DEFAULT_BACKBONE if estimator.backbone == "auto" else estimator.backbone
        settings["values of the backbone"] = load_backbone(name, estimator.weights).fingerprint
    held = (y_values, weight, roles.target, roles.target_labelled, *roles.sources)
    key, unknown = training_key(estimator, NO_SETTINGS, settings, (*held, *_parts_of(data, estimator.n_jobs)))
    kinds: dict[str, type] = {"best": dict} if callable(estimator.selection) else {}
    shared = processes_of(estimator.device)
    return kept_training(estimator, key, unknown, seed, lasting, kinds=kinds, extra={"best": {}}, processes=shared)


def _parts_of(data: Any, n_jobs: int | None) -> tuple[Any, ...]:
    """Return what tells rows apart: arrays, or the digests of pictures."""
    if sparse.issparse(data):
        rows = data.tocsr()
        return rows.data, rows.indices, rows.indptr, np.asarray(rows.shape)
    return (data,) if isinstance(data, np.ndarray) else (b"".join(data.digests(0, len(data), n_jobs)),)
