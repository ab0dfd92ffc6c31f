"""The nearest class mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktl.fewshot.heads._head import Head, State, check_codes, class_means, cosines, squared_distances

DISTANCES = ("sqeuclidean", "cosine")


class PrototypeHead(Head):
    """Logits fall with the distance to the mean code of each class, the prototype.

    Parameters
    ----------
    distance : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        Squared Euclidean distance (not its root, which is no Bregman divergence), or the cosine.
    scale : float or None, default=None
        Factor of the logits; None is 1, or 10 for cosines, which span two units only.
    learn_scale : bool or None, default=None
        Whether meta-training adjusts the factor; None does so for cosines.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning", NeurIPS, 2017.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.heads import PrototypeHead
    >>> support, query = torch.tensor([[0.0], [2.0], [10.0]]), torch.tensor([[1.0], [9.0]])
    >>> PrototypeHead()(support, torch.tensor([0, 0, 1]), query, n_way=2).tolist()
    [[-0.0, -81.0], [-64.0, -1.0]]
    """

    def __init__(self, distance: str = "sqeuclidean", scale: float | None = None, learn_scale: bool | None = None):
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(map(repr, DISTANCES))}; got {distance!r}.")
        self.distance = distance
        start = torch.tensor(float(scale if scale is not None else 10.0 if distance == "cosine" else 1.0))
        self.scale = nn.Parameter(start, requires_grad=distance == "cosine" if learn_scale is None else learn_scale)

    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return the prototypes."""
        check_codes(support, y)
        return {"prototypes": class_means(support, y, n_way)}

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return ``-scale * |q - c_k|^2``, or ``scale * cos(q, c_k)``."""
        if self.distance == "cosine":
            return self.scale * cosines(query, state["prototypes"])
        return -self.scale * squared_distances(query, state["prototypes"])
