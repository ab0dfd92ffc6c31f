"""Layers over sequences that look back only: dilated convolutions, and attention.

Each layer reads whole sequences, and returns beside its outputs what it has to keep of them; by that it answers any
number of queries, each as if it came next.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

Kept = dict[str, Tensor]


class DenseConvolution(nn.Module):
    """A gated causal convolution of two taps, `dilation` rows apart, behind which its input is kept.

    Parameters
    ----------
    n_in, n_filters : int
        Channels that come in, and that are added to them.
    dilation : int
        How far back the second tap is.
    """

    def __init__(self, n_in: int, n_filters: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(2 * n_in, 2 * n_filters)

    def forward(self, x: Tensor, is_real: Tensor) -> tuple[Tensor, Kept]:
        """Return inputs and outputs, (n_tasks, n, n_in + more), of sequences (n_tasks, n, n_in), padding first."""
        n, d = x.shape[1], self.dilation
        earlier = F.pad(x, (0, 0, d, 0))[:, :n]  # x(t - d), zero before the start
        last = x[:, n - d] if n >= d else torch.zeros_like(x[:, 0])
        return torch.cat([x, self._filtered(earlier, x) * is_real.unsqueeze(-1)], -1), {"last": last}

    def ask(self, kept: Kept, query: Tensor) -> Tensor:
        """Return the same for queries (n_tasks, n_query, n_in)."""
        earlier = kept["last"].unsqueeze(1).expand_as(query)
        return torch.cat([query, self._filtered(earlier, query)], -1)

    def _filtered(self, earlier: Tensor, now: Tensor) -> Tensor:
        # tanh(F * x) sigmoid(G * x)
        filters, gates = self.taps(torch.cat([earlier, now], -1)).chunk(2, -1)
        return torch.tanh(filters) * torch.sigmoid(gates)


class CausalAttention(nn.Module):
    """Soft attention of each row to itself and the rows before it, behind which its input is kept.

    Keys start as queries, so that rows attend to their like from the first update on.

    Parameters
    ----------
    n_in : int
        Channels that come in.
    key_size, value_size : int
        Of what is compared, and of what is added.
    """

    def __init__(self, n_in: int, key_size: int, value_size: int):
        super().__init__()
        self.query = nn.Linear(n_in, key_size)
        self.key = nn.Linear(n_in, key_size)
        self.value = nn.Linear(n_in, value_size)
        self.key.load_state_dict(self.query.state_dict())

    def forward(self, x: Tensor, is_real: Tensor) -> tuple[Tensor, Kept]:
        """Return inputs and outputs, (n_tasks, n, n_in + more), of sequences (n_tasks, n, n_in), padding first."""
        n = x.shape[1]
        queries, keys, values = self.query(x), self.key(x), self.value(x)
        # softmax(Q K' / sqrt(d)) V over what is not later
        scores = queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
        past = torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
        visible = past & (is_real.unsqueeze(1) | torch.eye(n, dtype=torch.bool, device=x.device))
        read = torch.softmax(scores.masked_fill(~visible, -torch.inf), -1) @ values
        kept = {"keys": keys, "values": values, "is_real": is_real}
        return torch.cat([x, read * is_real.unsqueeze(-1)], -1), kept

    def ask(self, kept: Kept, query: Tensor) -> Tensor:
        """Return the same for queries (n_tasks, n_query, n_in): each sees the sequence and itself."""
        queries, own_value = self.query(query), self.value(query)
        root = math.sqrt(queries.shape[-1])
        own = (queries * self.key(query)).sum(-1, keepdim=True) / root
        scores = (queries @ kept["keys"].transpose(1, 2) / root).masked_fill(~kept["is_real"].unsqueeze(1), -torch.inf)
        weights = torch.softmax(torch.cat([scores, own], -1), -1)
        return torch.cat([query, weights[..., :-1] @ kept["values"] + weights[..., -1:] * own_value], -1)
