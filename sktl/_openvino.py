"""OpenVINO in this process: its one core, what a fork does to it, and several requests under way at once."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_was_lost = False  # whether this process was forked off one in which OpenVINO may have had threads


@functools.cache
def core() -> Any:
    """Return the one OpenVINO core of this process, which is kept to the end.

    Each core sets a stack for signals aside and, when it goes, puts back the stack that it found. That one may belong
    to a core that has gone before; the next signal, a Ctrl-C say, would then end the process.
    """
    import openvino as ov

    return ov.Core()


def bound_threads(most: int) -> None:
    """Let models that are compiled from now on have so many threads at most, where OpenVINO is installed."""
    if importlib.util.find_spec("openvino") is not None and not _was_lost:
        core().set_property("CPU", {"INFERENCE_NUM_THREADS": most})


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


def refuse_if_lost() -> None:
    """Raise a RuntimeError in a process that was forked off one that had loaded OpenVINO."""
    if is_lost():
        raise RuntimeError("it does not outlive a fork of a process that has used it (start processes by spawn)")


class Requests:
    """Asynchronous requests of a compiled model: several small batches at once, each on cores of its own.

    Parameters
    ----------
    compiled : openvino.CompiledModel
        The model.
    n_outputs : int
        How many outputs it has.

    Attributes
    ----------
    n_requests : int
        How many are under way at once, at most.
    """

    def __init__(self, compiled: Any, n_outputs: int):
        from openvino import properties

        self._compiled = compiled
        self.n_outputs = n_outputs
        self._idle: deque[Any] = deque()  # requests that wait for work; threads share them
        self.n_requests = compiled.get_property(properties.optimal_number_of_infer_requests())

    def run(self, batches: Iterable[tuple[T, tuple[np.ndarray, ...]]]) -> Iterator[tuple[T, tuple[np.ndarray, ...]]]:
        """Yield (mark, outputs) for each (mark, inputs), in order."""
        # Requests are waited for in turn, without callbacks: batches are alike, so the oldest is the next to be ready.
        running: deque[tuple[T, Any]] = deque()
        try:
            for mark, inputs in batches:
                if len(running) == self.n_requests:
                    yield self._finished(running)
                request = self._idle_request()
                request.start_async(dict(enumerate(map(np.ascontiguousarray, inputs))))
                running.append((mark, request))
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

    def _finished(self, running: deque) -> tuple[Any, tuple[np.ndarray, ...]]:
        mark, request = running[0]
        request.wait()
        outputs = tuple(request.get_output_tensor(i).data.copy() for i in range(self.n_outputs))
        running.popleft()
        if len(self._idle) < self.n_requests:
            self._idle.append(request)
        return mark, outputs
