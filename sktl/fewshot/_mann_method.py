"""A recurrent controller with an external memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sktl.fewshot._encoders import Encoder
from sktl.fewshot._memory import Memory, addresses, written
from sktl.fewshot._sequence_method import SequenceMethod
from sktl.fewshot.heads import State

SHARPNESS = 10.0  # of addressing by content, at the start


class MANNMethod(SequenceMethod):
    """An LSTM reads the support rows, and writes each to the memory; queries only read.

    Parameters
    ----------
    encoder, n_outputs
        As in `SequenceMethod`.
    hidden : int
        Units of the LSTM.
    n_slots, slot_size, n_heads : int
        Of the memory.
    decay : float
        Of the slots' usage.
    """

    def __init__(
        self, encoder: Encoder, n_outputs: int, *, hidden: int, n_slots: int, slot_size: int, n_heads: int, decay: float
    ):
        super().__init__(encoder, n_outputs)
        self.n_slots, self.slot_size, self.n_heads, self.decay = n_slots, slot_size, n_heads, decay
        self.controller = nn.LSTMCell(self.width + n_heads * slot_size, hidden)
        self.keys = nn.Linear(hidden, n_heads * slot_size)
        self.gate = nn.Linear(hidden, n_heads)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(SHARPNESS)))
        self.output = nn.Linear(hidden + n_heads * slot_size, n_outputs)

    def read(self, sequence: Tensor, is_real: Tensor) -> State:
        """Return the memory, and where the controller has come to."""
        n_tasks = len(sequence)
        memory = Memory.empty(n_tasks, self.n_slots, self.slot_size, self.n_heads, sequence)
        hidden = cell = sequence.new_zeros(n_tasks, self.controller.hidden_size)
        seen = sequence.new_zeros(n_tasks, self.n_heads * self.slot_size)
        for row, real in zip(sequence.unbind(1), is_real.unbind(1)):
            after = self._step(row, hidden, cell, seen, memory)
            if bool(real.all()):
                hidden, cell, seen, memory = after
                continue
            hidden, cell, seen = (_where(real, new, old) for new, old in zip(after[:3], (hidden, cell, seen)))
            memory = Memory(*(_where(real, new, old) for new, old in zip(after[3], memory)))
        return {"hidden": hidden, "cell": cell, "seen": seen, "slots": memory.slots}

    def answer(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs of one further step for each query, which writes nothing."""
        n_tasks, n_query = query.shape[:2]
        hidden, cell, seen = (
            state[name].unsqueeze(1).expand(-1, n_query, -1).flatten(0, 1) for name in ("hidden", "cell", "seen")
        )
        hidden, _ = self.controller(torch.cat([query.flatten(0, 1), seen], -1), (hidden, cell))
        keys = self._keys(hidden).view(n_tasks, n_query * self.n_heads, -1)
        read = addresses(keys, state["slots"], self.log_sharpness.exp()) @ state["slots"]
        return self.output(torch.cat([hidden, read.reshape(len(hidden), -1)], -1)).view(n_tasks, n_query, -1)

    def _step(
        self, row: Tensor, hidden: Tensor, cell: Tensor, seen: Tensor, memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor, Memory]:
        hidden, cell = self.controller(torch.cat([row, seen], -1), (hidden, cell))
        gate = torch.sigmoid(self.gate(hidden)).unsqueeze(-1)
        memory = written(memory, self._keys(hidden), gate, self.log_sharpness.exp(), self.decay)
        return hidden, cell, (memory.reads @ memory.slots).flatten(1), memory

    def _keys(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.keys(hidden)).view(len(hidden), self.n_heads, self.slot_size)


def _where(real: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(real.view(-1, *[1] * (new.ndim - 1)), new, old)
