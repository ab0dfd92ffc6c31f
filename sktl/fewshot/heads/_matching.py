"""Attention over the support rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, check_codes, cosines, one_hot


class MatchingHead(Head):
    """The labels of the support rows, averaged by attention to them: a weighted nearest neighbour.

    It departs from the paper in that the attention's temperature is learned: cosines span two units, too few for a
    softmax over many rows to be sharp.

    Parameters
    ----------
    full_context : bool, default=False
        Whether codes are embedded in the context of the support set: a bidirectional LSTM runs over the support
        rows, and an LSTM with attention to them over each query. The result then depends on the rows' order.
    n_steps : int, default=5
        Steps of the LSTM over a query.
    scale : float, default=10.0
        Factor of the cosines at the start.

    References
    ----------
    .. [1] O. Vinyals, C. Blundell, T. Lillicrap, K. Kavukcuoglu and D. Wierstra, "Matching networks for one shot
       learning", NeurIPS, 2016.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import MatchingHead
    >>> support, query = torch.eye(2), torch.tensor([[3.0, 1.0]])
    >>> MatchingHead()(support, torch.tensor([0, 1]), query, n_way=2).argmax(-1).tolist()
    [0]
    """

    def __init__(self, full_context: bool = False, n_steps: int = 5, scale: float = 10.0):
        super().__init__()
        self.full_context = full_context
        self.n_steps = n_steps
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def build(self, code_shape: tuple[int, ...]) -> None:
        """Make the LSTMs."""
        if self.full_context:
            (width,) = code_shape
            self.over_support = nn.LSTM(width, width, batch_first=True, bidirectional=True)
            self.over_query = nn.LSTMCell(width, 2 * width)  # the hidden state holds the code and what was read

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return the support rows, in their context, and their classes."""
        check_codes(support, y)
        if self.full_context:
            rows = support.reshape(-1, *support.shape[-2:])
            both, _ = self.over_support(rows)
            forward, backward = both.chunk(2, dim=-1)
            support = (rows + forward + backward).reshape(support.shape)
        return {"support": support, "belongs": one_hot(y, n_way, support.dtype)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return log p(k | q) = log sum_i a(q, x_i) [y_i = k], a the softmax of scaled cosines."""
        support, belongs = state["support"], state["belongs"]
        if self.full_context:
            query = self._in_context(query, support)
        attention = self.scale * cosines(query, support)  # (..., n_query, n_support)
        attention = attention.masked_fill(belongs.sum(-1).unsqueeze(-2) == 0, -torch.inf)  # padding
        probabilities = torch.softmax(attention, -1) @ belongs
        return probabilities.clamp_min(torch.finfo(query.dtype).tiny).log()

    def _in_context(self, query: Tensor, support: Tensor) -> Tensor:
        # h_k = LSTM(q, [h_{k-1}, r_{k-1}]) + q,   r_k = softmax(h_k . X') X
        width = query.shape[-1]
        rows = query.reshape(-1, width)
        code, read = rows, torch.zeros_like(rows)
        cell = rows.new_zeros(len(rows), 2 * width)
        for _ in range(self.n_steps):
            hidden, cell = self.over_query(rows, (torch.cat([code, read], -1), cell))
            code = hidden[:, :width] + rows
            attention = torch.softmax(code.reshape(query.shape) @ support.transpose(-1, -2), -1)
            read = (attention @ support).reshape(-1, width)
        return code.reshape(query.shape)
