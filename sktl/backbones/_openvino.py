"""Running a network over batches of pictures by OpenVINO, which is faster than PyTorch on CPUs."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import torch

from sktl._forking import ForkSafeLock
from sktl._openvino import Requests, core, refuse_if_lost
from sktl.backbones._engine import Batches, CodeNetwork, Codes, Engine
from sktl.backbones._quantisation import check_close, quantised
from sktl.backbones._recipe import CodeRecipe

N_COMPARED = 16  # pictures of the calibration, by which 8 bits are found to be enough
LONE_BATCHES_WORTH_COMPILING = 3  # that takes a fraction of a second
TOLERANCE = 1e-3  # largest difference from PyTorch's codes, relative to the largest code of the layer


class OpenVINOEngine(Engine):
    """OpenVINO's asynchronous requests: several small batches under way at once, each on cores of its own.

    From the third batch on that comes alone, such a batch runs on all cores.

    With a calibration the network is quantised to 8 bits.

    Raises
    ------
    ImportError
        If OpenVINO, or for 8 bits NNCF, is not installed.
    RuntimeError
        If OpenVINO refuses the network, or its codes differ from PyTorch's by more than 1e-3, or in 8 bits by half of
        their length; in a process that was forked off one that had loaded OpenVINO.
    """

    name = "openvino"

    def __init__(self, recipe: CodeRecipe):
        super().__init__()
        refuse_if_lost()
        import openvino as ov

        cpu = torch.device("cpu")
        network = CodeNetwork(recipe, cpu).eval()
        height, width = recipe.preprocessing.size
        example = torch.randint(
            0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        with torch.inference_mode(), recipe.backbone.lock, warnings.catch_warnings():
            # OpenVINO's converter traces; torch.export does not follow a pass that stops at its deepest layer.
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
            expected = network(example)
            model = ov.convert_model(network, example_input=example, input=[([-1, 3, height, width], ov.Type.u8)])
        compiled = _compiled(model)
        _check(compiled, example, expected, recipe.layers)
        if recipe.calibration is not None:
            model = quantised(model, recipe.calibration)
            exact, compiled = compiled, _compiled(model)
            seen = recipe.calibration.pictures[:N_COMPARED]
            check_close(_codes_of(compiled, seen), _codes_of(exact, seen), recipe.layers)
        self._requests = Requests(compiled, len(recipe.layers))
        self._alone = _LoneBatches(model, compiled, self._requests, example.numpy())

    def run(self, batches: Batches) -> Codes:
        batches = iter(batches)
        first = list(itertools.islice(batches, 2))
        requests = self._alone.requests() if len(first) == 1 else self._requests
        ready = ((indices, (batch.numpy(),)) for indices, batch in itertools.chain(first, batches))
        yield from requests.run(ready)


class _LoneBatches:
    """What runs one batch, after which none follows: all cores together, if batches come so again and again.

    Parameters
    ----------
    model : openvino.Model
        The network.
    compiled : openvino.CompiledModel
        It, for many batches at once.
    many : Requests
        Of `compiled`.
    examples : array of shape (n, 3, H, W)
        Pictures of which both have to make codes that are the same to the bit.
    """

    def __init__(self, model: Any, compiled: Any, many: Requests, examples: np.ndarray):
        self._lock = ForkSafeLock()
        self._n_met = 0
        self._requests = many
        self._parts: tuple | None = (model, compiled, examples) if many.n_requests > 1 else None

    def requests(self) -> Requests:
        """Return what runs this one."""
        with self._lock:
            self._n_met += 1
            if self._parts is not None and self._n_met >= LONE_BATCHES_WORTH_COMPILING:
                model, compiled, examples = self._parts
                self._parts = None
                quick = _compiled(model, many_at_once=False)
                if all(map(np.array_equal, _codes_of(quick, examples), _codes_of(compiled, examples))):
                    self._requests = Requests(quick, self._requests.n_outputs)
            return self._requests


def _compiled(model: Any, *, many_at_once: bool = True) -> Any:
    import openvino as ov
    from openvino import properties

    modes = properties.hint.PerformanceMode
    return core().compile_model(
        model,
        "CPU",
        {
            properties.hint.performance_mode(): modes.THROUGHPUT if many_at_once else modes.LATENCY,
            properties.hint.inference_precision(): ov.Type.f32,  # of what is not in 8 bits
        },
    )


def _check(compiled: Any, example: torch.Tensor, expected: tuple[torch.Tensor, ...], layers: tuple[str, ...]) -> None:
    found = compiled(example.numpy(), share_inputs=False)
    for layer, code, reference in zip(layers, found.values(), expected):
        scale = float(reference.abs().max().clamp(min=1e-12))
        difference = float(np.abs(code - reference.numpy()).max()) / scale
        if not difference <= TOLERANCE:
            raise RuntimeError(f"its codes of {layer!r} differ from PyTorch's by {difference:.1e} of their largest")


def _codes_of(compiled: Any, pictures: np.ndarray) -> list[np.ndarray]:
    """Return one array (n, n_codes) a layer; OpenVINO writes over an input whose memory it shares."""
    codes = [[c.copy() for c in compiled(picture[None], share_inputs=False).values()] for picture in pictures]
    return [np.concatenate(of_layer) for of_layer in zip(*codes)]
