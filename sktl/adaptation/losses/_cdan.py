"""Conditional domain-adversarial training (CDAN, CDAN+E)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from sklearn.utils._param_validation import Integral, Interval, Real
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import Discriminator, domain_loss, reverse_gradient, warm_up


def outer_product(features: Tensor, proba: Tensor) -> Tensor:
    """Return the flattened outer products of features and probabilities, (n, n_classes * n_features)."""
    # T(f, g) = g (x) f
    return (proba[:, :, None] * features[:, None, :]).flatten(1)


def entropy_weights(proba: Tensor) -> Tensor:
    """Return how much each row counts: certain predictions count double, (n,)."""
    # w = 1 + exp(-H(g))
    return 1 + torch.exp((proba * proba.clamp_min(1e-12).log()).sum(1))


class _Conditional(nn.Module):
    """The discriminator on features joined with predictions."""

    def __init__(self, n_features: int, n_classes: int, n_hidden: int, dropout: float, largest: int, n_random: int):
        super().__init__()
        self.is_random = n_features * n_classes > largest
        if self.is_random:
            # T(f, g) = (R_f f) * (R_g g) / sqrt(m), rows of R normal: its inner products are those of the exact one
            self.register_buffer("of_features", torch.randn(n_features, n_random) / math.sqrt(n_random))
            self.register_buffer("of_proba", torch.randn(n_classes, n_random))
        n_joint = n_random if self.is_random else n_features * n_classes
        self.discriminator = Discriminator(n_joint, n_hidden, dropout)

    def forward(self, features: Tensor, proba: Tensor) -> Tensor:
        if self.is_random:
            joint = (features @ self.of_features) * (proba @ self.of_proba)  # type: ignore[operator]
        else:
            joint = outer_product(features, proba)
        return self.discriminator(joint)


class CDAN(DomainLoss):
    """Conditional domain-adversarial network: domains are told apart given what is predicted [1]_.

    The discriminator sees the outer product of features and predicted probabilities (a randomised one where that is
    large); predictions only condition it, no gradient goes through them.

    Parameters
    ----------
    weight : float, default=1.0
        Of the reversed gradient at the end of its warm-up.
    entropy : bool, default=False
        CDAN+E: rows with certain predictions count up to double, normalised within each domain.
    n_hidden : int, default=256
        Units of each of the discriminator's two hidden layers.
    dropout : float in [0, 1), default=0.0
        Behind each of them.
    largest : int, default=4096
        Columns of the outer product from which it is randomised.
    n_random : int, default=1024
        Columns of the randomised product.

    References
    ----------
    .. [1] M. Long, Z. Cao, J. Wang and M. Jordan, "Conditional adversarial domain adaptation", NeurIPS, 2018.

    Examples
    --------
    >>> from sktl.adaptation.losses import CDAN
    >>> CDAN(entropy=True)
    CDAN(entropy=True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "entropy": ["boolean"],
        "n_hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "largest": [Interval(Integral, 0, None, closed="left")],
        "n_random": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    def __init__(
        self,
        weight: float = 1.0,
        *,
        entropy: bool = False,
        n_hidden: int = 256,
        dropout: float = 0.0,
        largest: int = 4096,
        n_random: int = 1024,
    ):
        self.weight = weight
        self.entropy = entropy
        self.n_hidden = n_hidden
        self.dropout = dropout
        self.largest = largest
        self.n_random = n_random

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the conditional discriminator."""
        return _Conditional(n_features, n_classes, self.n_hidden, self.dropout, self.largest, self.n_random)

    def __call__(self, view: View, state: nn.Module) -> Tensor:
        """Return the discriminator's loss, which the features ascend."""
        # min_D max_f  L_d(D(f (x) g)),   g = softmax(z) held fixed
        proba = view.logits[: view.n_rows].detach().softmax(1)
        features = reverse_gradient(view.features[: view.n_rows], self.weight * warm_up(view.progress))
        return domain_loss(state(features, proba), view.n_source, entropy_weights(proba) if self.entropy else None)
