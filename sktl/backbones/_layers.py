"""The layers of a network: what they are called, how deep they lie, what they cost, where one can cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class LayerInfo:
    """One place of a network where codes can be taken.

    Attributes
    ----------
    name : str
        The module's dotted name.
    depth : float
        Share of the network's convolutional and linear layers passed by then; 1.0 is the penultimate layer.
    kind : {"map", "map_last", "tokens", "vector"}
        What comes out: a map (channels first or last), tokens of a transformer, or one vector a picture.
    channels : int
        Number of channels.
    resolution : tuple of int
        (height, width) of a map, (number of tokens,) of tokens, () of a vector.
    macs_share : float
        Share of the whole network's multiply-accumulates that computing this layer costs.
    is_stage : bool
        Whether it is the last layer of its resolution: what ``layers="all"`` takes.
    """

    name: str
    depth: float
    kind: str
    channels: int
    resolution: tuple[int, ...]
    macs_share: float
    is_stage: bool


class LayerTable(tuple[LayerInfo, ...]):
    """A tuple of `LayerInfo` that prints as a table."""

    def __repr__(self) -> str:
        width = max([len(row.name) for row in self], default=4)
        lines = [f"{'name':<{width}}  depth  channels  resolution  MACs share  stage"]
        for row in self:
            resolution = "x".join(map(str, row.resolution)) + (" tokens" if row.kind == "tokens" else "")
            lines.append(
                f"{row.name:<{width}}  {row.depth:5.2f}  {row.channels:8d}  {resolution:>10}  {row.macs_share:10.1%}"
                f"  {'*' if row.is_stage else ''}".rstrip()
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Call:
    """What one module did in the traced pass, in order of completion."""

    name: str
    module: nn.Module
    shape: tuple[int, ...] | None
    n_calls: int
    weights_passed: int
    macs_passed: int
    node: Any
    is_cut: bool


@dataclass(frozen=True)
class Trace:
    """One pass of a network, module by module; `head` is the classifier's name, None where there is none."""

    calls: tuple[Call, ...]
    layers: LayerTable
    penultimate: str
    head: str | None
    input_shape: tuple[int, ...]

    def call(self, name: str) -> Call | None:
        """Return what the module `name` did, None if it was not called."""
        return next((call for call in self.calls if call.name == name), None)


class _MacCounter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        flops = flop_registry.get(func._overloadpacket)
        if flops is not None:
            self.macs += flops(*args, **(kwargs or {}), out_val=out) // 2
        return out


def _has_weights(module: nn.Module) -> bool:
    return any(p is not None and p.ndim >= 2 for p in module._parameters.values())


def trace_network(module: nn.Module, example: torch.Tensor) -> Trace:
    """Run `example` through `module` (in eval mode) once and describe its layers.

    A layer is a *cut* if all that the output knows of the picture passes through it. Cuts are the nodes of the
    autograd graph without which input and output fall apart, so they are found for any differentiable module, however
    its ``forward`` is written.

    Parameters
    ----------
    module : Module
        The network, in eval mode, its parameters not requiring gradients.
    example : Tensor of shape (1, 3, H, W)
        A picture of the size to be used.

    Raises
    ------
    ValueError
        If the network refuses the picture.
    """
    records: list[dict[str, Any]] = []
    count: dict[str, int] = {}
    weights_passed = 0
    counter = _MacCounter()

    def hook_for(name: str):
        def hook(layer: nn.Module, args, output) -> None:
            nonlocal weights_passed
            weights_passed += _has_weights(layer)
            count[name] = count.get(name, 0) + 1
            tensor = output if isinstance(output, torch.Tensor) else None
            records.append(
                {
                    "name": name,
                    "module": layer,
                    "shape": tuple(tensor.shape) if tensor is not None else None,
                    "weights_passed": weights_passed,
                    "macs_passed": counter.macs,
                    "node": tensor.grad_fn if tensor is not None else None,
                }
            )

        return hook

    handles = [layer.register_forward_hook(hook_for(name)) for name, layer in module.named_modules()]
    try:
        with torch.enable_grad(), counter:
            output = module(example.clone().requires_grad_())
    except Exception as error:
        height, width = example.shape[-2:]
        raise ValueError(
            f"The network {type(module).__name__} does not take pictures of {height} x {width} pixels ({error}). "
            "Choose another image_size."
        ) from error
    finally:
        for handle in handles:
            handle.remove()

    cuts = _cut_nodes(output)
    calls = tuple(
        Call(**record, n_calls=count[record["name"]], is_cut=record["node"] in cuts and count[record["name"]] == 1)
        for record in records
    )
    rows = _rows(calls)
    head = _find_head(module, calls)
    return _describe(calls, rows, head, example.shape)


def _cut_nodes(output: Any) -> set:
    """Nodes of the autograd graph that every path from the output to the input passes."""
    if not isinstance(output, torch.Tensor) or output.grad_fn is None:
        return set()
    consumers: dict[Any, int] = {}
    stack, seen = [output.grad_fn], {output.grad_fn}
    while stack:
        for child, _ in stack.pop().next_functions:
            if child is not None:
                consumers[child] = consumers.get(child, 0) + 1
                if child not in seen:
                    seen.add(child)
                    stack.append(child)
    # In topological order, a node is a cut exactly when nothing else is waiting as it is taken.
    cuts, ready, waiting = set(), [output.grad_fn], set()
    while ready:
        node = ready.pop()
        waiting.discard(node)
        if not waiting:
            cuts.add(node)
        for child, _ in node.next_functions:
            if child is not None:
                waiting.add(child)
                consumers[child] -= 1
                if consumers[child] == 0:
                    ready.append(child)
    return cuts


def _rows(calls: Sequence[Call]) -> list[Call]:
    """One call per place where the network can be cut: after the activation, before pooling, by its outermost name."""
    blocks = [call.name for call in calls if call.name and call.is_cut and not isinstance(call.module, CONTAINERS)]
    # A single convolution within a block is a cut where the block has no shortcut, but no place one would look for.
    inner = {c.name for c in calls if _is_simple(c.module) and any(c.name.startswith(b + ".") for b in blocks)}
    places: dict[int, list[Call]] = {}
    for call in calls:
        if call.name and call.is_cut and call.weights_passed > 0 and call.name not in inner:
            places.setdefault(call.weights_passed, []).append(call)
    rows = []
    for group in places.values():
        row = _outermost(group, group[0])
        for call in group:  # go on through norms and activations that stand beside it, not into the next block
            if call.shape == row.shape and row.name.startswith(call.name.rpartition(".")[0]):
                row = _outermost(group, call)
        rows.append(row)
    return rows


def _is_simple(module: nn.Module) -> bool:
    return sum(_has_weights(part) for part in module.modules()) <= 1


def _outermost(group: Sequence[Call], call: Call) -> Call:
    return min((c for c in group if c.node is call.node), key=lambda c: c.name.count("."))


def _find_head(module: nn.Module, calls: Sequence[Call]) -> str | None:
    weighted = [call for call in calls if call.name and call.is_cut and _has_weights(call.module)]
    if not weighted:
        return None
    last = weighted[-1]
    named = getattr(module, "pretrained_cfg", None)
    named = named.get("classifier") if isinstance(named, dict) else None
    is_head = (
        last.name == named
        or isinstance(last.module, nn.Linear)
        or (type(module).__name__ == "SqueezeNet" and last.name == "classifier.1")
    )
    return last.name if is_head and last.weights_passed > 1 else None


def _describe(calls: tuple[Call, ...], rows: list[Call], head: str | None, input_shape) -> Trace:
    total_macs = max([call.macs_passed for call in calls], default=0) or 1
    head_depth = next((call.weights_passed for call in calls if call.name == head), None)
    body = [row for row in rows if head_depth is None or row.weights_passed < head_depth]
    if not body:  # nothing lies before the head, or no cut was found: every module called once is a layer
        body = rows or [c for c in calls if c.name and c.n_calls == 1 and c.shape is not None and len(c.shape) >= 2]
        head = None
    if not body:
        raise ValueError("The network has no layer that is called once and returns one tensor of a row per picture.")
    deepest = max(body[-1].weights_passed, 1)
    kinds = {call.name: kind_of(call.shape) for call in rows + body}  # type: ignore[arg-type]
    stages = _stages(body, kinds, deepest)
    table = LayerTable(
        LayerInfo(
            name=call.name,
            depth=min(1.0, call.weights_passed / deepest),
            kind=kinds[call.name][0],
            channels=kinds[call.name][1],
            resolution=kinds[call.name][2],
            macs_share=call.macs_passed / total_macs,
            is_stage=call.name in stages,
        )
        for call in body
    )
    return Trace(calls=calls, layers=table, penultimate=body[-1].name, head=head, input_shape=tuple(input_shape))


def kind_of(shape: tuple[int, ...]) -> tuple[str, int, tuple[int, ...]]:
    """Return kind, channels and resolution; square pictures make square maps, which tells channels first from last."""
    if len(shape) == 4:
        if shape[1] == shape[2] != shape[3]:
            return "map_last", shape[3], (shape[1], shape[2])
        return "map", shape[1], (shape[2], shape[3])
    if len(shape) == 3:
        return "tokens", shape[2], (shape[1],)
    return "vector", shape[-1], ()


def _stages(body: Sequence[Call], kinds: dict, deepest: int) -> set[str]:
    by_resolution = {kinds[call.name][2]: call.name for call in body}  # the last one of each resolution stays
    if len(by_resolution) > 2:
        return {*by_resolution.values(), body[-1].name}
    # One resolution throughout, as in a plain vision transformer: a layer at each quarter of the depth.
    quarters = (0.25, 0.5, 0.75, 1.0)
    return {min(body, key=lambda call: abs(call.weights_passed / deepest - quarter)).name for quarter in quarters}
