"""Adversarial discriminative adaptation (ADDA)."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils._param_validation import Integral, Interval, Real
from torch import Tensor, nn

from sktl._functional import call_with
from sktl._validation import MOST_UNITS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import Discriminator, domain_loss


class _Adversary(nn.Module):
    """The discriminator, and the source's encoder as it was when adaptation began."""

    def __init__(self, n_features: int, n_hidden: int, network: nn.Module):
        super().__init__()
        self.discriminator = Discriminator(n_features, n_hidden)
        self.source = copy.deepcopy(network).requires_grad_(False)
        self.has_begun = False

    def train(self, mode: bool = True) -> _Adversary:
        super().train(mode)
        self.source.eval()
        return self

    def get_extra_state(self) -> torch.Tensor:
        return torch.tensor(self.has_begun)

    def set_extra_state(self, state: torch.Tensor) -> None:
        self.has_begun = bool(state)

    @torch.no_grad()
    def begin(self, network: nn.Module) -> None:
        """Take over the weights that the source has been learned with."""
        self.source.load_state_dict(network.state_dict())
        self.has_begun = True


class ADDA(DomainLoss):
    """Adversarial discriminative domain adaptation: an encoder of its own for the target [1]_.

    First the network learns the source alone. Then the source's encoder and the classifier stand still, and a copy of
    the encoder learns to place target rows where a discriminator takes them for source rows (labels inverted, as in
    generative adversarial networks). Both stages run in one training, of which `pretraining` is the first one's share.

    Parameters
    ----------
    weight : float, default=0.05
        Of the encoder's term: its rate is this share of the discriminator's.
    pretraining : float in (0, 1), default=0.5
        Share of the training that learns the source.
    n_hidden : int, default=500
        Units of each of the discriminator's two hidden layers.

    References
    ----------
    .. [1] E. Tzeng, J. Hoffman, K. Saenko and T. Darrell, "Adversarial discriminative domain adaptation", CVPR, 2017.

    Examples
    --------
    >>> from sktl.adaptation.losses import ADDA
    >>> [ADDA(pretraining=0.3).supervised_share(progress) for progress in (0.2, 0.4)]
    [1.0, 0.0]
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "pretraining": [Interval(Real, 0, 1, closed="neither")],
        "n_hidden": [Interval(Integral, 1, MOST_UNITS, closed="both")],
    }

    def __init__(self, weight: float = 0.05, *, pretraining: float = 0.5, n_hidden: int = 500):
        self.weight = weight
        self.pretraining = pretraining
        self.n_hidden = n_hidden

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the discriminator and the source's encoder."""
        return _Adversary(n_features, self.n_hidden, network)

    def supervised_share(self, progress: float) -> float:
        """Return 1 while the source is learned, then 0."""
        return 1.0 if progress < self.pretraining else 0.0

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the discriminator's loss and the encoder's, with inverted labels."""
        if view.progress < self.pretraining:
            # Gradients of zero rather than none: fused optimizers need all momenta from the first step on.
            return 0.0 * state.discriminator(view.target_features.detach()).sum()
        if not state.has_begun:
            state.begin(view.network)
        with torch.no_grad():
            source = state.source.features(view.X[: view.n_source])
        target = view.target_features
        # min_D L_d(D(f_s), D(f_t)),   min_f -E_t[log D(f_t)]
        of_discriminator = domain_loss(state.discriminator(torch.cat([source, target.detach()])), len(source))
        fixed = {name: value.detach() for name, value in state.discriminator.named_parameters()}
        of_encoder = F.softplus(-call_with(state.discriminator, fixed, target)).mean()
        return of_discriminator + self.weight * of_encoder
