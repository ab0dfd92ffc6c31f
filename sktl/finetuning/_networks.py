"""The networks that are fine-tuned: a backbone up to some layer with a linear head, and a residual MLP for rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import normalize
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl._memory_format import channels_last
from sktl._preprocessing import Preprocessing
from sktl.backbones import (
    PENULTIMATE,
    Backbone,
    LayerOutputs,
    NetworkIdentity,
    Normalisation,
    Pooling,
    Trace,
    ends_in_codes,
    layer_info,
    load_backbone,
    resolve_layers,
    without_heads,
)
from sktl.exceptions import WeightsError

HIDDEN = (16, 128)  # units of the MLP for feature rows, at least and at most; else as many as there are features


class UnitLength(nn.Module):
    """Codes to codes of length 1."""

    def forward(self, codes: Tensor) -> Tensor:
        """Return x / ||x||; zeros stay."""
        return nn.functional.normalize(codes, dim=1)


class PictureNetwork(nn.Module):
    """Pictures (n, 3, height, width) with values in 0..255 to outputs: normalised, backbone, pooled, linear head."""

    def __init__(self, network: nn.Module, spec: PictureSpec, trace: Trace):
        super().__init__()
        self.network = network
        self.head = nn.utils.skip_init(nn.Linear, spec.n_codes, spec.n_outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self._layer = None if spec.is_whole else spec.layer
        self._info = layer_info(spec.layer, trace)
        self._heads = trace.code_heads
        self._pooling = spec.pooling
        self.unit = UnitLength() if spec.unit_length else nn.Identity()
        self.stops = True  # at the layer; see LayerOutputs
        self.normalisation = Normalisation(spec.preprocessing, trace.input_shape[1])

    def codes(self, pictures: Tensor) -> Tensor:
        """Return what enters the head, (n, n_codes)."""
        x = self.normalisation(pictures)
        if self._layer is None:
            return self.unit(self.network(x))
        outputs = LayerOutputs(self.network, [self._layer], self._pooled, stops=self.stops, heads=self._heads)
        return self.unit(outputs(x)[0])

    def _pooled(self, output: Tensor, layer: str) -> Tensor:
        return self._pooling(output, self._info)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the outputs, (n, n_outputs)."""
        return self.head(self.codes(pictures))


def flat(network: nn.Module) -> nn.Module:
    """Return the same network as a plain sequence, where it takes the backbone's own output: scripts follow that."""
    if isinstance(network, PictureNetwork) and network._layer is None:
        unit = [] if isinstance(network.unit, nn.Identity) else [network.unit]
        return nn.Sequential(network.normalisation, network.network, *unit, network.head)
    return network


class RowNetwork(nn.Module):
    """Standardised feature rows to outputs; starts as the linear model on the rows.

    The body is a residual MLP, x + U relu(D x), with U = 0 at first: before training its codes are the rows, so that
    a head solved on the rows is where training starts.
    """

    def __init__(self, n_features: int, n_hidden: int, n_outputs: int, seed: int):
        super().__init__()
        self.down = nn.utils.skip_init(nn.Linear, n_features, n_hidden)
        self.up = nn.utils.skip_init(nn.Linear, n_hidden, n_features)
        self.head = nn.utils.skip_init(nn.Linear, n_features, n_outputs)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.down.weight, std=math.sqrt(2 / n_features), generator=generator)
        for zero in (self.down.bias, self.up.weight, self.up.bias, self.head.weight, self.head.bias):
            nn.init.zeros_(zero)

    def codes(self, rows: Tensor) -> Tensor:
        """Return what enters the head."""
        return rows + self.up(torch.relu(self.down(rows)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the outputs, (n, n_outputs)."""
        return self.head(self.codes(rows))


@dataclass(frozen=True)
class PictureSpec:
    """All that rebuilds a `PictureNetwork` as it was before training; pickles refer to the backbone, not copy it.

    With `unit_length` the head is given codes of length 1.
    """

    backbone: Any
    weights: Any
    seed: int
    fingerprint: str
    preprocessing: Preprocessing
    layer: str
    pooling: Pooling
    is_whole: bool
    n_codes: int
    n_outputs: int
    identity: NetworkIdentity | None = None
    unit_length: bool = False

    def in_unit(self, codes: np.ndarray) -> np.ndarray:
        """Return codes as the head is given them."""
        return normalize(codes.astype(np.float64)) if self.unit_length else codes

    def load(self) -> Backbone:
        """Return the backbone, the same as in `fit`."""
        held: dict[str, Any] = vars(self)
        if "_loaded" not in held:  # a module of the user's takes long to tell from others
            held["_loaded"] = self._checked()
        return held["_loaded"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_loaded"}

    def _checked(self) -> Backbone:
        loaded = load_backbone(self.backbone, self.weights, seed=self.seed)
        identity = self.identity
        if loaded.fingerprint != self.fingerprint and (identity is None or not identity.is_of(loaded.identity)):
            raise WeightsError(
                f"This estimator was fitted from other values of {loaded.name}: fingerprint {self.fingerprint[:12]}, "
                f"now {loaded.fingerprint[:12]}. Restore those weights, or fit again."
            )
        return loaded

    def trace(self) -> Trace:
        """Return the backbone's layers."""
        return self.load().trace(self.preprocessing.size)

    def build(self) -> PictureNetwork:
        """Return the network with pretrained values and a head of zeros."""
        loaded = self.load()
        trace = self.trace()
        if self.layer == PENULTIMATE:
            network = without_heads(loaded.module, trace, ends_in_codes=self.is_whole)
        else:
            network = loaded.fresh_module()
        return channels_last(PictureNetwork(network.requires_grad_(True).eval(), self, trace))


@dataclass(frozen=True)
class RowSpec:
    """All that rebuilds a `RowNetwork` as it was before training."""

    n_features: int
    n_hidden: int
    n_outputs: int
    seed: int

    def build(self) -> RowNetwork:
        """Return the network that is linear so far, with a head of zeros."""
        return RowNetwork(self.n_features, self.n_hidden, self.n_outputs, self.seed)


def picture_spec(
    backbone: Any, weights: Any, seed: int, preprocessing: Preprocessing, layer: Any, n_outputs: int,
    unit_length: bool = False,
) -> PictureSpec:  # fmt: skip
    """Return the plan of a network whose head sits behind `layer` of a backbone."""
    loaded = load_backbone(backbone, weights, seed=seed)
    trace = loaded.trace(preprocessing.size)
    names = resolve_layers(layer, trace)
    if len(names) != 1:
        raise ValueError(f"layer must be one layer, behind which the head sits; got {len(names)}: {layer!r}.")
    question = ("ends in codes", preprocessing.size)
    is_whole = names[0] == PENULTIMATE and loaded.remembered(question, lambda: ends_in_codes(loaded.module, trace))
    pooling = Pooling("auto")
    n_codes = pooling.n_features(layer_info(names[0], trace))
    return PictureSpec(
        backbone, weights, seed, loaded.fingerprint, preprocessing, names[0], pooling, is_whole, n_codes, n_outputs,
        loaded.identity, unit_length,
    )  # fmt: skip


@torch.no_grad()
def randomise(module: nn.Module, seed: int) -> None:
    """Draw all values anew: He's normal values for convolutions, Glorot's for linear layers, and what else resets."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            fan_out = part.out_channels // part.groups * part.weight[0, 0].numel()
            nn.init.normal_(part.weight, std=math.sqrt(2 / fan_out), generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif hasattr(part, "reset_parameters"):
            with OwnDraws(int(torch.randint(2**31, (), generator=generator))):
                part.reset_parameters()  # type: ignore[operator]
        else:
            for parameter in part.parameters(recurse=False):
                if parameter.ndim > 1:
                    nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
