"""The nearest support row."""

from __future__ import annotations

import torch
from torch import Tensor

from sktl.fewshot.heads._head import Head, State, check_codes, one_hot, squared_distances


class NearestNeighbourHead(Head):
    """The class of the nearest support row wins; a class's logit is minus the squared distance to its nearest row.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import NearestNeighbourHead
    >>> support, query = torch.tensor([[0.0], [2.0], [10.0]]), torch.tensor([[1.5]])
    >>> NearestNeighbourHead()(support, torch.tensor([0, 0, 1]), query, n_way=2).tolist()
    [[-0.25, -72.25]]
    """

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return the support set itself."""
        check_codes(support, y)
        if support.shape[-2] == 0:
            raise ValueError("The nearest neighbour is one of the support rows, and there are none. Give one at least.")
        return {"support": support, "belongs": one_hot(y, n_way, support.dtype)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return ``-min_{i: y_i = k} |q - x_i|^2``; a class without rows has minus infinity."""
        distances = squared_distances(query, state["support"]).unsqueeze(-2)  # (..., n_query, 1, n_support)
        belongs = state["belongs"].transpose(-1, -2).unsqueeze(-3) > 0  # (..., 1, n_way, n_support)
        return -torch.where(belongs, distances, torch.inf).amin(-1)
