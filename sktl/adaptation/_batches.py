"""Batches that hold both domains, one after the other."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sktl._inputs import as_rows, decoded, in_channels
from sktl._preprocessing import Preprocessing
from sktl.images import PictureSource, iter_batches
from sktl.training import RESIDENT_BYTES, RESIDENT_SHARE, TensorBatches

Change = Callable[[Tensor, torch.Generator], Tensor]
BATCHES_AT_ONCE = 1024  # put in order at once, of an epoch of any length


class DomainBatch(NamedTuple):
    """Source rows domain by domain, labelled target rows, other target rows, second views of all target rows.

    Attributes
    ----------
    X : Tensor (n, ...)
    labels : Tensor (n_labelled,), int64
    weights : Tensor (n_labelled,) or None
    progress : float
        Share of the training that has passed.
    """

    X: Tensor
    labels: Tensor
    weights: Tensor | None
    progress: float


@dataclass(frozen=True)
class Layout:
    """How many rows of each kind a batch holds.

    Attributes
    ----------
    sizes : tuple of int
        Rows of each source domain.
    n_target_labelled, n_target : int
        Target rows with a label, and all of them.
    has_second_view : bool
        Whether target rows come twice.
    mean_weights : tuple of float or None
        Mean weight of all rows of each source domain.
    n_apart : int
        The first so many target rows are learned, and no other loss is shown them.
    """

    sizes: tuple[int, ...]
    n_target_labelled: int
    n_target: int
    has_second_view: bool = False
    mean_weights: tuple[float, ...] | None = None
    n_apart: int = 0

    @property
    def n_source(self) -> int:
        """Source rows."""
        return sum(self.sizes)

    @property
    def n_labelled(self) -> int:
        """Rows whose label is learned; they come first."""
        return self.n_source + self.n_target_labelled


class DomainBatches:
    """Draws every part of the batch from its own rows, so that each domain has its share whatever its size.

    Each part goes through all of its rows before one comes again. A part with fewer rows than its share of a batch
    holds them several times.

    Parameters
    ----------
    take : callable(order) -> iterator of Tensor
        Yields X of the rows in ``order`` (n_batches, n_rows), batch by batch.
    labels, weights : Tensor (n,), weights may be None
        On the device.
    parts : sequence of (array, int)
        Rows of each part, and how many of them a batch holds.
    layout : Layout
        What the parts are.
    n_batches : int
        Of an epoch.
    n_epochs : int
        Of the training, to tell its progress.
    change, second_change : callable(X, generator) -> X, optional
        Random changes of all rows, and the strong ones that make second views of the target rows.
    device : torch.device
        Where batches live.
    seed : int
        Of the order, and of the changes.
    """

    def __init__(
        self,
        take: Callable[[Tensor], Iterator[Tensor]],
        labels: Tensor,
        weights: Tensor | None,
        parts: Sequence[tuple[np.ndarray, int]],
        layout: Layout,
        *,
        n_batches: int,
        n_epochs: int,
        device: torch.device,
        change: Change | None = None,
        second_change: Change | None = None,
        seed: int = 0,
    ):
        self.take = take
        self.labels = labels
        self.weights = weights
        self.layout = layout
        self.n_batches = n_batches
        self.n_steps = n_batches * n_epochs
        self.change = change
        self.second_change = second_change
        self.n_drawn = 0
        self.generator = torch.Generator(device).manual_seed(seed)
        self.parts = [
            TensorBatches(
                torch.from_numpy(np.tile(rows, -(-size // len(rows)))), size, steps_per_epoch=n_batches, seed=seed + i
            )
            for i, (rows, size) in enumerate(parts)
        ]

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[DomainBatch]:
        drawn = zip(*self.parts)
        while some := list(itertools.islice(drawn, BATCHES_AT_ONCE)):
            yield from self._in_order(torch.stack([torch.cat(parts) for parts in some]))

    def _in_order(self, order: Tensor) -> Iterator[DomainBatch]:
        """Yield the batches of some rows, (n_batches, n_rows)."""
        labelled = order[:, : self.layout.n_labelled].to(self.labels.device)
        labels = self.labels[labelled]
        weights = None if self.weights is None else self.weights[labelled]
        with contextlib.closing(self.take(order)) as pictures:  # type: ignore[type-var]
            for i, X in enumerate(pictures):
                self.n_drawn += 1
                progress = (self.n_drawn - 1) / self.n_steps
                yield DomainBatch(self._changed(X), labels[i], None if weights is None else weights[i], progress)

    def _changed(self, X: Tensor) -> Tensor:
        if not self.layout.has_second_view:
            return X if self.change is None else self.change(X, self.generator)
        target = X[self.layout.n_source :]
        second = target if self.second_change is None else self.second_change(target, self.generator)
        first = X if self.change is None else self.change(X, self.generator)
        return torch.cat([first.to(second.dtype), second])

    def state_dict(self) -> dict[str, Tensor]:
        """Return what decides the epochs to come."""
        state = {f"part{i}": part.state_dict()["generator"] for i, part in enumerate(self.parts)}
        return {**state, "generator": self.generator.get_state(), "n_drawn": torch.tensor(self.n_drawn)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state."""
        for i, part in enumerate(self.parts):
            part.load_state_dict({"generator": state[f"part{i}"]})
        self.generator.set_state(state["generator"].cpu())
        self.n_drawn = int(state["n_drawn"])


@dataclass(frozen=True)
class FromTensor:
    """Rows of a tensor on the device."""

    X: Tensor

    def __call__(self, order: Tensor) -> Iterator[Tensor]:
        """Yield the rows of each batch."""
        for rows in order.to(self.X.device):
            yield self.X.index_select(0, rows)


@dataclass(frozen=True)
class FromSparse:
    """Rows of a CSR matrix that is too large to be held dense."""

    X: sparse.csr_matrix
    device: torch.device

    def __call__(self, order: Tensor) -> Iterator[Tensor]:
        """Yield the rows of each batch."""
        for rows in order.numpy():
            yield as_rows(self.X[rows]).to(self.device)


@dataclass(frozen=True)
class FromPictures:
    """Pictures that are decoded anew each epoch."""

    source: PictureSource
    preprocessing: Preprocessing
    n_channels: int
    n_jobs: int | None
    device: torch.device

    def __call__(self, order: Tensor) -> Iterator[Tensor]:
        """Yield the pictures of each batch."""
        options: Any = {"batch_size": order.shape[1], "n_jobs": self.n_jobs, "indices": order.reshape(-1).numpy()}
        with contextlib.closing(iter_batches(self.source, self.preprocessing, **options)) as batches:  # type: ignore[type-var]
            for _, batch in batches:
                yield in_channels(batch, self.n_channels).to(self.device)


def taker(
    data: Any, preprocessing: Preprocessing | None, n_channels: int, n_jobs: int | None, device: torch.device
) -> FromTensor | FromSparse | FromPictures:
    """Return what yields batches of these rows or pictures: from memory where they fit, else made anew each time."""
    limit: float = RESIDENT_BYTES
    if device.type == "cuda":
        limit = min(limit, RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
    if preprocessing is None:
        if sparse.issparse(data) and 4 * data.shape[0] * data.shape[1] > limit:
            return FromSparse(data, device)
        return FromTensor(as_rows(data).to(device))
    height, width = preprocessing.size
    if len(data) * n_channels * height * width > limit:
        return FromPictures(data, preprocessing, n_channels, n_jobs, device)
    return FromTensor(decoded(data, preprocessing, n_channels, n_jobs).to(device))
