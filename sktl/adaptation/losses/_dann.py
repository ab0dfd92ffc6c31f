"""Domain-adversarial training (DANN)."""

from __future__ import annotations

from typing import ClassVar

from sklearn.utils._param_validation import Integral, Interval, Real
from torch import Tensor, nn

from sktl._validation import MOST_UNITS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import Discriminator, domain_loss, reverse_gradient, warm_up


class DANN(DomainLoss):
    """Domain-adversarial neural network: a discriminator tells the domains apart, the features learn to fool it [1]_.

    One pass does both: the gradient is reversed between features and discriminator. The warm-up and `weight` act on the
    features only; the discriminator learns at full strength from the start.

    Parameters
    ----------
    weight : float, default=1.0
        Of the reversed gradient at the end of its warm-up. Where codes of several sources are adapted in some hundred
        updates, a tenth of it does better.
    n_hidden : int, default=256
        Units of each of the discriminator's two hidden layers.
    dropout : float in [0, 1), default=0.0
        Behind each of them.

    References
    ----------
    .. [1] Y. Ganin, E. Ustinova, H. Ajakan, P. Germain, H. Larochelle, F. Laviolette, M. Marchand and V. Lempitsky,
       "Domain-adversarial training of neural networks", JMLR, 2016.

    Examples
    --------
    >>> from sktl.adaptation.losses import DANN
    >>> DANN(weight=0.5).set_params(n_hidden=128)
    DANN(n_hidden=128, weight=0.5)
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "n_hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, weight: float = 1.0, *, n_hidden: int = 256, dropout: float = 0.0):
        self.weight = weight
        self.n_hidden = n_hidden
        self.dropout = dropout

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the discriminator."""
        return Discriminator(n_features, self.n_hidden, self.dropout)

    def __call__(self, view: View, state: nn.Module) -> Tensor:
        """Return the discriminator's loss, which the features ascend."""
        # min_D max_f  L_d(D(f)):   d L / d f is multiplied by -lambda
        features = reverse_gradient(view.features[: view.n_rows], self.weight * warm_up(view.progress))
        return domain_loss(state(features), view.n_source)
