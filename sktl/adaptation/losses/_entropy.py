"""Entropy of the target's predictions."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import warm_up


def entropy(logits: Tensor) -> Tensor:
    """Return the mean entropy of the predictions, in nats."""
    # E[-sum_c p_c log p_c]
    log_proba = logits.log_softmax(1)
    return -(log_proba.exp() * log_proba).sum(1).mean()


class Entropy(DomainLoss):
    """Entropy minimisation: decision boundaries move to where target rows are few [1]_.

    Parameters
    ----------
    weight : float, default=0.1
        Of the term; it warms up over the training, for predictions are wrong at first.

    References
    ----------
    .. [1] Y. Grandvalet and Y. Bengio, "Semi-supervised learning by entropy minimization", NeurIPS, 2004.

    Examples
    --------
    >>> from sktl.adaptation.losses import Entropy
    >>> Entropy()
    Entropy()
    """

    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0)}

    def __init__(self, weight: float = 0.1):
        self.weight = weight

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        return self.weight * warm_up(view.progress) * entropy(view.target_logits)
