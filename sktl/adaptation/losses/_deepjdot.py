"""Joint optimal transport between the batch's features and labels (DeepJDOT)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.utils._param_validation import Integral, Interval, StrOptions
from torch import Tensor

from sktl._validation import MOST_STEPS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._kernels import squared_distances
from sktl.adaptation.losses._reversal import warm_up


def joint_cost(
    source: Tensor, target: Tensor, labels: Tensor, target_log_proba: Tensor, *, alpha: float, beta: float
) -> Tensor:
    """Return what it costs to move each source row with its label to each target row with its prediction, (n_s, n_t).

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features.
    labels : Tensor (n_s,), int64
        Class numbers of the source rows.
    target_log_proba : Tensor (n_t, n_classes)
        Logarithms of predicted probabilities.
    alpha, beta : float
        Weights of the features and of the labels.
    """
    # c_ij = alpha ||f_i - f_j||^2 / d - beta log p_j(y_i)
    return alpha / source.shape[1] * squared_distances(source, target) - beta * target_log_proba[:, labels].T


def sinkhorn_plan(
    cost: Tensor, *, regularisation: float = 0.05, n_iter: int = 30, reach: float | None = None
) -> Tensor:
    """Return the entropic transport plan between uniform masses, in the log domain, (n_s, n_t).

    Parameters
    ----------
    cost : Tensor (n_s, n_t)
        Costs.
    regularisation : float, default=0.05
        Of the entropy, as a share of the mean cost.
    n_iter : int, default=30
        Rounds; a fixed number, so that the device is not waited for.
    reach : float, default=None
        If given, masses need not be kept: their divergence costs so much, as a multiple of the mean cost. A row whose
        like is not in the batch then moves little.
    """
    # P = diag(u) exp(-C / e) diag(v),   P 1 = 1/n_s,   P' 1 = 1/n_t
    # or min_P <P, C> + e KL(P, 1/(n_s n_t)) + r KL(P 1, 1/n_s) + r KL(P' 1, 1/n_t):  the same updates to the power
    # r / (r + e); with the entropy against the product of the masses, repeated rows change no mass
    n_source, n_target = cost.shape
    power = 1.0 if reach is None else reach / (reach + regularisation)
    score = -cost / (regularisation * cost.mean().abs()).clamp_min(1e-12) - np.log(n_source * n_target)
    v = cost.new_zeros(n_target)
    for _ in range(n_iter):
        u = power * (-np.log(n_source) - torch.logsumexp(score + v, 1))
        v = power * (-np.log(n_target) - torch.logsumexp(score + u[:, None], 0))
    return torch.exp(score + u[:, None] + v)


def exact_plan(cost: Tensor) -> Tensor:
    """Return the cheapest transport plan between equally many rows: a permutation, found on the CPU."""
    rows, columns = linear_sum_assignment(cost.detach().double().cpu().numpy())
    plan = cost.new_zeros(cost.shape)
    plan[torch.from_numpy(rows), torch.from_numpy(columns)] = 1 / len(rows)
    return plan


class DeepJDOT(DomainLoss):
    """Deep joint distribution optimal transport: the plan that moves the batch cheapest, then cheaper moves [1]_.

    The plan is that of the batch and is not differentiated. Two batches seldom hold equally many rows of each class. A
    plan that moves every row would therefore move some to another class. By default some rows may stay unmatched, as
    in [2]_. Departs from the papers in the scale of the features' cost (the mean over features, not the sum), and in
    the warm-up.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term; it warms up over the training.
    alpha : float, default=10.0
        What a distance between features costs.
    beta : float, default=1.0
        What a wrong label costs.
    solver : {"auto", "exact", "sinkhorn"}, default="auto"
        "exact" keeps all masses and solves the assignment on the CPU, for equally many rows of both domains; "sinkhorn"
        stays on the device. "auto" is exact on a CPU if masses are to be kept and it can be.
    reach : float or None, default=0.1
        Of Sinkhorn's plan: what it costs to give up mass, as a multiple of the mean cost; None keeps all, as in [1]_.
    regularisation : float, default=0.05
        Of Sinkhorn's plan, as a share of the mean cost.
    n_iter : int, default=30
        Sinkhorn's rounds.

    References
    ----------
    .. [1] B. Damodaran, B. Kellenberger, R. Flamary, D. Tuia and N. Courty, "DeepJDOT: deep joint distribution optimal
       transport for unsupervised domain adaptation", ECCV, 2018.
    .. [2] K. Fatras, T. Séjourné, R. Flamary and N. Courty, "Unbalanced minibatch optimal transport; applications to
       domain adaptation", ICML, 2021.

    Examples
    --------
    >>> from sktl.adaptation.losses import DeepJDOT
    >>> DeepJDOT(solver="sinkhorn").solver
    'sinkhorn'
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "alpha": at_least(0),
        "beta": at_least(0),
        "solver": [StrOptions({"auto", "exact", "sinkhorn"})],
        "reach": [*at_least(1e-6), None],
        "regularisation": at_least(1e-6),
        "n_iter": [Interval(Integral, 1, MOST_STEPS, closed="both")],
    }

    def __init__(
        self,
        weight: float = 1.0,
        *,
        alpha: float = 10.0,
        beta: float = 1.0,
        solver: str = "auto",
        reach: float | None = 0.1,
        regularisation: float = 0.05,
        n_iter: int = 30,
    ):
        self.weight = weight
        self.alpha = alpha
        self.beta = beta
        self.solver = solver
        self.reach = reach
        self.regularisation = regularisation
        self.n_iter = n_iter

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        log_proba = view.target_logits.log_softmax(1)
        cost = joint_cost(
            view.source_features, view.target_features, view.source_labels, log_proba, alpha=self.alpha, beta=self.beta
        )
        with torch.no_grad():
            plan = self._plan(cost.detach())
        return self.weight * warm_up(view.progress) * (plan * cost).sum()

    def _plan(self, cost: Tensor) -> Tensor:
        is_square = cost.shape[0] == cost.shape[1]
        if self.solver == "exact" and not is_square:
            raise ValueError(
                f'DeepJDOT(solver="exact") needs equally many rows of both domains in a batch; got {cost.shape[0]} and '
                f'{cost.shape[1]}. Use solver="sinkhorn".'
            )
        suits_exact = self.reach is None and is_square and cost.device.type == "cpu"
        if self.solver == "exact" or (self.solver == "auto" and suits_exact):
            return exact_plan(cost)
        reach = None if self.reach is None else float(self.reach)
        return sinkhorn_plan(cost, regularisation=float(self.regularisation), n_iter=int(self.n_iter), reach=reach)
