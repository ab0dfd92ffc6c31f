"""Batches that come as they are decoded, for data that does not fit in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from sktl.training._batches import Transform
from sktl.training._structure import Batch, as_tensors, move


class StreamBatches:
    """Batches of a source that is opened anew each epoch, moved to the device.

    The source decodes and prefetches as it likes; it is closed as soon as the epoch ends, by its last batch, by
    an error or by leaving early.

    Parameters
    ----------
    open_epoch : callable(generator) -> iterable of batches
        Opens one epoch; the order of rows is drawn from the given CPU generator. Batches hold tensors or arrays.
    n_batches : int, optional
        Batches an epoch, where it is known; schedules need it (or the loop's `max_steps`).
    device : torch.device or str, default="cpu"
        Where batches go; to CUDA by pinned copies that do not wait.
    transform : callable(batch, generator) -> batch, optional
        Applied to each batch on the device (augmentation), drawing from a generator there.
    seed : int, default=0
        Of both generators.
    """

    def __init__(
        self,
        open_epoch: Callable[[torch.Generator], Iterable[Batch]],
        *,
        n_batches: int | None = None,
        device: torch.device | str = "cpu",
        transform: Transform | None = None,
        seed: int = 0,
    ):
        self.open_epoch = open_epoch
        self.n_batches = n_batches
        self.device = torch.device(device)
        self.transform = transform
        self.generator = torch.Generator().manual_seed(seed)
        self.transform_generator = torch.Generator(self.device).manual_seed(seed)

    def __len__(self) -> int:
        if self.n_batches is None:
            raise TypeError("The number of batches is not known; give StreamBatches its n_batches.")
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        source = iter(self.open_epoch(self.generator))
        try:
            lead = 1 if self.device.type == "cuda" else 0  # there the next copy is under way during a step
            ahead: deque[Batch] = deque()
            for batch in source:
                ahead.append(move(as_tensors(batch), self.device))
                if len(ahead) > lead:
                    yield self._ready(ahead.popleft())
            while ahead:
                yield self._ready(ahead.popleft())
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def _ready(self, batch: Batch) -> Batch:
        return batch if self.transform is None else self.transform(batch, self.transform_generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the generators' states: what decides the epochs to come."""
        return {"generator": self.generator.get_state(), "transform_generator": self.transform_generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the states that `state_dict` returned."""
        self.generator.set_state(state["generator"].cpu())
        self.transform_generator.set_state(state["transform_generator"].cpu())
