"""Running a network over batches of pictures by PyTorch: uint8 in, codes out."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator

import numpy as np
import torch
from torch import nn

from sktl._device import autocast, exact_float32, keep_freed_memory
from sktl._draws import repeatable
from sktl.backbones._channels import Normalisation
from sktl.backbones._pooling import unflattened
from sktl.backbones._recipe import CodeRecipe
from sktl.backbones._selection import layer_info
from sktl.backbones._small_batches import SmallBatches
from sktl.backbones._surgery import LayerOutputs, Suffix

Batches = Iterator[tuple[np.ndarray, torch.Tensor]]
Codes = Generator[tuple[np.ndarray, tuple[np.ndarray, ...]], None, None]


class Engine(ABC):
    """Computes the codes of a stream of batches."""

    name: str

    def __init__(self) -> None:
        self._small_batches = SmallBatches()

    def fed(self, batch: torch.Tensor, size: int) -> torch.Tensor:
        """Return a batch as it is to be run where `size` are run at once: as it is, or filled up with black."""
        return self._small_batches.fed(batch, size, self._once)

    def _once(self, batch: torch.Tensor) -> tuple[np.ndarray, ...]:
        with contextlib.closing(self.run(iter([(np.arange(len(batch)), batch)]))) as results:
            return next(results)[1]

    @abstractmethod
    def run(self, batches: Batches) -> Codes:
        """Yield (indices, one float32 array (batch, n) a layer) for each (indices, uint8 tensor (batch, 3, H, W))."""


class CodeNetwork(nn.Module):
    """Pictures as uint8 numbers to pooled codes: normalisation, the network up to the deepest layer, pooling."""

    def __init__(self, recipe: CodeRecipe, device: torch.device, packed: bool = False):
        super().__init__()
        network = recipe.backbone.prepared(device, recipe.preprocessing.size, recipe.layers, packed=packed)
        infos, pooling = dict(zip(recipe.layers, recipe.infos)), recipe.pooling
        self.outputs = LayerOutputs(
            network, recipe.layers, lambda output, name: pooling(output, infos[name]), heads=recipe.heads
        )
        n_channels = recipe.backbone.trace(recipe.preprocessing.size).input_shape[1]
        self.normalisation = Normalisation(recipe.preprocessing, n_channels, device)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return one float32 tensor (batch, n) a layer."""
        return self.outputs(self.normalisation(batch))


class ResumedNetwork(nn.Module):
    """The same codes, of one layer, computed on from the whole output of an earlier layer, as it is kept flattened."""

    def __init__(self, recipe: CodeRecipe, start: str, device: torch.device, packed: bool = False):
        super().__init__()
        (layer,) = recipe.layers
        trace = recipe.backbone.trace(recipe.preprocessing.size)
        self._start, info, pooling = layer_info(start, trace), recipe.infos[0], recipe.pooling
        self._pooled = lambda output, name=layer: pooling(output, info)
        self.outputs: LayerOutputs | None = None
        if start != layer:
            if not recipe.backbone.can_split_at(start, recipe.preprocessing.size):
                raise ValueError(f"{recipe.backbone.name} cannot be split at {start!r}.")
            network = recipe.backbone.prepared(device, recipe.preprocessing.size, recipe.layers, packed=packed)
            self.outputs = Suffix(network, start, trace).outputs(layer, self._pooled)

    def forward(self, flattened: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return one float32 tensor (batch, n)."""
        output = unflattened(flattened, self._start)
        return (self._pooled(output),) if self.outputs is None else self.outputs(output)


class TorchEngine(Engine):
    """PyTorch: batch norms folded, channels last, no gradients; each layer pooled the moment it is computed.

    On CUDA the copies of the next batch, pinned and on a stream of their own, run beside the network, and codes are
    fetched one batch late, so that the GPU always has work waiting. With `start`, batches are not pictures but that
    layer's outputs.
    """

    name = "torch"

    def __init__(self, recipe: CodeRecipe, device: torch.device, compile: bool = False, start: str | None = None):
        super().__init__()
        self.lock = recipe.backbone.lock  # not the network: it keeps its engines
        self.dtype = recipe.dtype
        self.device = device
        if device.type == "cpu":
            keep_freed_memory()
        packed = device.type == "cpu" and recipe.dtype == torch.float32
        with recipe.backbone.lock:
            self._network: nn.Module = (
                CodeNetwork(recipe, device, packed) if start is None else ResumedNetwork(recipe, start, device, packed)
            )
        self._is_compiled = compile and device.type == "cuda"
        if self._is_compiled:
            self._network = torch.compile(self._network)  # type: ignore[assignment]
        self._copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def run(self, batches: Batches) -> Codes:
        if self._copy_stream is None:
            for indices, batch in batches:
                yield indices, tuple(code.cpu().numpy() for code in self._codes(batch))
        else:
            yield from self._run_on_cuda(batches)

    @torch.inference_mode()
    def _codes(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the codes of a batch, of its halves where the device has too little memory for all of it."""
        try:
            same_draws: contextlib.AbstractContextManager = (
                contextlib.nullcontext() if self._is_compiled else repeatable(self._network)
            )
            with self.lock, exact_float32(self.device), autocast(self.device, self.dtype), same_draws:
                return self._network(batch.to(self.device, non_blocking=True))
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                height, width = batch.shape[-2:]
                raise MemoryError(
                    f"{self.device} has too little memory for one picture of {height} x {width} pixels. Lower "
                    "image_size, take earlier layers, set precision='bfloat16', or free memory on the device."
                ) from error
        torch.cuda.empty_cache()
        halves = [self._codes(half) for half in batch.split((len(batch) + 1) // 2)]
        return tuple(torch.cat(codes) for codes in zip(*halves))

    def _run_on_cuda(self, batches: Batches) -> Codes:
        compute = torch.cuda.current_stream(self.device)
        waiting: tuple[np.ndarray, tuple[torch.Tensor, ...], torch.cuda.Event] | None = None
        ahead = self._copied(batches)
        for indices, batch, copied in ahead:
            compute.wait_event(copied)
            batch.record_stream(compute)
            codes = tuple(code.to("cpu", non_blocking=True) for code in self._codes(batch))
            done = torch.cuda.Event()
            done.record(compute)
            if waiting is not None:
                yield self._fetched(waiting)
            waiting = indices, codes, done
        if waiting is not None:
            yield self._fetched(waiting)

    @staticmethod
    def _fetched(waiting) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        indices, codes, done = waiting
        done.synchronize()
        return indices, tuple(code.numpy() for code in codes)

    def _copied(self, batches: Batches) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.cuda.Event]]:
        """Yield batches on the device, the copy of the following one already under way."""
        assert self._copy_stream is not None
        held = None
        for indices, batch in batches:
            pinned = batch.pin_memory()
            with torch.cuda.stream(self._copy_stream):
                on_device = pinned.to(self.device, non_blocking=True)
                copied = torch.cuda.Event()
                copied.record(self._copy_stream)
            if held is not None:
                yield held
            held = indices, on_device, copied
        if held is not None:
            yield held


def auto_batch_size(engine: str, device: torch.device, size: tuple[int, int]) -> int:
    """Return how many pictures of `size` pixels go through the network at once.

    On a CPU a batch should fit the cache of a core: measured with EfficientNet-Lite0 and MobileNetV2 at 224 px on two
    cores, 4 pictures run 1.3 to 1.5 times as fast as 32; smaller pictures allow more. OpenVINO runs one request a
    core and wants them small. A GPU wants enough work to hide the launches of its kernels. From 16 pictures on, oneDNN
    takes other kernels than for one: with 12, a picture of EfficientNet-Lite0 alone has the same bits as among others.
    """
    per_224 = {"cuda": 256, "mps": 64}.get(device.type, 1 if engine == "openvino" else 4)
    scaled = round(per_224 * (224 * 224) / (size[0] * size[1]))
    return int(np.clip(scaled, 1, 1024 if device.type == "cuda" else 12))
