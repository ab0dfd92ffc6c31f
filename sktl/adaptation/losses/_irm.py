"""Invariant risk minimisation (IRM)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Interval, Real
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def invariance_penalty(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the squared derivative of the risk by a common factor of the logits, at 1.

    The square of a batch's mean is larger than that of all rows, by the variance over the number of rows. The unbiased
    estimate, over pairs of different rows, has no lower bound: with it, large weights diverge.

    Parameters
    ----------
    logits : Tensor (n, n_classes)
        Of one domain.
    labels : Tensor (n,), int64
        Class numbers.
    """
    # (d/dw E[-log softmax(w z)_y] at w = 1)^2 = (E[sum_c (p_c - 1[c = y]) z_c])^2
    residual = logits.softmax(1) - F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return (residual * logits).sum(1).mean().pow(2)


class IRM(DomainLoss):
    """Invariant risk minimisation: one classifier is optimal in every source domain at once (IRMv1) [1]_.

    For targets that nothing is known of. It needs at least two source domains, named by ``sample_domain``.

    Parameters
    ----------
    weight : float, default=1.0
        Of the penalty. Where a feature misleads strongly it has to be large (100 for coloured digits), and the learning
        rate small (1e-3), or training diverges.
    start : float in [0, 1], default=0.3
        Share of the training from which the penalty acts; before it, all sources are learned as they are.

    References
    ----------
    .. [1] M. Arjovsky, L. Bottou, I. Gulrajani and D. Lopez-Paz, "Invariant risk minimization", arXiv:1907.02893, 2019.

    Examples
    --------
    >>> from sktl.adaptation.losses import IRM
    >>> IRM().n_sources, IRM().needs_target
    (2, False)
    """

    needs_target: ClassVar[bool] = False
    n_sources: ClassVar[int] = 2
    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0), "start": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, weight: float = 1.0, *, start: float = 0.3):
        self.weight = weight
        self.start = start

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the mean penalty of the source domains."""
        if view.progress < self.start:
            return view.logits.new_zeros(())
        parts = zip(view.source_logits.split(view.sizes), view.source_labels.split(view.sizes))
        return self.weight * torch.stack([invariance_penalty(logits, labels) for logits, labels in parts]).mean()
