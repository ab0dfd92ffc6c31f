"""One training shared among the processes that accelerate's launcher has started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sktl._device import accelerate_state
from sktl.training._structure import Batch, iter_tensors, map_tensors, n_rows


class Processes:
    """The processes of a training; every one holds the whole network and runs a share of each batch's rows.

    The update is that of the whole batch, whatever the number of processes, but for layers that look at a batch as a
    whole: batch norm in training mode sees the share.

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


def processes_of(device: Any) -> Processes | None:
    """Return the processes that share a training on ``device="accelerate"``; None where there is one."""
    if not (isinstance(device, str) and device == "accelerate"):
        return None
    state = accelerate_state()
    return Processes(state.process_index, state.num_processes) if state.num_processes > 1 else None
