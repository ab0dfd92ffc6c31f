"""An external memory, addressed by content and by how long its slots have not been used."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

UNUSED = 1e-6  # what slots hold at first
TINY = 1e-4  # added to squared lengths: a slot that was cleared has none


class Memory(NamedTuple):
    """The memories of several tasks."""

    slots: Tensor  # (n_tasks, n_slots, size)
    usage: Tensor  # (n_tasks, n_slots)
    reads: Tensor  # (n_tasks, n_heads, n_slots): where was read last

    @classmethod
    def empty(cls, n_tasks: int, n_slots: int, size: int, n_heads: int, like: Tensor) -> Memory:
        """Return memories that nothing was written to."""
        slots = like.new_full((n_tasks, n_slots, size), UNUSED)
        return cls(slots, like.new_zeros(n_tasks, n_slots), like.new_zeros(n_tasks, n_heads, n_slots))


def addresses(keys: Tensor, slots: Tensor, sharpness: Tensor | float) -> Tensor:
    """Return where keys (n_tasks, n, size) read, (n_tasks, n, n_slots): the slots that are like them."""
    # w_i = softmax_i(s cos(k, M_i))
    lengths = (keys.square().sum(-1) + TINY).sqrt().unsqueeze(-1) * (slots.square().sum(-1) + TINY).sqrt().unsqueeze(1)
    return torch.softmax(sharpness * (keys @ slots.transpose(1, 2)) / lengths, -1)


def least_used(usage: Tensor, n: int) -> Tensor:
    """Return the n least used slots as unit vectors (n_tasks, n, n_slots), the least used one first."""
    places = usage.sort(dim=1, stable=True).indices[:, :n]
    return torch.zeros(*places.shape, usage.shape[1], dtype=usage.dtype, device=usage.device).scatter(
        2, places.unsqueeze(-1), 1.0
    )


def written(memory: Memory, keys: Tensor, gate: Tensor, sharpness: Tensor | float, decay: float) -> Memory:
    """Return the memory after one step: each head writes its key, and then reads by it.

    Parameters
    ----------
    memory : Memory
        As the last step left it.
    keys : Tensor (n_tasks, n_heads, size)
        Written, and read by.
    gate : Tensor (n_tasks, n_heads, 1)
        In 0..1: how much goes to where the head read last, the rest going to the least used slots.
    sharpness : float
        Of the addressing by content.
    decay : float
        Of the usage.
    """
    # head h:  w_w = g w_r(t-1) + (1 - g) w_lu,   M <- (1 - w_lu) M + w_w k',   u <- decay u + w_r + w_w
    rarest = least_used(memory.usage, keys.shape[1])  # one for each head
    writes = gate * memory.reads + (1 - gate) * rarest
    kept = memory.slots * (1 - rarest.sum(1)).unsqueeze(-1)
    slots = kept + writes.transpose(1, 2) @ keys
    reads = addresses(keys, slots, sharpness)
    usage = decay * memory.usage + reads.sum(1) + writes.sum(1)
    return Memory(slots, usage, reads)
