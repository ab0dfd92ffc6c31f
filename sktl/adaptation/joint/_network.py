"""The network that is adapted: a backbone, a bottleneck, a linear classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl._functional import check_network
from sktl._inputs import LUMINANCE
from sktl._memory_format import channels_last
from sktl._preprocessing import Preprocessing
from sktl._validation import advice_on_network
from sktl.adaptation.joint._domain_batch_norm import DomainBatchNorm, Split, separate
from sktl.adaptation.joint._residual_rows import ResidualRows
from sktl.adaptation.joint._row_body import RowBody
from sktl.backbones import cut_head, declared_channels, load_backbone, own_copy
from sktl.images import PictureSource

DEFAULT_BACKBONE = "efficientnet_lite0"
HIDDEN = (16, 256)  # units of the layer for feature rows, at least and at most; else as many as there are features
GREY = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)
SMALL_PICTURE = 64  # pixels a side up to which pictures of one size keep it


class NormedLinear(nn.Module):
    """A linear layer whose weights have a direction and a length apart (Salimans and Kingma 2016)."""

    def __init__(self, n_features: int, n_classes: int):
        super().__init__()
        self.direction = nn.Parameter(nn.init.xavier_normal_(torch.empty(n_classes, n_features)))
        self.length = nn.Parameter(self.direction.detach().norm(dim=1, keepdim=True))  # (n_classes, 1)
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits, (n, n_classes)."""
        # w = g v / ||v||
        weight = self.length * self.direction / self.direction.norm(dim=1, keepdim=True)
        return nn.functional.linear(features, weight, self.bias)


@torch.no_grad()
def set_head(classifier: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Write a solved head into the classifier."""
    classifier.bias.copy_(bias)  # type: ignore[operator, union-attr]
    if not isinstance(classifier, NormedLinear):
        classifier.weight.copy_(weight)  # type: ignore[operator, union-attr]
        return
    length = weight.norm(dim=1, keepdim=True)
    classifier.length.copy_(length)
    classifier.direction.copy_(torch.where(length > 0, weight, classifier.direction))


HEADS: dict[str, type[nn.Module]] = {"linear": nn.Linear, "weight_norm": NormedLinear}


class AdaptedNetwork(nn.Module):
    """Rows, or pictures with values in 0..255, to logits; ``classify(features(X))``."""

    def __init__(
        self,
        backbone: nn.Module,
        n_codes: int,
        n_classes: int,
        *,
        bottleneck: int | None,
        preprocessing: Preprocessing | None,
        n_channels: int = 3,
        head: str = "linear",
    ):
        super().__init__()
        self.backbone = backbone
        self.bottleneck: nn.Module = nn.Identity()
        self.n_features = n_codes if bottleneck is None else bottleneck
        if bottleneck is not None:
            self.bottleneck = nn.Sequential(nn.Linear(n_codes, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU())
        self.classifier = HEADS[head](self.n_features, n_classes)
        self.is_pictures = preprocessing is not None
        self.is_channels_last = False
        self.split = Split()
        if preprocessing is not None:
            # (value / 255 - mean) / std = value * scale + shift
            mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
            if n_channels == 1:
                mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
            self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1), persistent=False)
            self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1), persistent=False)

    def use_channels_last(self) -> None:
        """Lay pictures and convolutions out by pixel: on CPUs, pooling and convolutions run up to twice as fast."""
        self.is_channels_last = True
        channels_last(self)

    def features(self, X: Tensor) -> Tensor:
        """Return what the classifier is given, (n, n_features)."""
        if self.is_pictures:
            X = torch.addcmul(self.shift, X.to(torch.float32), self.scale)  # type: ignore[arg-type]
            layout = torch.channels_last if self.is_channels_last else torch.contiguous_format
            X = X.contiguous(memory_format=layout)
        return self.bottleneck(self.backbone(X).flatten(1))

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits, (n, n_classes)."""
        return self.classifier(features)

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, (n, n_classes)."""
        return self.classifier(self.features(X))


class _Grey(nn.Module):
    """RGB pictures with values in 0..255 to their luminance in whole grey levels."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(LUMINANCE).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures, (n, 1, height, width)."""
        return (pictures * self.weights).sum(1, keepdim=True).round()  # type: ignore[operator]


class _Shifted(nn.Module):
    """Pictures with values in 0..255 to what the backbone takes."""

    def __init__(self, network: AdaptedNetwork):
        super().__init__()
        for name in ("scale", "shift"):
            self.register_buffer(name, getattr(network, name), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the normalised pictures."""
        return torch.addcmul(self.shift, pictures.to(self.scale.dtype), self.scale)  # type: ignore[arg-type]


def flat(network: AdaptedNetwork, n_channels: int) -> nn.Sequential:
    """Return the same network as a plain sequence, which takes RGB pictures or rows; its norms are the target's."""
    parts: list[nn.Module] = [_Grey()] if network.is_pictures and n_channels == 1 else []
    parts += [_Shifted(network)] if network.is_pictures else []
    parts += [network.backbone, nn.Flatten(1), network.bottleneck, network.classifier]
    joined = nn.Sequential(*parts)
    for part in list(joined.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, DomainBatchNorm):
                setattr(part, name, child.norm)
    return joined


@dataclass(frozen=True)
class Plan:
    """What the network of a fit is made of.

    Attributes
    ----------
    backbone : Module
        Features; this very object is trained.
    n_codes : int
        Columns of its flattened output.
    preprocessing : Preprocessing or None
        Of pictures; None for feature rows.
    n_channels : int
        Of the pictures as the network is given them.
    is_pretrained : bool
        Whether the backbone learns at a tenth of the rate.
    is_own : bool
        Whether it is the library's own network for rows, which takes standardised ones.
    is_linear : bool
        Whether that one starts as a linear model.
    """

    backbone: nn.Module
    n_codes: int
    preprocessing: Preprocessing | None
    n_channels: int
    is_pretrained: bool
    is_own: bool
    is_linear: bool = False

    def build(
        self, n_classes: int, bottleneck: int | None, head: str, *, is_separate: bool, seed: int
    ) -> AdaptedNetwork:
        """Return the network with a new bottleneck and classifier."""
        with OwnDraws(seed):
            network = AdaptedNetwork(
                self.backbone, self.n_codes, n_classes, bottleneck=bottleneck,
                preprocessing=self.preprocessing, n_channels=self.n_channels, head=head,
            )  # fmt: skip
        if is_separate:
            separate(network, network.split)
        return network


def plan_rows(
    backbone: Any,
    weights: Any,
    n_columns: int,
    seed: int,
    n_features: int | None = None,
    *,
    is_regression: bool = False,
) -> Plan:
    """Return the plan for feature rows: a network of our own, or the user's module.

    Ours is the one that starts as a linear model where `n_features` is given, or as a ridge regression, else a small
    MLP.
    """
    if isinstance(backbone, str) and is_regression:
        with OwnDraws(seed):
            residual = ResidualRows(n_columns, hidden_units(n_columns))
        return Plan(residual, n_columns + hidden_units(n_columns), None, 0, is_pretrained=False, is_own=True)
    if isinstance(backbone, str) and n_features is not None:
        with OwnDraws(seed):
            start = RowBody(n_columns, n_features)
        return Plan(start, n_features, None, 0, is_pretrained=False, is_own=True, is_linear=True)
    if isinstance(backbone, str):
        n_hidden = hidden_units(n_columns)
        with OwnDraws(seed):
            body = nn.Sequential(nn.Linear(n_columns, n_hidden), nn.ReLU())
        nn.init.zeros_(body[0].bias)  # type: ignore[arg-type]
        return Plan(body, n_hidden, None, 0, is_pretrained=False, is_own=True)
    module = fresh_module(backbone, weights, seed)
    example = torch.linspace(-1, 1, 2 * n_columns).reshape(2, n_columns)
    return Plan(module, _n_codes(module, example, "rows"), None, 0, is_pretrained=False, is_own=False)


def hidden_units(n_columns: int) -> int:
    """Return the units of the library's own networks for rows."""
    return min(max(n_columns, HIDDEN[0]), HIDDEN[1])


def plan_pictures(
    backbone: Any, weights: Any, source: PictureSource, image_size: Any, preprocessing: Any, seed: int
) -> Plan:
    """Return the plan for pictures: a pretrained network, or the user's module as the extractor of features."""
    size: Any = image_size if image_size is None or isinstance(image_size, Integral) else tuple(image_size)
    if isinstance(backbone, str):
        loaded = load_backbone(DEFAULT_BACKBONE if backbone == "auto" else backbone, weights, seed=seed)
        expected = loaded.preprocessing.resized_to(size).overridden_by(preprocessing)
        module = cut_head(loaded.module, loaded.trace(expected.size)).requires_grad_(True)
        n_channels, is_pretrained = 3, weights is not None
    else:
        module = fresh_module(backbone, weights, seed)
        n_channels = _channels_of(module, source)
        expected = _preprocessing_of(module, source, n_channels, size).overridden_by(preprocessing)
        is_pretrained = hasattr(module, "pretrained_cfg") and weights is not None
    height, width = expected.size
    example = torch.linspace(-1, 1, 2 * n_channels * height * width).reshape(2, n_channels, height, width)
    n_codes = _n_codes(module, example, "pictures")
    return Plan(module, n_codes, expected, n_channels, is_pretrained=is_pretrained, is_own=False)


def fresh_module(backbone: Any, weights: Any, seed: int) -> nn.Module:
    """Return a copy of the user's network that may be trained; `weights` None draws its values anew."""
    is_default = isinstance(weights, str) and weights == "default"
    if isinstance(backbone, nn.Module) and is_default:
        check_network(backbone, "backbone")
        return own_copy(backbone).requires_grad_(True).float()
    return load_backbone(backbone, weights, seed=seed).fresh_module()


def _n_codes(module: nn.Module, example: Tensor, what: str) -> int:
    module.eval()
    try:
        with torch.no_grad(), OwnDraws(0):
            codes = module(example)
    except Exception as error:
        remedy = (
            "Rows that are flattened pictures need image_shape."
            if what == "rows"
            else "Check its number of input channels, and image_size: pictures are resized to it."
        )
        remedy = advice_on_network(error, module) or remedy
        raise ValueError(
            f"The backbone {type(module).__name__} fails on {what} of shape {tuple(example.shape)}: {error}. {remedy}"
        ) from error
    if not isinstance(codes, Tensor) or codes.ndim < 2 or len(codes) != len(example):
        found = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(
            f"The backbone {type(module).__name__} must return one feature vector, or map, a row: expected a tensor of "
            f"shape ({len(example)}, ...), got {found}."
        )
    return math.prod(codes.shape[1:])


def _channels_of(module: nn.Module, source: PictureSource) -> int:
    declared = declared_channels(module)
    if declared is not None:
        return declared
    return 1 if source.shape is not None and source.shape[3] == 1 else 3


def _preprocessing_of(module: nn.Module, source: PictureSource, n_channels: int, size: Any) -> Preprocessing:
    if hasattr(module, "pretrained_cfg"):
        return load_backbone(module).preprocessing.resized_to(size)
    base = GREY if n_channels == 1 else Preprocessing()
    if size is None and source.shape is not None:
        size = source.shape[1:3]
    return Preprocessing(base.size, 1.0, base.mean, base.std).resized_to(size)
