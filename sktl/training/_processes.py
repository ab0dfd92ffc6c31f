"""One training shared among the processes that accelerate's launcher has started."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sktl._device import accelerate_state
from sktl._draws import seed_of
from sktl.training._shared_norms import SharedStatistics, learns_statistics
from sktl.training._structure import Batch, iter_tensors, map_tensors, n_rows


class Processes:
    """The processes of a training; every one holds the whole network and runs a share of each batch's rows.

    The update is that of the whole batch, whatever the number of processes; batch norm in training mode takes its
    statistics over all of it.

    Parameters
    ----------
    rank, count : int
        Which process this is, and how many there are.
    """

    def __init__(self, rank: int, count: int):
        self.rank = rank
        self.count = count

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """Return this process's rows and 1, or any row and 0 where there are fewer rows than processes.

        Raises
        ------
        ValueError
            If the batch has tensors of other lengths: it cannot be shared by rows.
        """
        rows = n_rows(batch)
        if {tensor.shape[0] for tensor in iter_tensors(batch) if tensor.ndim} - {rows}:
            raise ValueError("A batch whose tensors differ in their number of rows cannot be shared among processes.")
        mine = slice(self.rank, None, self.count) if self.rank < rows else slice(0, 1)
        return map_tensors(lambda t: t[mine] if t.ndim else t, batch), float(self.rank < rows)

    def together(self, module: nn.Module, rows: int) -> AbstractContextManager | None:
        """Return the block in which a step runs on shares of so many rows; None where no layer looks at others' rows.

        Raises
        ------
        ValueError
            If a process has no row of its own, but batch norm asks for one.
        """
        if not learns_statistics(module):
            return None
        self.check_rows(rows, "A batch")
        return SharedStatistics(self.gathered)

    def check_rows(self, rows: int, what: str) -> None:
        """Raise a ValueError if there are fewer rows than processes."""
        if rows < self.count:
            raise ValueError(
                f"{what} of {rows} row(s) cannot be shared among {self.count} processes: each needs one at least. Use "
                "a larger batch, or start fewer processes."
            )

    def n_mine(self, n: int) -> int:
        """Return how many of a batch's first `n` rows are in this process's share."""
        return len(range(self.rank, n, self.count))

    def through(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Return ``function(rows)``, (n, ...), of which each process has computed its share; gradients go back there.

        What each process makes of the whole counts for 1 / count: where all compute the same loss of it, the mean of
        the processes' gradients is the loss's.
        """
        n = len(rows)
        self.check_rows(n, "A batch")
        with SharedStatistics(self.gathered):
            own = function(rows[self.rank :: self.count])
        most = -(-n // self.count)
        if len(own) < most:
            own = torch.cat([own, own[:1]])
        return self.gathered(own).transpose(0, 1).flatten(0, 1)[:n]

    def gathered(self, tensor: Tensor) -> Tensor:
        """Return what all processes give, stacked along a new first axis; gradients add up over the processes."""
        return _Gathered.apply(tensor, self.rank, self.count)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device by their sums over all processes, in one message."""
        if not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.float32) for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts):
            tensor.copy_(part.view_as(tensor))

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating tensors by their means over all processes."""
        floating = [tensor for tensor in tensors if tensor.is_floating_point()]
        with torch.no_grad():
            self.sum(floating)
            for tensor in floating:
                tensor.div_(self.count)

    def align(self, module: nn.Module) -> None:
        """Give every process the first one's values."""
        for tensor in module.state_dict().values():
            values = tensor.detach().contiguous()
            dist.broadcast(values, 0)
            tensor.detach().copy_(values)

    def agreed(self, value: Any) -> Any:
        """Return the first process's value in every process."""
        held = [value]
        dist.broadcast_object_list(held, 0)
        return held[0]


class WholeBatches(Processes):
    """Processes whose step is given whole batches, the same in all, and shares the work itself (`through`).

    For losses that look at a batch as a whole: each process computes the loss of all rows, and the network's outputs
    for a share of them.
    """

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """Return all of it."""
        return batch, 1.0

    def together(self, module: nn.Module, rows: int) -> AbstractContextManager:
        """Return a block that does nothing."""
        return contextlib.nullcontext()


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, count: int) -> Tensor:
        ctx.rank = rank
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(count)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[ctx.rank], None, None


def processes_of(device: Any, kind: type[Processes] = Processes) -> Processes | None:
    """Return the processes that share a training on ``device="accelerate"``; None where there is one."""
    if not (isinstance(device, str) and device == "accelerate"):
        return None
    state = accelerate_state()
    return kind(state.process_index, state.num_processes) if state.num_processes > 1 else None


def shared_seed(random_state: Any, device: Any) -> int:
    """Return the seed of a `random_state`, the same in all processes that share a training on the device."""
    seed, processes = seed_of(random_state), processes_of(device)
    return seed if processes is None else processes.agreed(seed)


def refuse_processes(device: Any, what: str, remedy: str) -> None:
    """Raise a ValueError where several processes would each do all of what cannot be shared."""
    processes = processes_of(device)
    if processes is not None:
        raise ValueError(
            f"{what} cannot be shared among the {processes.count} processes that device='accelerate' has found. "
            f"{remedy}"
        )
