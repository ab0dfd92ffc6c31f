"""An LSTM whose cell state is a learner's weights: one step of it is one update of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

SCALE = 10.0  # p of the preprocessing: below exp(-p) a number counts as small
KEPT = 5.0  # bias of the forget gate at the start, which then keeps 0.993 of a weight a step
SPREAD = 0.01  # of the gates' weights at the start, to either side of 0


class RuleState(NamedTuple):
    """What is remembered of each of n weights beside itself. They lie along the last axis: a gate is then one row."""

    hidden: Tensor  # (hidden, n), of the first LSTM
    memory: Tensor  # (hidden, n), its cell state
    gates: Tensor  # (2, n): the input gate and the forget gate


def preprocessed(values: Tensor) -> Tensor:
    """Return two numbers of order 1 for each value, (2, n), whatever its order is."""
    # (log|x| / p, sign x) where |x| >= exp(-p), else (-1, exp(p) x)
    size = values.abs().clamp_min(math.exp(-SCALE)).log() / SCALE
    return torch.stack([size, (math.exp(SCALE) * values).clamp(-1, 1)])


def updated(weights: Tensor, slopes: Tensor, input_gate: Tensor, forget_gate: Tensor) -> Tensor:
    """Return the weights after a step."""
    # c_t = f_t c_{t-1} + i_t (-g_t):  gradient descent, with f = 1 and i the rate
    return forget_gate * weights - input_gate * slopes


class MetaLSTM(nn.Module):
    """One step's rule, the same for each weight: an LSTM reads its gradient and the loss, and two gates the LSTM.

    Parameters
    ----------
    hidden : int
        Units of the first LSTM.
    learning_rate : float
        In (0, 1): about what the input gate lets in at the start.
    """

    def __init__(self, hidden: int, learning_rate: float):
        super().__init__()
        self.hidden = hidden
        self.units = nn.Linear(4 + hidden, 4 * hidden)  # input, forget and output gates, and what is let in
        self.gates = nn.Linear(hidden + 1, 2)
        self.before = nn.Parameter(torch.empty(2, 1))  # weights of what the gates were a step ago
        nn.init.uniform_(self.gates.weight, -SPREAD, SPREAD)
        nn.init.uniform_(self.before, -SPREAD, SPREAD)
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor([math.log(learning_rate / (1 - learning_rate)), KEPT]))

    def started(self, weights: Tensor) -> RuleState:
        """Return the state before the first step on weights (n,): zeros."""
        zeros = weights.new_zeros(self.hidden, len(weights))
        return RuleState(zeros, zeros, weights.new_zeros(2, len(weights)))

    def forward(
        self, weights: Tensor, slopes: Tensor, losses: Tensor, state: RuleState | None = None
    ) -> tuple[Tensor, RuleState]:
        """Return the weights after one more step, and the state.

        Parameters
        ----------
        weights, slopes, losses : Tensor (n,)
            The weights, the loss's gradient with respect to each, and the loss of the task that each belongs to.
        state : RuleState, default=None
            Of the step before; None starts.
        """
        state = self.started(weights) if state is None else state
        # h_t, m_t = LSTM([prep(g_t), prep(L_t)], h_{t-1}, m_{t-1})
        read = torch.cat([preprocessed(slopes), preprocessed(losses), state.hidden])
        drives = torch.addmm(self.units.bias.unsqueeze(-1), self.units.weight, read)
        let_in, keep, show = torch.sigmoid(drives[: 3 * self.hidden]).chunk(3)
        memory = keep * state.memory + let_in * torch.tanh(drives[3 * self.hidden :])
        hidden = show * torch.tanh(memory)
        # i_t = sigmoid(W_I [h_t, c_{t-1}, i_{t-1}] + b_I),   f_t = sigmoid(W_F [h_t, c_{t-1}, f_{t-1}] + b_F)
        known = torch.cat([hidden, weights.unsqueeze(0)])
        drives = torch.addmm(self.gates.bias.unsqueeze(-1), self.gates.weight, known)
        gates = torch.sigmoid(drives + self.before * state.gates)
        return updated(weights, slopes, gates[0], gates[1]), RuleState(hidden, memory, gates)
