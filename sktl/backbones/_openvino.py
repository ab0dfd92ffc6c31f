"""Running a network over batches of pictures by OpenVINO, which is faster than PyTorch on CPUs."""

from __future__ import annotations

import functools
import sys
import warnings
from collections import deque
from typing import Any

import numpy as np
import torch

from sktl.backbones._engine import Batches, CodeNetwork, Codes, Engine
from sktl.backbones._recipe import CodeRecipe

TOLERANCE = 1e-3  # largest difference from PyTorch's codes, relative to the largest code of the layer


_was_lost = False  # whether this process was forked off one in which OpenVINO may have had threads


@functools.cache
def _core() -> Any:
    """Return the one OpenVINO core of this process, which is kept to the end.

    Each core sets a stack for signals aside and, when it goes, puts back the stack that it found. That one may belong
    to a core that has gone before; the next signal, a Ctrl-C say, would then end the process.
    """
    import openvino as ov

    return ov.Core()


def lose_after_fork() -> None:
    """Note in a forked child that OpenVINO cannot run here, if its parent, or the user's code there, has loaded it.

    Its threads do not exist in the child, but its scheduler, of which a process has one, still counts on them: a new
    core hangs as an old one does.
    """
    global _was_lost
    _was_lost = _was_lost or "openvino" in sys.modules


def is_lost() -> bool:
    """Return whether this process was forked off one that had loaded OpenVINO."""
    return _was_lost


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
        if is_lost():
            raise RuntimeError("it does not outlive a fork of a process that has used it (start processes by spawn)")
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
        self._compiled = _core().compile_model(
            model,
            "CPU",
            {
                properties.hint.performance_mode(): properties.hint.PerformanceMode.THROUGHPUT,
                properties.hint.inference_precision(): ov.Type.f32,
            },
        )
        found = self._compiled(example.numpy())
        for layer, code, reference in zip(recipe.layers, found.values(), expected):
            scale = float(reference.abs().max().clamp(min=1e-12))
            difference = float(np.abs(code - reference.numpy()).max()) / scale
            if not difference <= TOLERANCE:
                raise RuntimeError(f"its codes of {layer!r} differ from PyTorch's by {difference:.1e} of their largest")
        self._n_outputs = len(recipe.layers)
        self._idle: deque[Any] = deque()  # requests that wait for work; threads share them
        self._n_requests = self._compiled.get_property(properties.optimal_number_of_infer_requests())

    def run(self, batches: Batches) -> Codes:
        # Requests are waited for in turn, without callbacks: batches are alike, so the oldest is the next to be ready.
        running: deque[tuple[np.ndarray, Any]] = deque()
        try:
            for indices, batch in batches:
                if len(running) == self._n_requests:
                    yield self._finished(running)
                request = self._idle_request()
                request.start_async({0: np.ascontiguousarray(batch.numpy())})
                running.append((indices, request))
            while running:
                yield self._finished(running)
        finally:
            for _, request in running:
                request.wait()
                self._idle.append(request)

    def _idle_request(self) -> Any:
        """Return a request that no thread uses; making one takes longer than running one picture."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._compiled.create_infer_request()

    def _finished(self, running: deque) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        indices, request = running[0]
        request.wait()
        codes = tuple(request.get_output_tensor(i).data.copy() for i in range(self._n_outputs))
        running.popleft()
        if len(self._idle) < self._n_requests:
            self._idle.append(request)
        return indices, codes
