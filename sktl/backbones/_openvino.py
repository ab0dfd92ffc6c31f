"""Running a network over batches of pictures by OpenVINO, which is faster than PyTorch on CPUs."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from sktl._openvino import Requests, core, refuse_if_lost
from sktl.backbones._engine import Batches, CodeNetwork, Codes, Engine
from sktl.backbones._recipe import CodeRecipe

TOLERANCE = 1e-3  # largest difference from PyTorch's codes, relative to the largest code of the layer


class OpenVINOEngine(Engine):
    """OpenVINO's asynchronous requests: several small batches under way at once, each on cores of its own.

    Raises
    ------
    ImportError
        If OpenVINO is not installed.
    RuntimeError
        If OpenVINO refuses the network, or its codes differ from PyTorch's by more than 1e-3; in a process that was
        forked off one that had loaded OpenVINO.
    """

    name = "openvino"

    def __init__(self, recipe: CodeRecipe):
        super().__init__()
        refuse_if_lost()
        import openvino as ov
        from openvino import properties

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
        compiled = core().compile_model(
            model,
            "CPU",
            {
                properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
                properties.hint.inference_precision(): ov.Type.f32,
            },
        )
        found = compiled(example.numpy())
        for layer, code, reference in zip(recipe.layers, found.values(), expected):
            scale = float(reference.abs().max().clamp(min=1e-12))
            difference = float(np.abs(code - reference.numpy()).max()) / scale
            if not difference <= TOLERANCE:
                raise RuntimeError(f"its codes of {layer!r} differ from PyTorch's by {difference:.1e} of their largest")
        self._requests = Requests(compiled, len(recipe.layers))

    def run(self, batches: Batches) -> Codes:
        yield from self._requests.run((indices, (batch.numpy(),)) for indices, batch in batches)
