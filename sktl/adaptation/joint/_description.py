"""What a network of ours is made of, as plain values, and the network that is rebuilt of them."""

from __future__ import annotations

from typing import Any

from torch import nn

from sktl._preprocessing import Preprocessing
from sktl.adaptation.joint._domain_batch_norm import DomainBatchNorm
from sktl.adaptation.joint._network import DEFAULT_BACKBONE, HEADS, AdaptedNetwork, Plan, plan_rows
from sktl.adaptation.joint._residual_rows import ResidualRows
from sktl.adaptation.joint._row_body import RowBody
from sktl.backbones import cut_head, load_backbone


def described(network: AdaptedNetwork, *, is_own: bool) -> dict[str, Any]:
    """Return what the network is made of, but for its backbone and its values."""
    bottleneck: Any = network.bottleneck
    body: Any = network.backbone
    is_linear, is_regression = isinstance(body, RowBody), isinstance(body, ResidualRows)
    first = None if not is_own else body.directions if is_linear else body.first if is_regression else body[0]
    is_plain = isinstance(bottleneck, nn.Identity)
    return {
        "is_regression": is_regression,
        "n_columns": None if first is None else first.in_features,
        "bottleneck": None if is_plain else network.n_features,
        "n_codes": network.n_features if is_plain else bottleneck[0].in_features,
        "head": next(name for name, kind in HEADS.items() if type(network.classifier) is kind),
        "is_separate": any(isinstance(part, DomainBatchNorm) for part in network.modules()),
        "is_channels_last": network.is_channels_last, "is_own": is_own,
        "is_linear": is_linear,
    }  # fmt: skip


def named_backbone(name: str, preprocessing: Preprocessing | None) -> nn.Module:
    """Return a backbone of that make, with any values."""
    loaded = load_backbone(DEFAULT_BACKBONE if name == "auto" else name, None)
    return cut_head(loaded.module, loaded.trace((preprocessing or Preprocessing()).size))


def rebuilt(
    about: dict[str, Any],
    backbone: nn.Module | None,
    n_classes: int,
    preprocessing: Preprocessing | None,
    n_channels: int,
) -> AdaptedNetwork:
    """Return a network of the make that was described, with any values."""
    is_own = about["is_own"] is True
    n_features = about["n_codes"] if about.get("is_linear") is True else None
    is_regression = about.get("is_regression") is True
    module = backbone
    if is_own:
        module = plan_rows("auto", None, about["n_columns"], 0, n_features, is_regression=is_regression).backbone
    assert module is not None
    plan = Plan(module, about["n_codes"], preprocessing, n_channels, is_pretrained=False, is_own=is_own)
    network = plan.build(
        n_classes, about["bottleneck"], about["head"], is_separate=about["is_separate"] is True, seed=0
    )
    if about["is_channels_last"] is True:
        network.use_channels_last()
    return network
