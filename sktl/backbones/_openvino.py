"""Running a network over batches of pictures by OpenVINO, which is faster than PyTorch on CPUs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from sktl._openvino import Requests, core, refuse_if_lost
from sktl.backbones._engine import Batches, CodeNetwork, Codes, Engine
from sktl.backbones._quantisation import check_close, quantised
from sktl.backbones._recipe import CodeRecipe

N_COMPARED = 16  # pictures of the calibration, by which 8 bits are found to be enough
TOLERANCE = 1e-3  # largest difference from PyTorch's codes, relative to the largest code of the layer


class OpenVINOEngine(Engine):
    """OpenVINO's asynchronous requests: several small batches under way at once, each on cores of its own.

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
            exact, compiled = compiled, _compiled(quantised(model, recipe.calibration))
            seen = recipe.calibration.pictures[:N_COMPARED]
            check_close(_codes_of(compiled, seen), _codes_of(exact, seen), recipe.layers)
        self._requests = Requests(compiled, len(recipe.layers))

    def run(self, batches: Batches) -> Codes:
        yield from self._requests.run((indices, (batch.numpy(),)) for indices, batch in batches)


def _compiled(model: Any) -> Any:
    import openvino as ov
    from openvino import properties

    return core().compile_model(
        model,
        "CPU",
        {
            properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
            properties.hint.inference_precision(): ov.Type.f32,  # of what is not in 8 bits
        },
    )


def _check(compiled: Any, example: torch.Tensor, expected: tuple[torch.Tensor, ...], layers: tuple[str, ...]) -> None:
    found = compiled(example.numpy())
    for layer, code, reference in zip(layers, found.values(), expected):
        scale = float(reference.abs().max().clamp(min=1e-12))
        difference = float(np.abs(code - reference.numpy()).max()) / scale
        if not difference <= TOLERANCE:
            raise RuntimeError(f"its codes of {layer!r} differ from PyTorch's by {difference:.1e} of their largest")


def _codes_of(compiled: Any, pictures: np.ndarray) -> list[np.ndarray]:
    """Return one array (n, n_codes) a layer."""
    codes = [[code.copy() for code in compiled(picture[None]).values()] for picture in pictures]
    return [np.concatenate(of_layer) for of_layer in zip(*codes)]
