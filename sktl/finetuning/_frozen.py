"""Frozen layers run once: what they make of each picture, or view of it, is kept, and only the rest trains."""

from __future__ import annotations

import dataclasses
import math
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl._extraction import Extractor
from sktl.backbones import (
    PENULTIMATE,
    LayerOutputs,
    Suffix,
    block_recipe,
    layer_info,
    owner_of,
    unflattened,
)
from sktl.finetuning._batches import RESIDENT_BYTES, Examples, resident_bytes
from sktl.finetuning._networks import PictureNetwork, PictureSpec
from sktl.finetuning._picture_views import PictureViews
from sktl.finetuning._plan import frozen_end
from sktl.training import TensorBatches

CODES = "codes"  # a cut behind all layers: the head alone is trained


def cuts_before(spec: PictureSpec, freeze_until: Any) -> list[str]:
    """Return the layers after which a network can be cut that is frozen up to `freeze_until`, the deepest first."""
    loaded, trace = spec.load(), spec.trace()
    order = [call.name for call in trace.calls]
    end = frozen_end(freeze_until, trace)
    if spec.layer != PENULTIMATE and end >= order.index(spec.layer):
        return [CODES]
    if spec.layer == PENULTIMATE and end >= frozen_end(PENULTIMATE, trace):
        if loaded.remembered(("fixed beyond", spec.preprocessing.size), lambda: _is_fixed_beyond(spec)):
            return [CODES]
        end = min(end, order.index(trace.penultimate))
    frozen = order[end]
    names = [row.name for row in trace.layers if order.index(row.name) <= end]
    call = trace.call(frozen)
    if frozen not in names and call is not None and call.is_cut:
        names.append(frozen)
    return [name for name in reversed(names) if loaded.can_split_at(name, spec.preprocessing.size)]


@torch.no_grad()
def _is_fixed_beyond(spec: PictureSpec) -> bool:
    """Whether nothing between the deepest layer and the head, such as dropout, is another thing in training."""
    trace = spec.trace()
    prefix = LayerOutputs(spec.load().module, [trace.penultimate])
    try:
        suffix = Suffix(spec.load().module, trace.penultimate, trace)
        outputs = suffix.outputs(PENULTIMATE)
        z = prefix(torch.linspace(-1, 1, math.prod(trace.input_shape)).reshape(trace.input_shape))[0]
        with OwnDraws(0):
            codes, *others = (outputs.train(mode)(z)[0] for mode in (False, True, True))
    except Exception:  # the network cannot be cut there
        return False
    return all(torch.equal(codes, other) for other in others)


def is_untouched(names: Any, spec: PictureSpec, cut: str) -> bool:
    """Whether none of the tensors, by name, belongs to the part before the cut."""
    order = [call.name for call in spec.trace().calls]
    end = order.index(spec.layer if cut == CODES else cut)
    owners = {owner_of(name).removeprefix("network.") for name in names}
    return owners.isdisjoint(order[: end + 1])


class RestNetwork(nn.Module):
    """A `PictureNetwork` without its frozen part, whose outputs it takes; what it trains is the whole network's own.

    Parameters
    ----------
    whole : PictureNetwork
        The network.
    spec : PictureSpec
        Of the whole network.
    cut : str
        One of `cuts_before`.
    """

    def __init__(self, whole: PictureNetwork, spec: PictureSpec, cut: str):
        super().__init__()
        self.head, self.unit = whole.head, whole.unit
        self._codes: Any = None
        self._info = None
        if cut == CODES:
            return
        trace = spec.trace()
        self._info = layer_info(cut, trace)
        suffix = Suffix(whole.network, cut, trace, shares=True)
        self.network = suffix.rest  # by the same names as in the whole network
        info = layer_info(spec.layer, trace)
        outputs = suffix.outputs(spec.layer, lambda z, _: spec.pooling(z, info))
        self._codes = [suffix if spec.is_whole else lambda z: outputs(z)[0]]

    def forward(self, flattened: Tensor) -> Tensor:
        """Return the outputs (n, n_outputs) from the frozen part's, flattened (n, k)."""
        if self._codes is None or self._info is None:
            return self.head(self.unit(flattened))
        return self.head(self.unit(self._codes[0](unflattened(flattened, self._info))))


@dataclass(frozen=True)
class FrozenPart:
    """The part of a network before a cut.

    Attributes
    ----------
    cut : str
        The layer after which the network is cut, or `CODES`.
    extractor : Extractor
        Computes what comes out there, flattened.
    """

    cut: str
    extractor: Extractor

    def blocks(self, examples: Examples, device: torch.device, n_views: int, augment: Any, watch: Any = None) -> Blocks:
        """Compute, or take from the store, the outputs of examples; `watch` is told how many there are by now.

        Raises
        ------
        OSError
            If they fit neither in memory nor on the disk.
        """
        source = PictureViews(examples.data, examples.indices, n_views, augment)  # type: ignore[arg-type]
        width = sum(self.extractor.recipe.n_features)
        values = _room(len(source), width, self.extractor.recipe.storage, device)
        for start, block in dataclasses.replace(self.extractor, watch=watch).iter_codes(source):
            values[start : start + len(block)] = torch.from_numpy(block)
        return Blocks(values, n_views)


@dataclass(frozen=True)
class Blocks:
    """The frozen part's outputs, (n * n_views, k) in the order of examples and, for each, of its views."""

    values: Tensor
    n_views: int

    def batches(self, examples: Examples, batch_size: int, *, device: torch.device, **options: Any) -> TensorBatches:
        """Return batches of them, each row a view drawn at random; the rows' order is that of the pictures' batches."""
        places = torch.arange(len(examples))
        options = {**options, "device": device, "transform": self._look_up}
        return TensorBatches((places, *examples.batch_labels), batch_size, **options)

    def _look_up(self, batch: Any, generator: torch.Generator) -> Any:
        places = batch[0]
        if self.n_views > 1:
            views = torch.randint(self.n_views, places.shape, generator=generator, device=places.device)
            places = places * self.n_views + views
        values = self.values.index_select(0, places.to(self.values.device))
        return (values.to(batch[0].device, torch.float32), *batch[1:])


def block_extractor(extractor: Extractor, cut: str) -> Extractor:
    """Return what computes the outputs at a cut, by what computes the codes."""
    recipe = extractor.recipe if cut == CODES else block_recipe(extractor.recipe, cut)
    return dataclasses.replace(extractor, recipe=recipe, resumes=extractor.cache is not None)


def _room(n: int, width: int, storage: str, device: torch.device) -> Tensor:
    """Return an empty tensor on the device, else in memory, else in a file that vanishes with it."""
    dtype = {"float32": torch.float32, "float16": torch.float16}[storage]
    n_bytes = n * width * dtype.itemsize
    if n_bytes <= resident_bytes(device):
        return torch.empty((n, width), dtype=dtype, device=device)
    if n_bytes <= RESIDENT_BYTES:
        return torch.empty((n, width), dtype=dtype)
    with tempfile.TemporaryFile(prefix="sktl-blocks-") as file:
        _reserve(file, n_bytes)
        return torch.from_numpy(np.memmap(file, dtype=storage, mode="r+", shape=(n, width)))


def _reserve(file: Any, n_bytes: int) -> None:
    """Take the disk space now: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    else:
        file.truncate(n_bytes)
