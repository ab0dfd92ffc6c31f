"""Maximum classifier discrepancy (MCD)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Integral, Interval
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import reverse_gradient, warm_up


def classifier_discrepancy(logits: Tensor, other: Tensor) -> Tensor:
    """Return the mean absolute difference between two classifiers' probabilities."""
    # E_t | p_1(y | x) - p_2(y | x) |
    return (logits.softmax(1) - other.softmax(1)).abs().mean()


class MCD(DomainLoss):
    """Maximum classifier discrepancy: two classifiers disagree on the target, the features make them agree [1]_.

    Departs from the paper: one pass with a reversed gradient instead of three alternating ones, with the warm-up of
    DANN; the second classifier serves training only.

    Parameters
    ----------
    weight : float, default=1.0
        Of the disagreement, in the classifiers and, warmed up, in the features.
    n_hidden : int, default=256
        Units of the second classifier's hidden layer.

    References
    ----------
    .. [1] K. Saito, K. Watanabe, Y. Ushiku and T. Harada, "Maximum classifier discrepancy for unsupervised domain
       adaptation", CVPR, 2018.

    Examples
    --------
    >>> from sktl.adaptation.losses import MCD
    >>> MCD(weight=2.0)
    MCD(weight=2.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "n_hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    def __init__(self, weight: float = 1.0, *, n_hidden: int = 256):
        self.weight = weight
        self.n_hidden = n_hidden

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the second classifier."""
        return nn.Sequential(nn.Linear(n_features, self.n_hidden), nn.ReLU(), nn.Linear(self.n_hidden, n_classes))

    def __call__(self, view: View, state: nn.Module) -> Tensor:
        """Return the second classifier's loss on the source, less the disagreement on the target."""
        # min_{F1, F2}  L(F1) + L(F2) - w d(F1, F2),   max_f of the same d
        second = F.cross_entropy(state(view.source_features), view.source_labels)
        features = reverse_gradient(view.target_features, warm_up(view.progress))
        disagreement = classifier_discrepancy(view.network.classify(features), state(features))
        return second - self.weight * disagreement
