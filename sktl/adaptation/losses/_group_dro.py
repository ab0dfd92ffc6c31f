"""Distributionally robust optimisation over groups (GroupDRO)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def tilted(shares: Tensor, risks: Tensor, *, rate: float) -> Tensor:
    """Return the groups' shares after one step towards the groups of high risk; they sum to 1."""
    # q_g <- q_g exp(eta R_g) / sum_h q_h exp(eta R_h)
    return (shares.log() + rate * risks).softmax(0)


class _Shares(nn.Module):
    """What each source domain counts for; uniform at first."""

    def __init__(self) -> None:
        super().__init__()
        self.values: Tensor | None = None

    def get_extra_state(self) -> Tensor:
        return torch.empty(0) if self.values is None else self.values

    def set_extra_state(self, state: Tensor) -> None:
        self.values = state if len(state) else None

    def __call__(self, risks: Tensor, rate: float) -> Tensor:
        before = torch.full_like(risks, 1 / len(risks)) if self.values is None else self.values.to(risks)
        self.values = tilted(before, risks.detach(), rate=rate)
        return self.values


class GroupDRO(DomainLoss):
    """Group DRO: the source domain that is learned worst counts most [1]_.

    It takes the place of the plain cross entropy. For targets that nothing is known of; it needs at least two source
    domains, named by ``sample_domain``.

    Parameters
    ----------
    weight : float, default=1.0
        Of the tilted risk.
    rate : float, default=0.01
        How fast the domains' shares follow their risks, called eta in the paper.

    References
    ----------
    .. [1] S. Sagawa, P. W. Koh, T. Hashimoto and P. Liang, "Distributionally robust neural networks", ICLR, 2020.

    Examples
    --------
    >>> from sktl.adaptation.losses import GroupDRO
    >>> GroupDRO().supervised_share(0.5)
    0.0
    """

    needs_target: ClassVar[bool] = False
    n_sources: ClassVar[int] = 2
    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0), "rate": at_least(0)}

    def __init__(self, weight: float = 1.0, *, rate: float = 0.01):
        self.weight = weight
        self.rate = rate

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the domains' shares."""
        return _Shares()

    def supervised_share(self, progress: float) -> float:
        """Return 0: the tilted risk is the supervised one."""
        return 0.0

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the risk tilted towards the worst domain."""
        risks = torch.stack(view.source_risks())
        return self.weight * (state(risks, self.rate) * risks).sum()
