"""A training that is saved after each epoch, and goes on from there."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import xxhash
from safetensors import safe_open
from skorch.callbacks import Callback
from torch import Tensor

from sktl._identity import key_of_settings
from sktl.exceptions import CheckpointWarning
from sktl.training import load_training_state, pack, training_state, unpack, write_whole


class TrainingCheckpoint(Callback):
    """Writes the training's state after each epoch: tensors, and JSON in their file's header; no pickle.

    Parameters
    ----------
    path : path-like
        The file.
    fingerprint : str
        Of the data and the parameters: another training's file is refused.
    """

    never_stops = True  # an interrupt while it writes is the user's

    def __init__(self, path: Any, fingerprint: str):
        self.path = path
        self.fingerprint = fingerprint
        self._has_failed = False

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the file anew, a reader never sees half of it; where that fails, training goes on without."""
        if self._has_failed:
            return
        tensors, rest = pack(training_state(net))
        path = Path(self.path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, tensors, {"fingerprint": self.fingerprint, "rest": json.dumps(rest)})
        except OSError as error:
            self._has_failed = True
            warnings.warn(
                f"checkpoint={str(self.path)!r} can no longer be written ({error.strerror or error}); training goes on "
                "without.",
                CheckpointWarning,
                stacklevel=2,
            )

    def restore(self, net: Any) -> bool:
        """Put the net where the file was written; returns False where there is none.

        Raises
        ------
        ValueError
            If the file is of another training.
        """
        if not Path(self.path).exists():
            return False
        tensors, header = read_tensors(self.path)
        if header.get("fingerprint") != self.fingerprint:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is of a training on other data or with other parameters. "
                "Remove the file, or name another."
            )
        load_training_state(net, unpack(tensors, json.loads(header["rest"])))
        return True


def fingerprint_of(settings: dict[str, Any], X: Tensor, targets: Any) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a digest of what decides a training, and what of the settings could not be made out, by name."""
    settings_key, unknown = key_of_settings(settings)
    digest = xxhash.xxh3_128(f"{settings_key};{X.dtype};{tuple(X.shape)};".encode())
    digest.update(X.contiguous().numpy().tobytes())
    for values in (targets.labels, targets.groups, targets.values):
        digest.update(b"None;" if values is None else f"{values.dtype}{values.shape};".encode())
        digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest(), unknown


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; tensors that share memory, or are of no elements, are fine."""
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_whole(path, safetensors.torch.save(own, header))


def read_tensors(path: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors, copied out of the file, and the header of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
