"""Adaptive feature norms (AFN)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def norm_growth(features: Tensor, *, step: float = 1.0) -> Tensor:
    """Return the squared distance of the features' norms from what they are now plus `step`."""
    # E (||f|| - (||f||_now + r))^2
    norms = (features.pow(2).sum(1) + 1e-12).sqrt()
    return (norms - (norms.detach() + step)).pow(2).mean()


class AFN(DomainLoss):
    """Stepwise adaptive feature norms: features of both domains grow longer, step by step [1]_.

    Parameters
    ----------
    weight : float, default=0.05
        Of the term, for each domain.
    step : float, default=1.0
        By which norms are to grow.

    References
    ----------
    .. [1] R. Xu, G. Li, J. Yang and L. Lin, "Larger norm more transferable: an adaptive feature norm approach for
       unsupervised domain adaptation", ICCV, 2019.

    Examples
    --------
    >>> from sktl.adaptation.losses import AFN
    >>> AFN(step=0.5)
    AFN(step=0.5)
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0), "step": at_least(0)}

    def __init__(self, weight: float = 0.05, *, step: float = 1.0):
        self.weight = weight
        self.step = step

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        of_source = norm_growth(view.source_features, step=self.step)
        return self.weight * (of_source + norm_growth(view.target_features, step=self.step))
