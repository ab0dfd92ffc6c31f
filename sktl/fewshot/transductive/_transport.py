"""Entropic optimal transport of queries to classes, for many small tasks at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sktl._given_tensors import finite, given_back, widened


def transport(
    costs: Tensor, *, sharpness: float, balance: float = 1.0, tol: float = 1e-5, n_iter: int = 100,
    start: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the logarithm of the plan (t, n_way, n) whose rows sum to one, and the classes' potentials (t, n_way, 1).

    It is the plan that Sinkhorn's rounds converge to: of all that give each query one and each class its share, that
    of the smallest cost less entropy. Each task stops by itself, whatever else is in the batch.

    Parameters
    ----------
    costs : Tensor of shape (t, n_way, n)
        Of a query in a class.
    sharpness : float
        Inverse strength of the entropy, per unit of cost.
    balance : float in [0, 1], default=1.0
        1 makes all classes equally large; 0 leaves each query to itself, a softmax. In between the shares are held to
        equality by a Kullback-Leibler penalty [1]_.
    tol : float, default=1e-5
        Error of a class's share, relative, at which it ends.
    n_iter : int, default=100
        Steps at most.
    start : Tensor of shape (t, n_way, 1), optional
        Potentials to begin with: those of nearly the same costs save most steps.

    Raises
    ------
    ValueError
        If costs are NaN or infinite.

    References
    ----------
    .. [1] L. Chizat, G. Peyre, B. Schmitzer and F.-X. Vialard, "Scaling algorithms for unbalanced optimal transport
       problems", Mathematics of Computation 87, 2018.
    .. [2] T. Sun and Q. Tran-Dinh, "Generalized self-concordant functions: a recipe for Newton-type methods",
       Mathematical Programming 178, 2019.
    """
    # Not POT's batched Sinkhorn: where classes are well apart, as on pretrained networks' codes, it takes many hundred
    # rounds. The dual has but one unknown a class, and ten of Newton's steps, little dearer than rounds, solve it:
    # measured over a hundred times faster, at a smaller error.
    dtype, costs = costs.dtype, widened(finite(costs, "costs"))
    logits = -sharpness * costs
    n_way, n = costs.shape[1:]
    potentials = torch.zeros_like(costs[..., :1]) if start is None else widened(start)
    if balance == 0:
        return given_back(logits.log_softmax(1), dtype), given_back(potentials, dtype)
    share, penalty = n / n_way, (1 - balance) / balance
    eye = torch.eye(n_way, dtype=costs.dtype, device=costs.device)
    # the potentials' common level is free where classes are exactly equal: it is held, and rounding kept from zero
    floor = share * (10 * torch.finfo(costs.dtype).eps * eye + (0 if penalty else 1 / n_way))
    for _ in range(n_iter):
        # min_g  sum_i log sum_k exp(l_ki + g_k) - sum_k (n / n_way) h(g_k),  h(g) = g, or (1 - exp(-r g)) / r
        plan = (logits + potentials).softmax(1)
        mass, wanted = plan.sum(2, keepdim=True), share * (-penalty * potentials).exp()
        slope = wanted - mass
        goes_on = (slope.abs() > tol * share).any(1, keepdim=True)
        if not goes_on.any():
            break
        step = torch.linalg.solve((mass + penalty * wanted) * eye - plan @ plan.transpose(1, 2) + floor, slope)
        # along it third derivatives are at most d times second ones: log(1 + d) / d of it never goes too far [2]
        d = torch.maximum(
            step.amax(1, keepdim=True) - step.amin(1, keepdim=True), penalty * step.abs().amax(1, keepdim=True)
        )
        length = torch.where(d > 1e-3, d.log1p() / d.clamp_min(1e-3), 1.0)
        potentials = torch.where(goes_on, potentials + length * step, potentials)
    return given_back((logits + potentials).log_softmax(1), dtype), given_back(potentials, dtype)
