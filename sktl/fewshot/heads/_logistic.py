"""Logistic regression, many tasks at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, check_codes, one_hot


class LogisticHead(Head):
    """Multinomial logistic regression with an L2 penalty and a free intercept, solved for all tasks together.

    The Hessian of the cross entropy is bounded by a fixed matrix, one half of the codes' Gram matrix plus the
    penalty [1]_: with it in place of the Hessian, Newton's steps need one factorisation, and Nesterov's momentum
    makes them fast. Weights are combinations of support rows, W = X'A, so that the work does not grow with the width.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty, as in scikit-learn's `LogisticRegression`; meta-training adjusts it.
    n_iter : int, default=100
        Steps.

    References
    ----------
    .. [1] D. Boehning, "Multinomial logistic regression algorithm", Annals of the Institute of Statistical
       Mathematics 44, 1992.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import LogisticHead
    >>> support = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    >>> LogisticHead()(support, torch.tensor([0, 0, 1, 1]), torch.tensor([[1.5], [3.5]]), n_way=2).argmax(-1).tolist()
    [0, 1]
    """

    def __init__(self, C: float = 1.0, n_iter: int = 100):
        super().__init__()
        if not C > 0:
            raise ValueError(f"C must be above 0; got {C!r}.")
        self.log_C = nn.Parameter(torch.tensor(math.log(C)))
        self.n_iter = n_iter

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return weight (..., d, n_way), centre and intercept."""
        check_codes(support, y)
        is_row = (y >= 0).to(support.dtype).unsqueeze(-1)  # (..., n, 1)
        count = is_row.sum(-2, keepdim=True).clamp_min(1)
        centre = (support * is_row).sum(-2, keepdim=True) / count
        x, targets = (support - centre) * is_row, one_hot(y, n_way, support.dtype)
        gram, C = x @ x.transpose(-1, -2), self.log_C.exp()
        bound = C / 2 * gram
        # What rounding takes from the smallest eigenvalues is given back: any larger matrix bounds the Hessian too.
        rounding = 4 * torch.finfo(x.dtype).eps * bound.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).unsqueeze(-1)
        eye = torch.eye(x.shape[-2], device=x.device, dtype=x.dtype)
        factor = torch.linalg.cholesky(bound + (1 + rounding) * eye)
        a, b = torch.zeros_like(targets), targets.new_zeros(*targets.shape[:-2], 1, n_way)
        a_ahead, b_ahead = a, b
        for step in range(self.n_iter):
            # grad_W = X'(C (P - T) + A),  grad_b = C sum_i (P - T)_i
            error = (torch.softmax(gram @ a_ahead + b_ahead, -1) - targets) * is_row
            a_next = a_ahead - torch.cholesky_solve(C * error + a_ahead, factor)
            b_next = b_ahead - error.sum(-2, keepdim=True) / (count / 2)
            momentum = step / (step + 3)
            a_ahead, b_ahead = a_next + momentum * (a_next - a), b_next + momentum * (b_next - b)
            a, b = a_next, b_next
        return {"weight": x.transpose(-1, -2) @ a, "centre": centre, "intercept": b}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return (q - centre) W + b."""
        return (query - state["centre"]) @ state["weight"] + state["intercept"]
