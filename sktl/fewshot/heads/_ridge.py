"""Ridge regression in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, check_codes, one_hot


def ridge_solution(support: Tensor, targets: Tensor, is_row: Tensor, alpha: Tensor | float) -> State:
    """Return the weight (..., d, n_outputs), the centre and the offset of ridge regression with a free intercept.

    Parameters
    ----------
    support : Tensor of shape (..., n, d)
        Codes.
    targets : Tensor of shape (..., n, n_outputs)
        What they should give.
    is_row : Tensor of shape (..., n, 1)
        1 for rows that count, 0 for padding.
    alpha : float or 0-d Tensor
        Penalty, in units of the mean squared length of the centred codes: it needs no tuning to their scale.
    """
    count = is_row.sum(-2, keepdim=True).clamp_min(1)
    centre = (support * is_row).sum(-2, keepdim=True) / count
    offset = (targets * is_row).sum(-2, keepdim=True) / count
    x, t = (support - centre) * is_row, (targets - offset) * is_row
    n, d = x.shape[-2:]
    length = x.square().sum((-2, -1), keepdim=True) / count
    # Rows that are all alike have no length: the offset alone answers.
    penalty = alpha * torch.where(length > torch.finfo(x.dtype).tiny, length, 1.0)
    eye = torch.eye(min(n, d), device=x.device, dtype=x.dtype)
    xt = x.transpose(-1, -2)
    # W = (X'X + a I)^-1 X'T = X'(XX' + a I)^-1 T: the smaller of the two systems
    if n <= d:
        weight = xt @ torch.linalg.solve(x @ xt + penalty * eye, t)
    else:
        weight = torch.linalg.solve(xt @ x + penalty * eye, xt @ t)
    return {"weight": weight, "centre": centre, "offset": offset}


class RidgeHead(Head):
    """Ridge regression of the one-hot labels on the codes, solved in closed form (R2-D2).

    It departs from the paper in two ways: the intercept is free (the codes are centred on the support set), and the
    penalty is relative to the codes' mean squared length.

    Parameters
    ----------
    alpha : float, default=0.1
        Penalty at the start; meta-training adjusts it.
    scale : float, default=10.0
        Factor that makes logits of the regression's values; meta-training adjusts it.

    References
    ----------
    .. [1] L. Bertinetto, J. Henriques, P. Torr and A. Vedaldi, "Meta-learning with differentiable closed-form
       solvers", ICLR, 2019.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import RidgeHead
    >>> support = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    >>> RidgeHead()(support, torch.tensor([0, 0, 1, 1]), torch.tensor([[1.5], [3.5]]), n_way=2).argmax(-1).tolist()
    [0, 1]
    """

    def __init__(self, alpha: float = 0.1, scale: float = 10.0):
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0; got {alpha!r}.")
        self.log_alpha = nn.Parameter(torch.tensor(math.log(alpha)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return weight, centre and offset."""
        check_codes(support, y)
        is_row = (y >= 0).to(support.dtype).unsqueeze(-1)
        return ridge_solution(support, one_hot(y, n_way, support.dtype), is_row, self.log_alpha.exp())

    def adapt_targets(self, support: Tensor, targets: Tensor) -> State:
        """Return the same for targets (..., n, n_outputs) of a regression."""
        is_row = support.new_ones(*support.shape[:-1], 1)
        return ridge_solution(support, targets, is_row, self.log_alpha.exp())

    def outputs(self, state: State, query: Tensor) -> Tensor:
        """Return the regression's values (..., n_query, n_outputs)."""
        return (query - state["centre"]) @ state["weight"] + state["offset"]

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return scale * ((q - centre) W + offset)."""
        return self.scale * self.outputs(state, query)
