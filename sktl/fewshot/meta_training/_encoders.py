"""The networks that meta-learners train: rows or pictures to codes, and codes to outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from sktl._draws import OwnDraws
from sktl._validation import advice_on_network
from sktl.backbones import cut_head, load_backbone, own_copy
from sktl.fewshot.meta_training._episodic_batch_norm import EpisodicBatchNorm, with_episodic_batch_norm
from sktl.fewshot.meta_training._inputs import OWN_NETWORKS, InputSpec
from sktl.fewshot.meta_training._residual_rows import ResidualRows

FILTERS = 64
HIDDEN = (40, 256)  # units of the MLP for feature rows, at least and at most; else as many as there are features


class Encoder(nn.Module):
    """Rows, or pictures with values in 0..255, to codes.

    Attributes
    ----------
    code_shape : tuple of int
        (n_codes,), or (channels, height, width) where maps are kept.
    row_shape : tuple of int
        (n_features,), or (channels, height, width).
    """

    def __init__(self, network: nn.Module, shift: Tensor, scale: Tensor, *, keeps_maps: bool = False):
        super().__init__()
        self.network = network
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.keeps_maps = keeps_maps
        self.code_shape: tuple[int, ...] = ()
        self.row_shape: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, *code_shape)."""
        codes = self.network(self.scaled(x))
        return codes if self.keeps_maps else codes.flatten(1)

    def scaled(self, x: Tensor) -> Tensor:
        """Return rows as the network is given them."""
        shift: Any = self.shift
        scale: Any = self.scale
        return (x.to(scale.dtype) + shift) * scale


class NetworkWithHead(nn.Module):
    """An encoder with a linear head of its own: what optimisation-based learners adapt."""

    def __init__(self, body: Encoder, n_outputs: int):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.code_shape[0], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, n_outputs)."""
        return self.head(self.body(x))


@dataclass(frozen=True)
class EncoderPlan:
    """All that rebuilds an encoder as it was before training.

    Attributes
    ----------
    backbone : str or Module
        As the user gave it.
    spec : InputSpec
        What goes in.
    seed : int
        Of the values.
    is_adapted : bool
        Whether copies are adapted by gradient steps: batch norm is then episodic, and the codes are rectified.
    keeps_maps : bool
        Whether codes are feature maps where the network has them; conv4 then pools twice only.
    """

    backbone: Any
    spec: InputSpec
    seed: int
    is_adapted: bool = False
    keeps_maps: bool = False

    def build(self) -> Encoder:
        """Return the encoder on the CPU; torch's global generator stays as it is."""
        with OwnDraws(self.seed):
            encoder = self._built()
        encoder.code_shape, encoder.row_shape = _code_shape(encoder, self.spec), self.spec.shape
        if len(encoder.code_shape) not in (1, 3):
            raise ValueError(
                f"backbone must turn a batch into codes (n, n_codes), or into maps (n, channels, height, width); it "
                f"made (n, {', '.join(map(str, encoder.code_shape))}) of rows of shape {self.spec.shape}."
            )
        return encoder

    def _built(self) -> Encoder:
        spec, backbone = self.spec, self.backbone
        shape = (1, -1) if spec.is_rows else (1, spec.shape[0], 1, 1)
        shift, scale = torch.zeros(spec.shape[0]).view(shape), torch.ones(spec.shape[0]).view(shape)
        scale = scale if spec.is_rows else scale / 255
        if isinstance(backbone, nn.Module):
            network = own_copy(backbone).float().requires_grad_(True)
            if self.is_adapted:
                _check_adaptable(backbone)
        elif backbone not in OWN_NETWORKS:
            network, shift, scale = _backbone(backbone, spec)
        elif backbone == "identity":
            network = nn.Identity()
        elif backbone == "residual":
            network = ResidualRows(spec.shape[0])
        elif spec.is_rows:
            network = mlp(spec.shape[0], is_adapted=self.is_adapted)
        else:
            network = conv4(spec.shape, is_adapted=self.is_adapted, n_pools=2 if self.keeps_maps else 4)
        if self.is_adapted and (isinstance(backbone, nn.Module) or backbone not in OWN_NETWORKS):
            network = with_episodic_batch_norm(network)
        return Encoder(network, shift, scale, keeps_maps=self.keeps_maps)


def conv4(shape: tuple[int, ...], *, is_adapted: bool = False, n_pools: int = 4) -> nn.Sequential:
    """Return four blocks of convolution (64 filters), batch norm, ReLU and max-pooling, as long as there is a map."""
    n_in, height, width = shape
    blocks = []
    for number in range(4):
        norm = EpisodicBatchNorm(FILTERS, name=f"block{number}") if is_adapted else nn.BatchNorm2d(FILTERS)
        layers: list[nn.Module] = [nn.Conv2d(n_in, FILTERS, 3, padding=1), norm]
        if number < n_pools and min(height, width) >= 2:
            layers.append(nn.MaxPool2d(2))  # max(relu(z)) = relu(max(z)), on a quarter of the values
            height, width = height // 2, width // 2
        blocks.append(nn.Sequential(*layers, nn.ReLU()))
        n_in = FILTERS
    return nn.Sequential(*blocks)


def mlp(n_features: int, *, is_adapted: bool = False) -> nn.Sequential:
    """Return two linear layers with a ReLU between, and one behind where a linear head follows."""
    width = int(np.clip(n_features, *HIDDEN))
    layers: list[nn.Module] = [nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers, *([nn.ReLU()] if is_adapted else []))


def standardised(encoder: Encoder, rows: Tensor) -> None:
    """Make the encoder of feature rows standardise them by their mean and standard deviation."""
    std = rows.std(0, correction=0)
    shift, scale = encoder.shift, encoder.scale
    assert isinstance(shift, Tensor)
    assert isinstance(scale, Tensor)
    shift.copy_(-rows.mean(0, keepdim=True))
    scale.copy_((1 / torch.where(std > 0, std, 1.0)).unsqueeze(0))


def wants_standardised_rows(plan: EncoderPlan) -> bool:
    """Whether rows are to be standardised: for our own networks but that of directions, not for the user's modules."""
    return plan.spec.is_rows and not isinstance(plan.backbone, nn.Module) and plan.backbone != "residual"


def _backbone(name: str, spec: InputSpec) -> tuple[nn.Module, Tensor, Tensor]:
    loaded = load_backbone(name)
    size = (spec.shape[1], spec.shape[2])
    preprocessing = replace(loaded.preprocessing, size=size)
    # (value / 255 - mean) / std = (value - 255 mean) / (255 std)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return cut_head(loaded.module, loaded.trace(size)).requires_grad_(True), -255 * mean, 1 / (255 * std)


def _check_adaptable(module: nn.Module) -> None:
    """Raise ValueError where a layer changes itself with each call, which copies for many tasks at once cannot."""
    for name, part in module.named_modules():
        if isinstance(part, _SpectralNorm):
            raise ValueError(
                "backbone is adapted to many tasks at once, but spectral_norm changes its layer "
                f"{name.partition('.parametrizations')[0]!r} with each call. Use torch.nn.utils.parametrizations."
                "weight_norm, or a metric-based learner."
            )


@torch.no_grad()
def _code_shape(encoder: Encoder, spec: InputSpec) -> tuple[int, ...]:
    was_training = encoder.training
    try:
        codes = encoder.eval()(torch.zeros(2, *spec.shape))
    except (RuntimeError, AttributeError) as error:
        advice = advice_on_network(error, encoder)
        if advice is not None:
            raise ValueError(f"backbone fails ({error}). {advice}") from error
        if isinstance(error, AttributeError):
            raise
        raise ValueError(
            f"backbone cannot take rows of shape {spec.shape}: {error}. It is called with a batch of them"
            + ("." if spec.is_rows else ", values in [0, 1].")
        ) from error
    finally:
        encoder.train(was_training)
    return tuple(codes.shape[1:])
