"""Pseudo-labels of one view for another (FixMatch)."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, Real
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._pseudo_labels import confident_cross_entropy
from sktl.adaptation.losses._reversal import warm_up


class FixMatch(DomainLoss):
    """FixMatch: what is predicted surely for a target row is learned for a strongly changed view of it [1]_.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term; it warms up over the training.
    threshold : float in [0, 1], default=0.95
        Probability from which a prediction counts.

    References
    ----------
    .. [1] K. Sohn, D. Berthelot, N. Carlini, Z. Zhang, H. Zhang, C. Raffel, E. Cubuk, A. Kurakin and C.-L. Li,
       "FixMatch: simplifying semi-supervised learning with consistency and confidence", NeurIPS, 2020.

    Examples
    --------
    >>> from sktl.adaptation.losses import FixMatch
    >>> FixMatch().needs_second_view
    True
    """

    needs_second_view: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, weight: float = 1.0, *, threshold: float = 0.95):
        self.weight = weight
        self.threshold = threshold

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        term = confident_cross_entropy(view.second_logits, view.target_logits, threshold=self.threshold)
        return self.weight * warm_up(view.progress) * term
