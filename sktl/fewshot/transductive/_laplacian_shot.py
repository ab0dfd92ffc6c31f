"""Labels that neighbouring queries share."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

from sklearn.utils._param_validation import Interval
from torch import Tensor

from sktl._given_tensors import finite, given_back, widened
from sktl._validation import MOST_STEPS
from sktl.fewshot.transductive._base import LARGEST_FACTOR, TransductiveMethod
from sktl.fewshot.transductive._bd_cspn import BDCSPN, rectified_prototypes, shift_queries
from sktl.fewshot.transductive._tasks import Tasks


def smoothed_assignments(costs: Tensor, neighbours: Tensor, *, weight: float, n_iter: int) -> Tensor:
    """Return the log-probabilities (t, n_way, n) that trade the costs (t, n_way, n) for agreement with neighbours.

    Parameters
    ----------
    costs : Tensor of shape (t, n_way, n)
        Of each query in each class.
    neighbours : Tensor of shape (t, n_neighbors, n)
        Who they are.
    weight : float
        Of the agreement.
    n_iter : int
        Rounds of the bound's optimisation.

    Raises
    ------
    ValueError
        If costs are NaN or infinite.
    """
    dtype, costs = costs.dtype, widened(finite(costs, "costs"))
    each = [one.unsqueeze(1).expand(costs.shape) for one in neighbours.unbind(1)]
    # E(Y) = sum_q y_q.a_q - (lambda / 2) sum_qp w_qp y_q.y_p,  y_q <- softmax(-a_q + lambda sum_p w_qp y_p)
    logits = -costs
    for _ in range(n_iter):
        y = logits.softmax(1)
        logits = -costs
        for one in each:
            logits.add_(y.gather(2, one), alpha=weight)
    return given_back(logits.log_softmax(1), dtype)


class LaplacianShot(TransductiveMethod):
    """Nearest prototypes, regularised by the Laplacian of a graph of nearest queries [1]_.

    Each query weighs its squared distances to the prototypes against what its neighbours among the queries are taken
    for; a bound of that energy is lowered for all queries in parallel. No class's share is assumed but by the
    rectification.

    As in the authors' code, the number of neighbours does not count the query itself.

    Parameters
    ----------
    weight : float, default=0.7
        Of agreement with neighbours. The paper tunes it between 0.1 and 1.5 on validation classes.
    n_neighbors : int, default=2
        Neighbours of a query; fewer where there are fewer queries.
    rectify : bool, default=True
        Whether prototypes are those of `BDCSPN`, and queries shifted as there. Without it, no balance is assumed.
    n_iter : int, default=20
        Rounds.

    References
    ----------
    .. [1] I. M. Ziko, J. Dolz, E. Granger and I. Ben Ayed, "Laplacian regularized few-shot learning", ICML, 2020.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.transductive import LaplacianShot
    >>> support, query = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.9, 0.8], [0.5, 1.0], [1.0, 0.7]])
    >>> LaplacianShot(n_neighbors=1)(support, torch.tensor([0, 1]), query, n_way=2).shape
    torch.Size([3, 2])
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": [Interval(Real, 0, LARGEST_FACTOR, closed="both")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "rectify": ["boolean"],
        "n_iter": [Interval(Integral, 1, MOST_STEPS, closed="both")],
    }

    def __init__(self, weight: float = 0.7, *, n_neighbors: int = 2, rectify: bool = True, n_iter: int = 20):
        self.weight = weight
        self.n_neighbors = n_neighbors
        self.rectify = rectify
        self.n_iter = n_iter

    def inferred(self, tasks: Tasks) -> Tensor:
        """Return the log-probabilities of the smoothed assignments."""
        prototypes = tasks.prototypes
        if self.rectify and tasks.queries_are_a_set:
            shift_queries(tasks)
            options = BDCSPN()
            prototypes = rectified_prototypes(tasks, sharpness=options.sharpness, n_confident=options.n_confident)
        costs = tasks.span.squared_distances(prototypes)[..., tasks.queries]
        if not tasks.queries_are_a_set:
            return (-costs).log_softmax(1)
        neighbours = tasks.span.nearest(tasks.n_support, min(self.n_neighbors, tasks.n_query - 1))
        return smoothed_assignments(costs, neighbours, weight=self.weight, n_iter=self.n_iter)
