"""From a layer's output to one vector a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from torch.nn import functional

from sktl.backbones._layers import LayerInfo

POOLINGS = ("auto", "avg", "max", "avgmax", "gem", "flatten", "pyramid", "token", "tokenavg")


@dataclass(frozen=True)
class Pooling:
    """How a map or a transformer's tokens become one vector.

    Parameters
    ----------
    kind : {"auto", "avg", "max", "avgmax", "gem", "flatten", "pyramid", "token", "tokenavg", "whole"}
        The mean ("auto", and "avg"), maximum, both; generalised mean (Radenovic et al., 2019); the whole map; means
        over the cells of ever finer grids (Lazebnik et al., 2006); a transformer's class token, or it and behind it
        the mean of the patches. "whole" pools nothing and loses nothing: what it flattens, `unflattened` gives back;
        the network goes on from there.
    gem_power : float
        The power p of the generalised mean: 1 is the mean, infinity the maximum.
    pyramid_levels : tuple of int
        Cells a side of each grid.
    """

    kind: str = "auto"
    gem_power: float = 3.0
    pyramid_levels: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        levels = self.pyramid_levels
        if not len(levels) or not all(isinstance(level, Integral) and level > 0 for level in levels):
            raise ValueError(f"pyramid_levels must be cells a side, each at least 1; got {levels!r}.")
        # Plain numbers for NumPy's: keys of codes are made of them.
        object.__setattr__(self, "pyramid_levels", tuple(int(level) for level in levels))
        object.__setattr__(self, "gem_power", float(self.gem_power))

    def __call__(self, output: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
        """Pool `output` of `layer`: (batch, ...) to (batch, n), float32, in memory of its own."""
        if self.kind == "whole":  # maps as (height, width, channels), which is how channels_last lies in memory
            output = output.permute(0, 2, 3, 1) if layer.kind == "map" and output.ndim == 4 else output
            return output.flatten(1).float().clone(memory_format=torch.contiguous_format)
        if layer.kind == "vector":
            return output.flatten(1).float().clone()
        if self.kind in ("token", "tokenavg"):
            token = output[:, layer.class_token].float().clone()
            if self.kind == "token":
                return token
            patches = output[:, layer.n_prefix_tokens :].float()  # (batch, patches, channels)
            return torch.cat([token, patches.mean(dim=1)], dim=1)
        maps = self._as_maps(output, layer).float()  # (batch, channels, height, width)
        if self.kind == "flatten":
            return maps.flatten(1).clone(memory_format=torch.contiguous_format)
        if self.kind == "pyramid":
            cells = [functional.adaptive_avg_pool2d(maps, level).flatten(1) for level in self.pyramid_levels]
            return torch.cat(cells, dim=1)
        values = maps.flatten(2)  # (batch, channels, positions)
        if self.kind in ("auto", "avg"):
            return values.mean(dim=2)
        if self.kind == "max":
            return values.amax(dim=2)
        if self.kind == "avgmax":
            return torch.cat([values.mean(dim=2), values.amax(dim=2)], dim=1)
        # GeM = (mean of x^p)^(1/p) over positions, x clamped above zero
        return values.clamp(min=1e-6).pow(self.gem_power).mean(dim=2).pow(1 / self.gem_power)

    def n_features(self, layer: LayerInfo) -> int:
        """Return the length of the pooled vector of `layer`.

        Raises
        ------
        ValueError
            If this pooling does not apply to such a layer.
        """
        if self.kind == "whole":
            return math.prod((layer.channels or 1, *layer.resolution))
        if layer.kind == "vector" and self.kind not in ("token", "tokenavg"):
            return layer.channels
        if layer.kind == "unknown":
            raise ValueError(
                f"Nothing tells which axis of the layer {layer.name!r} holds the channels; a picture's output has the "
                f"shape {layer.resolution}. Take another layer: sktl.list_layers shows what each returns."
            )
        if layer.kind == "tokens" and layer.n_prefix_tokens is None:
            raise ValueError(
                f"Nothing tells which of the {layer.resolution[0]} tokens of the layer {layer.name!r} are patches of "
                "the picture. Take layers='penultimate' with pooling='auto', or another layer."
            )
        if self.kind in ("token", "tokenavg"):
            self._check_class_token(layer)
            return layer.channels * (2 if self.kind == "tokenavg" else 1)
        cells = self._n_positions(layer)
        if self.kind == "flatten":
            return layer.channels * cells
        if self.kind == "pyramid":
            if layer.kind == "tokens" and layer.grid is None:
                raise ValueError(
                    f"pooling='pyramid' needs a grid, but nothing tells that of the {cells} tokens of {layer.name!r}. "
                    "Use pooling='avg'."
                )
            return layer.channels * sum(level**2 for level in self.pyramid_levels)
        return layer.channels * (2 if self.kind == "avgmax" else 1)

    def _check_class_token(self, layer: LayerInfo) -> None:
        if layer.kind != "tokens" or not layer.n_prefix_tokens:
            problem = f"the layer {layer.name!r} has none"
        elif layer.class_token is None:
            problem = (
                f"nothing tells that one of the {layer.n_prefix_tokens} tokens before the patches of the layer "
                f"{layer.name!r} is one: the network's own head reads none of them alone, and none is called so"
            )
        else:
            return
        raise ValueError(f"pooling={self.kind!r} takes a transformer's class token, but {problem}. Use pooling='avg'.")

    @staticmethod
    def _n_positions(layer: LayerInfo) -> int:
        return math.prod(layer.resolution) - (layer.n_prefix_tokens or 0)

    @staticmethod
    def _as_maps(output: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
        if layer.kind == "map":
            return output if output.ndim == 4 else output.unsqueeze(2)
        if layer.kind == "map_last":
            return output.permute(0, 3, 1, 2)
        patches = output[:, layer.n_prefix_tokens or 0 :].transpose(1, 2)  # (batch, channels, patches)
        return patches.unsqueeze(2) if layer.grid is None else patches.unflatten(2, layer.grid)


def unflattened(values: torch.Tensor, layer: LayerInfo) -> torch.Tensor:
    """Return the output of `layer` that the pooling "whole" has flattened, maps in memory format channels_last."""
    if layer.kind == "unknown":
        return values.unflatten(1, layer.resolution)
    if layer.kind != "map":
        return values.unflatten(1, (*layer.resolution, layer.channels))
    if len(layer.resolution) == 1:
        return values.unflatten(1, (layer.channels, *layer.resolution))
    return values.unflatten(1, (*layer.resolution, layer.channels)).permute(0, 3, 1, 2)
