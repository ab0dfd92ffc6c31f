"""What predictions without labels tell: their spread over the classes, and their certainty."""

from __future__ import annotations

from torch import Tensor

from sktl.adaptation.losses._entropy import entropy


def marginal_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the mean prediction, in nats; log(n_classes) where all classes are predicted alike."""
    # -sum_c q_c log q_c,   q = E[p]
    q = logits.softmax(1).mean(0)
    return -(q * q.clamp_min(1e-12).log()).sum()


def information_loss(logits: Tensor, diversity: float = 1.0) -> Tensor:
    """Return the negative mutual information of rows and classes (Krause et al. 2010), diversity weighed."""
    # E[H(p)] - d H(E[p])
    return entropy(logits) - diversity * marginal_entropy(logits)
