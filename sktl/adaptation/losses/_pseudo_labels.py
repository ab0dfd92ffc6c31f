"""Pseudo-labels above a threshold."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Interval, Real
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import warm_up


def confident_cross_entropy(logits: Tensor, teacher_logits: Tensor, *, threshold: float) -> Tensor:
    """Return the cross entropy of a teacher's most probable classes, where it is sure of them, over all rows.

    Parameters
    ----------
    logits, teacher_logits : Tensor (n, n_classes)
        Of what learns and of what teaches, which is not differentiated.
    threshold : float
        Probability from which a row counts.
    """
    # 1/n sum_i [max p_i >= t] (-log q_i(argmax p_i))
    confidence, predicted = teacher_logits.detach().softmax(1).max(1)
    losses = F.cross_entropy(logits, predicted, reduction="none")
    return (losses * (confidence >= threshold)).mean()


class PseudoLabels(DomainLoss):
    """Pseudo-labels: target rows of which the network is sure are learned as if labelled so [1]_.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term; it warms up over the training, for the first labels are often wrong.
    threshold : float in [0, 1], default=0.95
        Probability from which a prediction counts.

    References
    ----------
    .. [1] D.-H. Lee, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks",
       ICML workshops, 2013.

    Examples
    --------
    >>> from sktl.adaptation.losses import PseudoLabels
    >>> PseudoLabels(threshold=0.8)
    PseudoLabels(threshold=0.8)
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, weight: float = 1.0, *, threshold: float = 0.95):
        self.weight = weight
        self.threshold = threshold

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        logits = view.target_logits
        term = confident_cross_entropy(logits, logits, threshold=self.threshold)
        return self.weight * warm_up(view.progress) * term
