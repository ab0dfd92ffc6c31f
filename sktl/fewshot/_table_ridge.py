"""Ridge regression of a handful of rows: penalties count by their evidence, and columns go no further than was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sktl.fewshot.heads._head import Head, State, check_codes, one_hot

PENALTIES = np.logspace(-5, 1, 13)  # in units of the rows' mean squared length
PRIOR = PENALTIES**0.1 / (PENALTIES**0.1).sum()  # large ones count for a little more
OF_MEAN = 0.3  # prior weight of the mean alone, where all penalties together have 1
BEYOND = 1.0  # ranges of a column, by which a row may lie outside of it
ROUNDING = 10 * np.finfo(np.float64).eps  # times a column's largest value: less is no variation


@dataclass(frozen=True)
class RowsInRange:
    """Columns at one scale; further out than the rows seen by more than their range, they are taken at that border.

    A column that hardly varies among a few rows would otherwise decide wherever it does vary.
    """

    centre: np.ndarray  # (n_columns,)
    deviation: np.ndarray  # (n_columns,), 0 for columns that do not vary
    low: np.ndarray  # (n_columns,)
    high: np.ndarray  # (n_columns,)

    @classmethod
    def of(cls, rows: np.ndarray) -> RowsInRange:
        """Return that of rows (n, n_columns)."""
        low, high = rows.min(0), rows.max(0)
        length = high - low
        varies = length > ROUNDING * np.maximum(np.abs(low), np.abs(high))
        # at the range's scale no square overflows or vanishes
        share = (rows - low) / np.where(varies, length, 1.0)
        centre = low + share.mean(0) * np.where(varies, length, 0.0)
        return cls(centre, np.where(varies, share.std(0) * length, 0.0), low - BEYOND * length, high + BEYOND * length)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows (n, n_columns) at that scale."""
        varies = self.deviation > 0
        within = np.clip(rows, self.low, self.high) - self.centre
        return np.where(varies, within / np.where(varies, self.deviation, 1.0), 0.0)


class AveragedRidge(Head):
    """Ridge regression averaged over its penalties by their evidence (MacKay, "Bayesian Interpolation", 1992).

    With few rows no single penalty can be told from others; one that leave-one-out errors choose is often far off. The
    mean of the targets alone is among what is averaged. The intercept is free, and each output has its own weights.
    """

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return weight, centre and offset of the labels as zeros and ones."""
        check_codes(support, y)
        return self.adapt_targets(support, one_hot(y, n_way, support.dtype))

    def adapt_targets(self, support: Tensor, targets: Tensor) -> State:
        """Return the same for targets (..., n, n_outputs)."""
        centre, offset = support.mean(-2, keepdim=True), targets.mean(-2, keepdim=True)
        n, tiny = support.shape[-2], torch.finfo(support.dtype).tiny
        u, s, v = torch.linalg.svd(support - centre, full_matrices=False)  # (..., n, r), (..., r), (..., r, d)
        spread = (targets - offset).square().sum(-2, keepdim=True).sqrt()
        scaled = (targets - offset) / torch.where(spread > tiny, spread, 1.0)
        along = u.transpose(-1, -2) @ scaled  # (..., r, n_outputs)
        rest = (scaled.square().sum(-2) - along.square().sum(-2)).clamp_min(0)  # (..., n_outputs)
        # penalty a |x|^2:  y ~ N(0, sigma^2 (I + X X' / (a |x|^2))),  sigma integrated out with prior 1 / sigma:
        # log p(y | a) = -1/2 sum_j log(1 + q_j / a) - (n - 1)/2 log(sum_j z_j^2 / (1 + q_j / a) + rest)
        length = s.square().sum(-1, keepdim=True) / n
        q = (s.square() / torch.where(length > tiny, length, 1.0)).unsqueeze(-1)  # (..., r, 1)
        evidence = [torch.full_like(rest, np.log(OF_MEAN)) + _of_errors(along.square().sum(-2) + rest, n)]
        for penalty, prior in zip(PENALTIES, PRIOR):
            grown = 1 + q / penalty
            errors = (along.square() / grown).sum(-2) + rest
            evidence.append(_of_errors(errors, n) - grown.log().sum(-2) / 2 + np.log(prior))
        share = torch.stack(evidence).softmax(0)[1:]  # (n_penalties, ..., n_outputs)
        # w = sum_a p(a | y) V' s / (s^2 + a |x|^2) z
        shrunk = (
            sum(part.unsqueeze(-2) / (q + penalty).clamp_min(tiny) for part, penalty in zip(share, PENALTIES)) * along
        )
        per_length = s / torch.where(length > tiny, length, 1.0)
        weight = v.transpose(-1, -2) @ (per_length.unsqueeze(-1) * shrunk) * torch.where(spread > tiny, spread, 1.0)
        return {"weight": weight, "centre": centre, "offset": offset}

    def outputs(self, state: State, query: Tensor) -> Tensor:
        """Return the values (..., n_query, n_outputs)."""
        return (query - state["centre"]) @ state["weight"] + state["offset"]

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the same: the labels' zeros and ones."""
        return self.outputs(state, query)


def _of_errors(errors: Tensor, n: int) -> Tensor:
    """Return the log evidence of n centred rows by their squared errors, of which rounding leaves no zero."""
    return -(n - 1) / 2 * errors.clamp_min(torch.finfo(errors.dtype).eps ** 2).log()
