"""Batches cut from tensors that live on the device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sktl.training._structure import Batch, as_tensors, iter_tensors, map_tensors

GATHERED_BYTES = 4 * 2**20  # rows put in order at once: several small batches a gather, still within the CPU's cache
BATCHES_AT_ONCE = 1024  # put in order at once, where an epoch may hold any number of them
RESIDENT_BYTES = 2 * 2**30  # rows and decoded pictures up to here stay in memory: some 14,000 at 224 pixels
RESIDENT_SHARE = 0.25  # of the memory that is free on a GPU
LAST = ("keep", "drop", "spread")

Transform = Callable[[Batch, torch.Generator], Batch]


class TensorBatches:
    """Slices of tensors in a fresh random order each epoch.

    Every `iter` is one epoch. The order comes from a generator of its own on the tensors' device, so that neither
    the global generators nor other parts of the training move it.

    Parameters
    ----------
    tensors : Tensor, or tuple, list or dict of tensors (NumPy arrays too)
        All with the same number of rows, e.g. ``(X, y)`` or ``{"X": X, "y": y, "sample_weight": w}``. Batches have
        the same structure.
    batch_size : int
        Rows a batch.
    shuffle : bool, default=True
        Draw a permutation an epoch; false goes through the rows in order, as views on the tensors.
    last : {"keep", "drop", "spread"}, default="keep"
        What becomes of the rows left after the whole batches: a smaller batch, none (unless they are all there
        is), or all batches made even, so that none is tiny (where batch norm would meet a single row).
    steps_per_epoch : int, optional
        Batches an epoch, whatever the number of rows: one permutation after another is cut into batches of
        ``min(batch_size, n_rows)``.
    transform : callable(batch, generator) -> batch, optional
        Applied to each batch on the device (augmentation), drawing from the given generator; it returns new
        tensors and leaves its input alone.
    device : torch.device or str, optional
        Where the tensors are moved first; by default they stay where they are.
    seed : int, default=0
        Of the generator.
    """

    def __init__(
        self,
        tensors: Any,
        batch_size: int,
        *,
        shuffle: bool = True,
        last: str = "keep",
        steps_per_epoch: int | None = None,
        transform: Transform | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
    ):
        tensors = as_tensors(tensors)
        self.tensors = tensors if device is None else map_tensors(lambda t: t.to(device), tensors)
        lengths = {len(tensor) for tensor in iter_tensors(self.tensors)}
        if len(lengths) != 1:
            raise ValueError(f"tensors must all have the same number of rows, and be one at least; got {lengths}.")
        (self.n_rows,) = lengths
        if self.n_rows < 1:
            raise ValueError("tensors must have at least one row; got none.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size!r}.")
        if last not in LAST:
            raise ValueError(f"last must be one of {', '.join(map(repr, LAST))}; got {last!r}.")
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch must be at least 1 or None; got {steps_per_epoch!r}.")
        self.batch_size = min(batch_size, self.n_rows)
        self.shuffle = shuffle
        self.last = last
        self.steps_per_epoch = steps_per_epoch
        self.transform = transform
        self.device = next(iter_tensors(self.tensors)).device
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def __len__(self) -> int:
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        whole, rest = divmod(self.n_rows, self.batch_size)
        return whole + (rest > 0 and self.last != "drop")

    def __iter__(self) -> Iterator[Batch]:
        if self.steps_per_epoch is not None:
            parts = map(self._gathered, self._parts(self.steps_per_epoch))
            batches: Iterator[Batch] = itertools.chain.from_iterable(parts)
        else:
            sizes = self._sizes()
            if self.shuffle:
                batches = self._gathered((sizes, self._permutation()))
            else:
                batches = _slices(self.tensors, sizes)
        return batches if self.transform is None else self._transformed(batches)

    def _sizes(self) -> list[int]:
        n_batches = len(self)
        if self.last == "drop":
            return [self.batch_size] * n_batches
        if self.last == "spread":
            size, rest = divmod(self.n_rows, n_batches)
            return [size + 1] * rest + [size] * (n_batches - rest)
        return [self.batch_size] * (n_batches - 1) + [self.n_rows - self.batch_size * (n_batches - 1)]

    def _permutation(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.n_rows, device=self.device)
        return torch.randperm(self.n_rows, generator=self.generator, device=self.device)

    def _parts(self, n_batches: int) -> Iterator[tuple[list[int], Tensor]]:
        """Yield an epoch of any number of batches part by part: their sizes, and the rows in order."""
        left = torch.empty(0, dtype=torch.int64, device=self.device)
        while n_batches > 0:
            n_here = min(n_batches, BATCHES_AT_ONCE)
            pieces, n_drawn = [left], len(left)
            while n_drawn < n_here * self.batch_size:
                pieces.append(self._permutation())
                n_drawn += self.n_rows
            order = torch.cat(pieces)
            left = order[n_here * self.batch_size :]
            yield [self.batch_size] * n_here, order[: n_here * self.batch_size]
            n_batches -= n_here

    def _gathered(self, part: tuple[list[int], Tensor]) -> Iterator[Batch]:
        sizes, order = part
        row_bytes = sum(t[0].numel() * t.element_size() for t in iter_tensors(self.tensors))
        at_once = max(1, GATHERED_BYTES // max(1, row_bytes * sizes[0]))  # batches a gather
        start = 0
        for first in range(0, len(sizes), at_once):
            some = sizes[first : first + at_once]
            yield from _slices(_take(self.tensors, order[start : start + sum(some)]), some)
            start += sum(some)

    def _transformed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        assert self.transform is not None
        for batch in batches:
            yield self.transform(batch, self.generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the generator's state: what decides the epochs to come."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the state that `state_dict` returned."""
        self.generator.set_state(state["generator"].cpu())


def _take(tensors: Batch, rows: Tensor) -> Batch:
    return map_tensors(lambda tensor: tensor.index_select(0, rows), tensors)


def _slices(tensors: Batch, sizes: list[int]) -> Iterator[Batch]:
    """Yield the first rows in consecutive parts of these sizes."""
    total = sum(sizes)
    if isinstance(tensors, Tensor):
        yield from tensors[:total].split(sizes)
    elif type(tensors) is tuple and all(isinstance(t, Tensor) for t in tensors):
        yield from zip(*(t[:total].split(sizes) for t in tensors))
    else:
        parts = [t[:total].split(sizes) for t in iter_tensors(tensors)]
        for leaves in zip(*parts):
            ready = iter(leaves)
            yield map_tensors(lambda _, ready=ready: next(ready), tensors)  # type: ignore[misc]
