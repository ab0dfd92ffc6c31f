"""What runs an encoder: PyTorch, or OpenVINO, which is faster on CPUs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from sktl._device import autocast, exact_float32, keep_freed_memory, resolve_precision
from sktl._memory import emptied_on_request
from sktl._openvino import Requests, core, is_lost, lose_after_fork, refuse_if_lost
from sktl._warn_once import warn_user
from sktl.exceptions import EngineWarning
from sktl.texts._quantised import quantised
from sktl.texts._recipe import TextRecipe

ENGINES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16", "float16", "int8")
WORTH_COMPILING = 200  # texts; OpenVINO's compiling takes as long as it saves on about as many reviews
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.2}  # from PyTorch's codes in float32, of their largest number
TOKENS_AT_ONCE = {"cuda": 2**15, "mps": 2**13}
TOKENS_ON_CPU = 256  # a batch should fit the cache of a core

_refused: set[tuple] = set()
emptied_on_request(_refused.clear)

Batches = Iterable[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]
Codes = Iterator[tuple[np.ndarray, np.ndarray]]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lose_after_fork)


def resolve_text_precision(precision: str, device: torch.device) -> str:
    """Return the name of what layers compute in on `device`; "auto" is float32, and bfloat16 on GPUs that have it.

    Raises
    ------
    ValueError
        If the device computes in that precision only by slow emulation, or not at all.
    """
    if precision != "int8":
        return str(resolve_precision(precision, device)).removeprefix("torch.")
    if device.type != "cpu":
        raise ValueError(f"precision='int8' is for CPUs; got device={str(device)!r}. Use 'auto' there.")
    if importlib.util.find_spec("openvino") is None:
        raise ValueError("precision='int8' needs OpenVINO: pip install 'sktl[openvino]'.")
    return precision


def planned_engine(requested: str, recipe: TextRecipe, device: torch.device, n_texts: int) -> str:
    """Return the name of the engine that would run `recipe`, without building it.

    "auto" is OpenVINO on a CPU, if it is installed, for work that repays compiling.
    """
    if not recipe.encoder.has_network:
        return "direct"
    if requested == "torch" or _key(recipe, device) in _refused:
        return "torch"
    if requested == "openvino" or recipe.precision == "int8":
        return "openvino"
    possible = device.type == "cpu" and recipe.precision in TOLERANCE and not is_lost()
    if not possible or importlib.util.find_spec("openvino") is None:
        return "torch"
    is_built = ("openvino", *_key(recipe, device)) in recipe.encoder.engines
    return "openvino" if n_texts >= WORTH_COMPILING or is_built else "torch"


def get_engine(requested: str, recipe: TextRecipe, device: torch.device, n_texts: int) -> TextEngine:
    """Return the engine that runs `recipe` (see `planned_engine`), built once per process.

    Warns
    -----
    EngineWarning
        If OpenVINO was to run it and cannot; PyTorch does then.
    """
    encoder, key = recipe.encoder, _key(recipe, device)
    with encoder.lock:
        if planned_engine(requested, recipe, device, n_texts) == "openvino":
            try:
                return encoder.engines.get_or_make(("openvino", *key), lambda: OpenVINOTexts(recipe, device))
            except Exception as error:  # OpenVINO raises types of its own for each layer that it does not know
                if recipe.precision == "int8":
                    raise ValueError(
                        f"precision='int8': OpenVINO cannot run {encoder.name!r}: {_first_line(error)}. Use "
                        "precision='float32'."
                    ) from error
                _refused.add(key)
                advice = " (pip install openvino)" if isinstance(error, ImportError) else ""
                warn_user(
                    f"engine={requested!r}: OpenVINO cannot run {encoder.name!r}{advice}: {_first_line(error)}. "
                    "PyTorch computes the codes instead.",
                    EngineWarning,
                )
        return encoder.engines.get_or_make(("torch", *key), lambda: TorchTexts(recipe, device))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _key(recipe: TextRecipe, device: torch.device) -> tuple:
    return recipe.encoder.fingerprint, recipe.pooling, recipe.n_blocks, recipe.precision, device


class TextEngine(ABC):
    """Computes the codes of a stream of batches of tokens."""

    name: str

    @abstractmethod
    def run(self, batches: Batches) -> Codes:
        """Yield (indices, float32 codes) for each (indices, (tokens, mask))."""

    @staticmethod
    def tokens_at_once(device: torch.device) -> int:
        """Return how many places a batch has."""
        return TOKENS_AT_ONCE.get(device.type, TOKENS_ON_CPU)


class TorchTexts(TextEngine):
    """PyTorch, without gradients."""

    name = "torch"

    def __init__(self, recipe: TextRecipe, device: torch.device):
        if device.type == "cpu":
            keep_freed_memory()
        self._device = device
        self._dtype = getattr(torch, recipe.precision)
        self._network = _network(recipe, device)

    @torch.inference_mode()
    def run(self, batches: Batches) -> Codes:
        for which, inputs in batches:
            with exact_float32(self._device), autocast(self._device, self._dtype), _quiet():
                codes = self._network(*(torch.from_numpy(part).to(self._device) for part in inputs))
            yield which, codes.float().cpu().numpy()


class OpenVINOTexts(TextEngine):
    """OpenVINO: several batches at once. In "int8" weights are kept in 8 bits, and rounded are what they multiply.

    Raises
    ------
    ImportError
        If OpenVINO is not installed.
    RuntimeError
        If OpenVINO refuses the network, or its codes differ from PyTorch's by more than `TOLERANCE`; in a process that
        was forked off one that had loaded OpenVINO.
    """

    name = "openvino"

    def __init__(self, recipe: TextRecipe, device: torch.device):
        refuse_if_lost()
        import openvino as ov
        from openvino import properties

        if device.type != "cpu" or recipe.precision not in TOLERANCE:
            raise RuntimeError("it runs on the CPU in float32, bfloat16 and int8 only")
        reference = _network(recipe, device)
        network = quantised(reference) if recipe.precision == "int8" else reference
        vocabulary = int(recipe.encoder.tokenizer.vocab_size)  # type: ignore[attr-defined]
        tokens = torch.randint(0, vocabulary, (2, 16), generator=torch.Generator().manual_seed(0))
        mask = torch.ones_like(tokens)
        mask[1, 12:] = 0
        shape = ov.PartialShape([-1, -1])
        with torch.inference_mode(), _quiet():
            expected = reference(tokens, mask).numpy()
            model = ov.convert_model(
                network, example_input=(tokens, mask), input=[(shape, ov.Type.i64), (shape, ov.Type.i64)]
            )
        computes_in = ov.Type.f32 if recipe.precision == "float32" else ov.Type.bf16
        if recipe.precision == "int8" and not _has_bfloat16():
            computes_in = ov.Type.f32
        compiled = core().compile_model(
            model,
            "CPU",
            {
                properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
                properties.hint.inference_precision(): computes_in,
            },
        )
        found = next(iter(compiled([tokens.numpy(), mask.numpy()], share_inputs=False).values()))
        difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))
        if not difference <= TOLERANCE[recipe.precision]:
            raise RuntimeError(f"its codes differ from PyTorch's by {difference:.1e} of their largest number")
        self._requests = Requests(compiled, 1)

    def run(self, batches: Batches) -> Codes:
        for which, (codes,) in self._requests.run(batches):
            yield which, codes.astype(np.float32, copy=False)


def _network(recipe: TextRecipe, device: torch.device) -> nn.Module:
    return recipe.encoder.network(recipe.pooling, device, recipe.n_blocks).eval()  # type: ignore[attr-defined]


def _has_bfloat16() -> bool:
    from sktl._device import cpu_has_bfloat16

    return cpu_has_bfloat16()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what tracing says: it is looked at by a comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
