"""Margin disparity discrepancy (MDD)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Integral, Interval
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import reverse_gradient, warm_up


def margin_disparity(
    source_logits: Tensor, target_logits: Tensor, source_codes: Tensor, target_codes: Tensor, *, margin: float
) -> Tensor:
    """Return the adversarial classifier's loss: agree with the predictions on the source, disagree on the target.

    Parameters
    ----------
    source_logits, target_logits : Tensor (n_s, n_classes), (n_t, n_classes)
        Of the adversarial classifier.
    source_codes, target_codes : Tensor (n_s,), (n_t,), int64
        What the classifier itself predicts.
    margin : float
        Called gamma in the paper, the exponential of its margin rho.
    """
    # gamma E_s[-log p'(h(x))] + E_t[-log(1 - p'(h(x)))]
    agree = F.cross_entropy(source_logits, source_codes)
    share = target_logits.softmax(1).gather(1, target_codes[:, None])
    disagree = -(1 - share).clamp_min(1e-6).log().mean()
    return margin * agree + disagree


class MDD(DomainLoss):
    """Margin disparity discrepancy: an adversarial classifier bounds how far predictions may differ by domain [1]_.

    Parameters
    ----------
    weight : float, default=0.1
        Of the reversed gradient at the end of its warm-up.
    margin : float, default=4.0
        Called gamma in the paper.
    n_hidden : int, default=256
        Units of the adversarial classifier's hidden layer.

    References
    ----------
    .. [1] Y. Zhang, T. Liu, M. Long and M. Jordan, "Bridging theory and algorithm for domain adaptation", ICML, 2019.

    Examples
    --------
    >>> from sktl.adaptation.losses import MDD
    >>> MDD(margin=2.0)
    MDD(margin=2.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "margin": at_least(0),
        "n_hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    def __init__(self, weight: float = 0.1, *, margin: float = 4.0, n_hidden: int = 256):
        self.weight = weight
        self.margin = margin
        self.n_hidden = n_hidden

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the adversarial classifier."""
        return nn.Sequential(nn.Linear(n_features, self.n_hidden), nn.ReLU(), nn.Linear(self.n_hidden, n_classes))

    def __call__(self, view: View, state: nn.Module) -> Tensor:
        """Return the adversarial classifier's loss, which the features ascend."""
        features = reverse_gradient(view.features[: view.n_rows], self.weight * warm_up(view.progress))
        logits, predicted = state(features), view.logits[: view.n_rows].detach().argmax(1)
        n = view.n_source
        return margin_disparity(logits[:n], logits[n:], predicted[:n], predicted[n:], margin=self.margin)
