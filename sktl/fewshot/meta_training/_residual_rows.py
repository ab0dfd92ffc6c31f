"""The network for feature rows that are codes: it starts as their directions, and adds what helps."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

WIDE = 64  # columns, from which on feature rows are taken for codes, whose directions tell more than their lengths
HIDDEN = 256  # units at most
SHARPNESS = 10.0  # of squared distances between rows of length one, at first


class ResidualRows(nn.Module):
    """Rows x to s (u + U relu(D u)), where u is x at length one and U = 0 at first.

    Before training, distances are those of the rows' directions: codes that are good already stay so, and training
    adds to them what the classes of its episodes show.

    Parameters
    ----------
    n_features : int
        Width of a row.
    """

    def __init__(self, n_features: int):
        super().__init__()
        self.down = nn.Linear(n_features, min(n_features, HIDDEN))
        self.up = nn.Linear(self.down.out_features, n_features)
        self.log_scale = nn.Parameter(torch.tensor(0.5 * math.log(SHARPNESS)))
        for zero in (self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, n_features)."""
        unit, root = F.normalize(x, dim=-1), math.sqrt(x.shape[-1])
        # layers are given values of about 1, as their first weights expect
        change = self.up(F.relu(self.down(unit * root))) / root
        return self.log_scale.exp() * (unit + change)
