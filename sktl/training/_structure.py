"""Batches are tensors, or tuples, lists and dicts of them; what the loop must know of that stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Batch = Any


def map_tensors(function: Callable[[Tensor], Any], batch: Batch) -> Batch:
    """Return the same structure with `function` applied to its tensors; anything else stays as it is."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {name: map_tensors(function, part) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(function, part) for part in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(function, part) for part in batch)
    return batch


def iter_tensors(batch: Batch) -> Iterator[Tensor]:
    """Yield the tensors of a structure in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (Mapping, tuple, list)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from iter_tensors(part)


def as_tensors(batch: Batch) -> Batch:
    """Return the same structure with NumPy arrays as tensors that share their memory."""
    if isinstance(batch, np.ndarray):
        return torch.as_tensor(batch)
    if isinstance(batch, Mapping):
        return {name: as_tensors(part) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(as_tensors(part) for part in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(as_tensors(part) for part in batch)
    return batch


def move(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on `device`; copies to CUDA go through pinned memory and do not wait."""
    if device.type != "cuda":
        return map_tensors(lambda tensor: tensor.to(device), batch)

    def send(tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu" and not tensor.is_pinned():
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    return map_tensors(send, batch)


def n_rows(batch: Batch) -> int:
    """Return the number of rows of the batch's first tensor; 1 where there is none (an episode, say)."""
    while isinstance(batch, (tuple, list)) and batch:
        batch = batch[0]
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 1
    for tensor in iter_tensors(batch):
        return tensor.shape[0] if tensor.ndim else 1
    return 1


def split_rows(batch: Batch, size: int) -> list[Batch]:
    """Return the batch cut into parts of at most `size` rows; tensors without rows and other values go to each part.

    Raises
    ------
    ValueError
        If the tensors differ in their number of rows.
    """
    rows = n_rows(batch)
    lengths = {tensor.shape[0] for tensor in iter_tensors(batch) if tensor.ndim}
    if lengths - {rows}:
        raise ValueError(
            f"A batch whose tensors have {sorted(lengths)} rows cannot be cut into micro-batches by row; "
            "give the loop a `split` of its own, or split=None to forbid cutting."
        )

    def rows_from(start: int) -> Batch:
        return map_tensors(lambda t: t[start : start + size] if t.ndim else t, batch)

    return [rows_from(start) for start in range(0, rows, size)]


def features_and_target(batch: Batch) -> tuple[Any, Any, Any]:
    """Return (X, y, sample_weight or None) of a supervised batch: a tuple in that order, or a dict of these names."""
    if isinstance(batch, Mapping):
        return batch["X"], batch.get("y"), batch.get("sample_weight")
    if isinstance(batch, Tensor):
        return batch, None, None
    return batch[0], batch[1] if len(batch) > 1 else None, batch[2] if len(batch) > 2 else None
