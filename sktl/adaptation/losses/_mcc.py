"""Minimum class confusion (MCC)."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, Real
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def class_confusion(logits: Tensor, *, temperature: float = 2.0, class_shares: Tensor | None = None) -> Tensor:
    """Return the share of confusion between different classes in predictions on a batch.

    Parameters
    ----------
    logits : Tensor (n, n_classes)
        Of target rows.
    temperature : float, default=2.0
        Divides the logits.
    class_shares : Tensor (n_classes,), default=None
        Shares g_a in the target. Rarer classes count for less: rows that are taken for a class that the target lacks
        are no reason to move. None lets all classes count alike.
    """
    # Y = softmax(z / T),   w_i = n (1 + e^-H_i) / sum_j (1 + e^-H_j),   C = Y' diag(w) Y, each row scaled to sum to 1;
    # 1/K sum_{a != b} C_ab,  or sum_a min(g_a, 1/K) sum_{b != a} C_ab
    log_proba = (logits / temperature).log_softmax(1)
    proba = log_proba.exp()
    certainty = 1 + (log_proba * proba).sum(1).detach().exp()
    weights = len(logits) * certainty / certainty.sum()
    confusion = (proba * weights[:, None]).T @ proba  # (K, K)
    shares = confusion / confusion.sum(1, keepdim=True).clamp_min(1e-12)
    if class_shares is None:
        return (shares.sum() - shares.trace()) / logits.shape[1]
    return (class_shares.clamp(max=1 / logits.shape[1]) * (shares.sum(1) - shares.diagonal())).sum()


class MCC(DomainLoss):
    """Minimum class confusion: target rows are predicted so that no two classes are mixed up [1]_.

    It aligns nothing and needs the target's logits only, so that it joins any other loss. Classes that are
    rare in the target, as far as shares are known or were estimated, count for less; else all alike, as in the paper.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term.
    temperature : float, default=2.0
        Divides the logits.

    References
    ----------
    .. [1] Y. Jin, X. Wang, M. Long and J. Wang, "Minimum class confusion for versatile domain adaptation", ECCV, 2020.

    Examples
    --------
    >>> from sktl.adaptation.losses import MCC
    >>> MCC(temperature=2.5)
    MCC(temperature=2.5)
    """

    aligns_features: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "temperature": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, weight: float = 1.0, *, temperature: float = 2.0):
        self.weight = weight
        self.temperature = temperature

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        confusion = class_confusion(view.target_logits, temperature=self.temperature, class_shares=view.class_shares)
        return self.weight * confusion
