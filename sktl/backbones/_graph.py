"""One recorded pass of a network: what its modules were given and returned, and the autograd graph of its output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@dataclass
class Record:
    """One call of one module; nodes are autograd's, shapes None where there is no one tensor."""

    name: str
    module: nn.Module
    input_shape: tuple[int, ...] | None
    input_node: Any
    input_number: int  # which of its node's outputs that was
    started: int  # how many calls had ended when it began
    weights_before: int
    macs_before: int
    shape: tuple[int, ...] | None = None
    node: Any = None
    first_node: Any = None  # of the first of several tensors
    weights_passed: int = 0
    macs_passed: int = 0


def has_weights(module: nn.Module) -> bool:
    """Whether the module itself holds a matrix or kernel, or would if it were not parametrised."""
    if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)) or hasattr(module, "_packed_params"):  # quantised
        return True
    return any(p is not None and p.ndim >= 2 for p in module._parameters.values())


@contextlib.contextmanager
def recorded(module: nn.Module, records: list[Record], macs: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Append a record of each call of each module to `records`, in order of completion, while the context is open."""
    weights_passed = 0
    running: list[Record] = []

    def before(name: str):
        def hook(layer: nn.Module, args, kwargs) -> None:
            given = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
            shape, node = (tuple(given.shape), given.grad_fn) if given is not None else (None, None)
            number = given.output_nr if given is not None else 0
            running.append(Record(name, layer, shape, node, number, len(records), weights_passed, macs()))

        return hook

    def after(layer: nn.Module, args, output) -> None:
        nonlocal weights_passed
        weights_passed += has_weights(layer)
        record = running.pop()
        if isinstance(output, torch.Tensor):
            record.shape, record.node = tuple(output.shape), output.grad_fn
        first = output[0] if isinstance(output, (list, tuple)) and output else output
        record.first_node = first.grad_fn if isinstance(first, torch.Tensor) else None
        record.weights_passed, record.macs_passed = weights_passed, macs()
        records.append(record)

    handles: list[Any] = []
    for name, layer in module.named_modules():
        handles.append(layer.register_forward_pre_hook(before(name), with_kwargs=True))
        handles.append(layer.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Differentiable(TorchFunctionMode):
    """While open, autograd follows a network through its own ``no_grad``, ``inference_mode`` and ``detach``, too.

    What its layers hand on to each other is seen only so; numbers stay the same.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        with torch.inference_mode(False), torch.enable_grad():
            if func in (torch.detach, torch.Tensor.detach, torch.Tensor.data.__get__):  # type: ignore[attr-defined]
                return args[0].view_as(args[0])
            return func(*args, **(kwargs or {}))


def main_output(output: Any) -> torch.Tensor | None:
    """Return the tensor that a network answers with: the only one, or what is called "logits" or "out"; else None."""
    if isinstance(output, torch.Tensor):
        return output
    attributes = getattr(output, "_asdict", lambda: dict(getattr(output, "__dict__", {})))
    named = output if isinstance(output, Mapping) else attributes()
    for key in ("logits", "out"):
        if isinstance(named.get(key), torch.Tensor):
            return named[key]
    values = list(named.values()) if named else list(output) if isinstance(output, (list, tuple)) else []
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return tensors[0] if len(tensors) == 1 else None


class Graph:
    """The autograd graph behind an output; it is held, with its activations, as long as this object lives."""

    def __init__(self, root: Any):
        self.root = root
        self._numbers: dict[Any, int] = {}
        stack = [] if root is None else [root]
        while stack:
            node = stack.pop()
            if node not in self._numbers:
                self._numbers[node] = len(self._numbers)
                stack.extend(self.children(node))

    @property
    def nodes(self) -> list[Any]:
        """Return all nodes."""
        return list(self._numbers)

    def number(self, node: Any) -> int | None:
        """Return a number that is this node's alone, None for one that the output does not depend on."""
        return self._numbers.get(node)

    @staticmethod
    def children(node: Any) -> list[Any]:
        """Return the nodes that feed a node."""
        return [child for child, _ in node.next_functions if child is not None]

    def cuts(self) -> set:
        """Return the nodes that every path from the output to the input passes."""
        consumers: dict[Any, int] = {}
        for node in self._numbers:
            for child in self.children(node):
                consumers[child] = consumers.get(child, 0) + 1
        # In topological order, a node is a cut exactly when nothing else is waiting as it is taken.
        cuts, ready, waiting = set(), [] if self.root is None else [self.root], set()
        while ready:
            node = ready.pop()
            waiting.discard(node)
            if not waiting:
                cuts.add(node)
            for child in self.children(node):
                waiting.add(child)
                consumers[child] -= 1
                if consumers[child] == 0:
                    ready.append(child)
        return cuts

    def reached(self, start: Any, stops: Mapping | set) -> tuple[list, bool, list]:
        """Walk from a node towards the input up to `stops`.

        Returns the stops met, whether the input was reached, and the nodes passed.
        """
        met, seen, stack, passed, is_open = [], {start}, [start], [], False
        while stack:
            node = stack.pop()
            if node in stops:
                met.append(node)
                continue
            passed.append(node)
            is_open = is_open or node.name().endswith("AccumulateGrad")
            for child in self.children(node):
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
        return met, is_open, passed
