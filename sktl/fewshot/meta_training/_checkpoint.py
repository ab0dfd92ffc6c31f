"""Where a meta-training stands, kept after each epoch: what tells it from others."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import Tensor

from sktl.backbones import load_backbone
from sktl.fewshot.meta_training._inputs import OWN_NETWORKS
from sktl.training import KeepEpochs, kept_training, processes_of, training_key

NO_SETTINGS = ("callbacks", "checkpoint_dir", "verbose", "warm_start", "device", "random_state")


def kept_meta_training(
    estimator: Any, rows: Tensor, targets: Any, seed: int, lasting: contextlib.ExitStack
) -> tuple[KeepEpochs | None, dict[str, Any] | None, int]:
    """Return what keeps the epochs of this training, the state to go on from if there is one, and the seed to use."""
    if estimator.checkpoint_dir is None:
        return None, None, seed
    settings: dict[str, Any] = {"seed": None if estimator.random_state is None else seed}
    settings["optimizer"] = estimator._optimizer()
    if isinstance(estimator.backbone, str) and estimator.backbone not in OWN_NETWORKS:
        settings["weights"] = load_backbone(estimator.backbone).fingerprint
    if estimator.warm_start and hasattr(estimator, "_learned"):
        settings["start"] = estimator._learned.tensors
    data = (rows.contiguous().numpy(), targets.labels, targets.groups, targets.values)
    key, unknown = training_key(estimator, NO_SETTINGS, settings, data)
    return kept_training(estimator, key, unknown, seed, lasting, processes=processes_of(estimator.device))
