"""Centred, normalised class means."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, check_codes, class_means, squared_distances


class SimpleShotHead(Head):
    """Codes are centred and brought to unit length; then the nearest class mean decides.

    The paper centres by the mean of the base classes' codes. Give it as `centre`; without it the support set's own
    mean is taken, which is what there is when a network comes without the data it was trained on: half of it with one
    row a class, n / (n + 1) of it with n, for the mean of few rows lies too near to each of them.

    Parameters
    ----------
    centre : Tensor of shape (d,), optional
        Mean code of the base classes.
    scale : float, default=10.0
        Factor of the logits, for probabilities; distances of unit vectors are at most 4.

    References
    ----------
    .. [1] Y. Wang, W.-L. Chao, K. Weinberger and L. van der Maaten, "SimpleShot: revisiting nearest-neighbor
       classification for few-shot learning", arXiv:1911.04623, 2019.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import SimpleShotHead
    >>> support = torch.tensor([[5.0, 1.0], [5.0, -1.0]])
    >>> SimpleShotHead()(support, torch.tensor([0, 1]), torch.tensor([[4.0, 0.5]]), n_way=2).argmax().item()
    0
    """

    def __init__(self, centre: Tensor | None = None, scale: float = 10.0):
        super().__init__()
        self.register_buffer("centre", centre)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return the centre and the prototypes of centred, normalised codes."""
        check_codes(support, y)
        if self.centre is None:
            is_row = (y >= 0).to(support.dtype).unsqueeze(-1)
            centre = (support * is_row).sum(-2, keepdim=True) / (is_row.sum(-2, keepdim=True) + n_way)
        else:
            own: Any = self.centre
            centre = own.to(support).expand(*support.shape[:-2], 1, -1)
        return {"centre": centre, "prototypes": class_means(F.normalize(support - centre, dim=-1), y, n_way)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return ``-scale * |q' - c_k|^2``, where q' is the centred query of unit length."""
        return -self.scale * squared_distances(F.normalize(query - state["centre"], dim=-1), state["prototypes"])
