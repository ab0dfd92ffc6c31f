"""The library's own network for feature rows: it starts as the linear model on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = (16, 128)  # units of the hidden layer, at least and at most; else as many as there are features


class RowBody(nn.Module):
    """Scaled rows to features: z = N(Q x), then z + U relu(D z) with U = 0 at first.

    Q holds fixed directions, among them those of the solved head, so that training starts as that linear model. N is a
    batch norm that changes nothing at first. In training with both domains its statistics are held; what adapts the
    network further renews them.
    """

    def __init__(self, n_columns: int, n_features: int):
        super().__init__()
        n_hidden = min(max(n_features, HIDDEN[0]), HIDDEN[1])
        self.directions = nn.Linear(n_columns, n_features, bias=False).requires_grad_(False)
        self.norm = nn.BatchNorm1d(n_features).requires_grad_(False)
        self.down = nn.Linear(n_features, n_hidden)
        self.up = nn.Linear(n_hidden, n_features)
        for zero in (self.up.weight, self.up.bias):
            nn.init.zeros_(zero)
        self.holds_statistics = True

    def forward(self, rows: Tensor) -> Tensor:
        """Return the features, (n, n_features)."""
        z = self.norm(self.directions(rows))
        return z + self.up(torch.relu(self.down(z)))

    def train(self, mode: bool = True) -> RowBody:
        """Set the mode; held statistics stay what they are."""
        super().train(mode)
        if self.holds_statistics:
            self.norm.eval()
        return self

    @torch.no_grad()
    def put(self, directions: Tensor, mean: Tensor, var: Tensor) -> None:
        """Write the directions, and the moments of ``Q x`` into a norm that passes its input on."""
        self.directions.weight.copy_(directions)
        norm = self.norm
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(var)  # type: ignore[union-attr]
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.copy_(mean)
