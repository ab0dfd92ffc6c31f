"""Training data on the device if it fits, decoded anew each epoch if not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from sktl._inputs import as_rows
from sktl._preprocessing import Preprocessing
from sktl.finetuning._batch_changes import Change, chained, picture_change
from sktl.images import PictureSource, iter_batches, with_margin
from sktl.training import RESIDENT_BYTES, RESIDENT_SHARE, StreamBatches, TensorBatches, unit_mean

DECODED_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Examples:
    """Rows or pictures with targets.

    Attributes
    ----------
    data : array (n, d), or PictureSource
        All of them.
    indices : array of int
        The ones that are meant.
    target : array
        One a meant example.
    weight : float64 array or None
        One a meant example, as the user gave them.
    mean_weight : float or None
        What a weight of 1 in the loss stands for; None is the mean of these weights.
    """

    data: np.ndarray | PictureSource
    indices: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None
    mean_weight: float | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, which: np.ndarray) -> Examples:
        """Return some of them."""
        weight = None if self.weight is None else self.weight[which]
        return Examples(self.data, self.indices[which], self.target[which], weight)

    @property
    def labels(self) -> tuple[np.ndarray, ...]:
        """Return (target,) or (target, weight)."""
        return (self.target,) if self.weight is None else (self.target, self.weight)

    @property
    def batch_labels(self) -> tuple[np.ndarray, ...]:
        """Return the same for batches: weights are divided by their mean over all examples, never over a batch."""
        return (self.target,) if self.weight is None else (self.target, unit_mean(self.weight, self.mean_weight))


def make_batches(
    examples: Examples,
    batch_size: int,
    *,
    device: torch.device,
    preprocessing: Preprocessing | None,
    augment: Any = None,
    mix: Change | None = None,
    is_training: bool = True,
    steps_per_epoch: int | None = None,
    n_jobs: int | None = None,
    seed: int = 0,
) -> TensorBatches | StreamBatches:
    """Return the batches of examples; `preprocessing` is that of pictures."""
    changes = [] if mix is None else [mix]
    options: dict[str, Any] = {"device": device, "seed": seed}
    in_order: dict[str, Any] = {"shuffle": is_training, "last": "spread" if is_training else "keep"}
    if isinstance(examples.data, np.ndarray):
        rows = as_rows(examples.data[examples.indices]).numpy()
        return TensorBatches(
            (rows, *examples.batch_labels), batch_size, **in_order, **options,
            transform=chained(changes), steps_per_epoch=steps_per_epoch,
        )  # fmt: skip
    assert preprocessing is not None
    changes.insert(0, picture_change(augment, preprocessing.size))
    held = with_margin(preprocessing, augment)
    n_bytes = len(examples) * held.size[0] * held.size[1] * 3
    if n_bytes <= resident_bytes(device):
        pictures = _decoded(examples, held, n_jobs)
        return TensorBatches(
            (pictures, *examples.batch_labels), batch_size, **in_order, **options,
            transform=chained(changes), steps_per_epoch=steps_per_epoch,
        )  # fmt: skip
    return StreamBatches(
        _Epochs(examples, held, batch_size, is_training, n_jobs, steps_per_epoch),
        n_batches=steps_per_epoch or -(-len(examples) // batch_size),
        transform=chained(changes),
        **options,
    )


def resident_bytes(device: torch.device) -> float:
    """Return how many bytes of training data may stay on a device."""
    if device.type == "cuda":
        return min(RESIDENT_BYTES, RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
    return RESIDENT_BYTES


def _decoded(examples: Examples, preprocessing: Preprocessing, n_jobs: int | None) -> torch.Tensor:
    out = torch.empty((len(examples), *preprocessing.size, 3), dtype=torch.uint8)
    start = 0
    options: Any = {"batch_size": DECODED_AT_ONCE, "n_jobs": n_jobs, "indices": examples.indices}
    for which, batch in iter_batches(examples.data, preprocessing, **options):  # type: ignore[arg-type]
        out[start : start + len(which)] = batch.permute(0, 2, 3, 1)
        start += len(which)
    return out


@dataclasses.dataclass(frozen=True)
class _Epochs:
    """Opens one epoch of decoded pictures."""

    examples: Examples
    preprocessing: Preprocessing
    batch_size: int
    shuffles: bool
    n_jobs: int | None
    n_batches: int | None

    def __call__(self, generator: torch.Generator) -> Iterator[tuple[Any, ...]]:
        n = len(self.examples)
        order = torch.randperm(n, generator=generator).numpy() if self.shuffles else np.arange(n)
        if self.n_batches is not None:
            order = np.resize(order, self.n_batches * self.batch_size)
        source: Any = self.examples.data
        batches = iter_batches(
            source,
            self.preprocessing,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            indices=self.examples.indices[order],
        )
        start, all_labels = 0, self.examples.batch_labels
        for which, batch in batches:
            rows = order[start : start + len(which)]
            start += len(which)
            yield (batch.permute(0, 2, 3, 1), *(labels[rows] for labels in all_labels))
