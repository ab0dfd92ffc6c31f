"""What decides a picture's codes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import xxhash

from sktl._preprocessing import Preprocessing
from sktl.backbones._backbone import Backbone
from sktl.backbones._layers import LayerInfo
from sktl.backbones._pooling import Pooling
from sktl.backbones._quantisation import Calibration
from sktl.backbones._selection import layer_info

CODE_FORMAT = 4  # raise it when the same recipe comes to mean other codes


@dataclass(frozen=True)
class CodeRecipe:
    """All that decides a picture's codes, and nothing else.

    Attributes
    ----------
    backbone : Backbone
        The network.
    layers : tuple of str
        Names of modules.
    pooling : Pooling
        From a layer's output to a vector.
    preprocessing : Preprocessing
        From a picture to the network's input.
    dtype : torch.dtype
        What layers compute in; int8 goes with a `calibration`.
    draft : bool
        Whether big JPEG files are decoded at a reduced scale.
    storage : {"float32", "float16"}
        What codes are kept in.
    calibration : Calibration or None
        What the ranges of layers in 8 bits are learned from.
    """

    backbone: Backbone
    layers: tuple[str, ...]
    pooling: Pooling
    preprocessing: Preprocessing
    dtype: torch.dtype
    draft: bool = True
    storage: str = "float32"
    calibration: Calibration | None = None

    @property
    def infos(self) -> tuple[LayerInfo, ...]:
        """Return the descriptions of the layers."""
        trace = self.backbone.trace(self.preprocessing.size)
        return tuple(layer_info(name, trace) for name in self.layers)

    @property
    def heads(self) -> tuple[str, ...]:
        """Return the names of the classifiers whose inputs are the network's codes."""
        return self.backbone.trace(self.preprocessing.size).code_heads

    @property
    def n_features(self) -> tuple[int, ...]:
        """Return the length of each layer's code."""
        return tuple(self.pooling.n_features(info) for info in self.infos)

    def with_layers(self, layers: tuple[str, ...]) -> CodeRecipe:
        """Return the same recipe for other layers."""
        return self if layers == self.layers else replace(self, layers=layers)

    def earlier_blocks(self) -> list[CodeRecipe]:
        """Return the recipes of whole outputs from which the one layer of this recipe can be computed on to the bit.

        They are those of `block_recipe` in full precision, deepest first.
        """
        (layer,) = self.layers
        trace = self.backbone.trace(self.preprocessing.size)
        order = [call.name for call in trace.calls]
        rows = [row.name for row in trace.layers if order.index(row.name) <= order.index(layer)]
        recipes = [block_recipe(self, name) for name in reversed(rows)]
        return [recipe for recipe in recipes if recipe.storage == "float32" and recipe != self]

    def cache_keys(self, engine: str, device: torch.device) -> list[bytes]:
        """Return 16 bytes a layer that change with whatever changes a bit of its codes."""
        common: tuple = (CODE_FORMAT, torch.__version__, self.backbone.fingerprint, self.pooling, self.preprocessing,
                  self.dtype, self.draft, engine, device.type)  # fmt: skip
        common += () if self.storage == "float32" else (self.storage,)
        common += () if self.calibration is None else (self.calibration,)
        return [xxhash.xxh3_128_digest(repr((*common, layer)).encode()) for layer in self.layers]


def block_recipe(recipe: CodeRecipe, layer: str) -> CodeRecipe:
    """Return the recipe of a layer's whole output, from which the rest of the network can go on.

    It is kept in float32 where that takes no more bytes than the picture does, else in float16.
    """
    height, width = recipe.preprocessing.size
    whole = replace(recipe, layers=(layer,), pooling=Pooling("whole"), storage="float32")
    (n_values,) = whole.n_features
    return whole if 4 * n_values <= 3 * height * width else replace(whole, storage="float16")
