"""Mixed feature statistics (MixStyle)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Integral, Interval, Real
from torch import Tensor, nn

from sktl.adaptation.losses._base import DomainLoss, View


def mix_style(maps: Tensor, order: Tensor, share: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Return feature maps whose channel means and deviations are mixed with those of other rows.

    Parameters
    ----------
    maps : Tensor (n, channels, height, width)
        Feature maps.
    order : Tensor (n,), int64
        Which row each is mixed with.
    share : Tensor (n,)
        What remains of a row's own statistics.
    """
    # s_m (x - m) / s + m_m,   m_m = l m + (1 - l) m',   s_m = l s + (1 - l) s'
    mean = maps.mean((2, 3), keepdim=True)
    std = (maps.var((2, 3), keepdim=True, unbiased=False) + eps).sqrt()
    mean, std = mean.detach(), std.detach()
    own = share[:, None, None, None]
    mixed_mean = own * mean + (1 - own) * mean[order]
    mixed_std = own * std + (1 - own) * std[order]
    return (maps - mean) / std * mixed_std + mixed_mean


class _Mixing(nn.Module):
    """Hooks on a network that mix styles in training; `close` takes them off."""

    def __init__(self, network: nn.Module, n_layers: int, alpha: float, probability: float):
        super().__init__()
        self.alpha = alpha
        self.probability = probability
        self.handles = [layer.register_forward_hook(self._mix) for layer in first_stages(network, n_layers)]

    def _mix(self, layer: nn.Module, inputs: Any, maps: Any) -> Any:
        if not layer.training or not isinstance(maps, Tensor) or maps.ndim != 4:
            return None
        if float(torch.rand(())) > self.probability:  # a draw on the CPU: the device is not waited for
            return None
        concentration = torch.full((2, len(maps)), self.alpha)
        drawn = torch._standard_gamma(concentration)
        share = (drawn[0] / drawn.sum(0).clamp_min(1e-12)).to(maps.device, non_blocking=True)
        return mix_style(maps, torch.randperm(len(maps)).to(maps.device, non_blocking=True), share)

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self.handles:
            handle.remove()
        self.handles = []


def first_stages(network: nn.Module, n_layers: int) -> list[nn.Module]:
    """Return the modules after which styles are mixed: the first that hold convolutions, normalisation passed over.

    Raises
    ------
    ValueError
        If the network has no convolution.
    """
    holder = network
    while True:
        children = list(holder.children())
        with_convolutions = [c for c in children if any(isinstance(part, nn.Conv2d) for part in c.modules())]
        if len(with_convolutions) >= 2 or (len(with_convolutions) == 1 and isinstance(with_convolutions[0], nn.Conv2d)):
            return with_convolutions[:n_layers]
        if not with_convolutions:
            raise ValueError("MixStyle mixes the statistics of feature maps, but the network has no convolution.")
        holder = with_convolutions[0]


class MixStyle(DomainLoss):
    """MixStyle: domains differ in the statistics of early feature maps; training on mixtures makes new domains [1]_.

    It adds no term, but changes what the first convolutional stages put out in training. For targets that nothing is
    known of; with ``sample_domain``, batches hold equally many rows of each source domain.

    Parameters
    ----------
    n_layers : int, default=2
        After how many of the first stages styles are mixed.
    alpha : float, default=0.1
        Both parameters of the beta distribution that shares are drawn from.
    probability : float in [0, 1], default=0.5
        How often a batch is mixed.

    References
    ----------
    .. [1] K. Zhou, Y. Yang, Y. Qiao and T. Xiang, "Domain generalization with MixStyle", ICLR, 2021.

    Examples
    --------
    >>> from sktl.adaptation.losses import MixStyle
    >>> MixStyle(n_layers=1)
    MixStyle(n_layers=1)
    """

    needs_target: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "probability": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, n_layers: int = 2, *, alpha: float = 0.1, probability: float = 0.5):
        self.n_layers = n_layers
        self.alpha = alpha
        self.probability = probability

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the hooks."""
        return _Mixing(network, self.n_layers, self.alpha, self.probability)

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return 0: the maps were mixed on the way."""
        return view.logits.new_zeros(())
