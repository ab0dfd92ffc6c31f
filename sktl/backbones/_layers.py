"""The layers of a network: what they are called, how deep they lie, what they cost, where one can cut."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from sktl._validation import advice_on_network
from sktl.backbones._class_token import find_class_token
from sktl.backbones._graph import Differentiable, Graph, Record, has_weights, main_output, recorded
from sktl.backbones._heads import PENULTIMATE, find_heads, one_of_each_tensor
from sktl.backbones._layouts import Layout, find_layouts, shapes_elsewhere
from sktl.backbones._sizes import nearest_sizes

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
    kind : {"map", "map_last", "tokens", "vector", "unknown"}
        What comes out: a map (channels first or last), tokens of a transformer, one vector a picture, or a tensor of
        which no one can tell which axis holds the channels.
    channels : int
        Number of channels.
    resolution : tuple of int
        (height, width) of a map, (number of tokens,) of tokens, () of a vector.
    macs_share : float
        Share of the whole network's multiply-accumulates that computing this layer costs.
    is_stage : bool
        Whether it is the last layer of its resolution: what ``layers="all"`` takes.
    n_prefix_tokens : int or None
        Class and register tokens before a transformer's patches; None where they cannot be told from patches.
    grid : (int, int) or None
        Rows and columns that the patches form; None where it is not known.
    class_token : int or None
        Which of the tokens before the patches is the class token; None where there is none, or nothing tells.
    """

    name: str
    depth: float
    kind: str
    channels: int
    resolution: tuple[int, ...]
    macs_share: float
    is_stage: bool
    n_prefix_tokens: int | None = 0
    grid: tuple[int, int] | None = None
    class_token: int | None = 0


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
    """What one module did in the traced pass, in order of completion; `node` tells one tensor from another."""

    name: str
    module: nn.Module
    shape: tuple[int, ...] | None
    n_calls: int
    weights_passed: int
    macs_passed: int
    node: int | None
    is_cut: bool
    layout: Layout


@dataclass(frozen=True)
class Trace:
    """One pass of a network, module by module.

    Attributes
    ----------
    calls : tuple of Call
        In order of completion; the one named `PENULTIMATE`, if there is one, is no module, but what enters the heads.
    layers : LayerTable
        The places to cut.
    penultimate : str
        The deepest of them.
    heads : tuple of str
        The classifiers' names; empty where there is none, and the network's own output is its code.
    code_heads : tuple of str
        Those whose inputs, side by side, are the codes: one of each tensor that is classified.
    input_shape : tuple of int
        (1, channels, height, width).
    class_token : int or None
        Which of a transformer's tokens is its class token.
    """

    calls: tuple[Call, ...]
    layers: LayerTable
    penultimate: str
    heads: tuple[str, ...]
    code_heads: tuple[str, ...]
    input_shape: tuple[int, ...]
    class_token: int | None = None

    @property
    def head(self) -> str | None:
        """Return the (first) classifier's name, None where there is none."""
        return self.heads[0] if self.heads else None

    def call(self, name: str) -> Call | None:
        """Return what the module `name` did, None if it was not called."""
        calls = reversed(self.calls) if name == PENULTIMATE else self.calls  # a module may be called so, too
        return next((call for call in calls if call.name == name), None)


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


def trace_network(module: nn.Module, example: torch.Tensor) -> Trace:
    """Run `example` through `module` (in eval mode) once and describe its layers.

    A layer is a *cut* if all that the output knows of the picture passes through it. Cuts are the nodes of the
    autograd graph without which input and output fall apart, so they are found for any differentiable module, however
    its ``forward`` is written. A second pass, at another size, tells which axes are the picture's.

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
    elsewhere = shapes_elsewhere(module, example)  # first, so that what a module remembers of a size is of this one
    try:
        try:
            records, output = _recorded_pass(module, example, Differentiable())
        except Exception:  # what does not bear the mode: compiled networks, or those that take gradients themselves
            records, output = _recorded_pass(module, example, torch.enable_grad())
    except Exception as error:
        channels, height, width = example.shape[1:]
        advice = advice_on_network(error, module)
        if advice is not None:
            raise ValueError(f"The network {type(module).__name__} fails ({error}). {advice}") from error
        near = nearest_sizes(module, (height, width), channels)
        such = f", such as {' or '.join(f'{a} x {b}' for a, b in near)}" if near else ""
        raise ValueError(
            f"The network {type(module).__name__} does not take pictures of {height} x {width} pixels and "
            f"{channels} channels ({error}). Choose another image_size{such}, or pictures of as many channels as it "
            "takes."
        ) from error
    node = output.grad_fn if output is not None else None
    graph = Graph(node)
    layouts = find_layouts(records, graph, (example.shape[2], example.shape[3]), elsewhere)
    found = find_heads(module, records, graph)
    heads = found or ()
    code_heads = one_of_each_tensor(heads, records)
    count = Counter(record.name for record in records)
    cuts = graph.cuts()
    calls = [
        Call(
            record.name, record.module, record.shape, count[record.name], record.weights_passed, record.macs_passed,
            graph.number(record.node), record.node in cuts and count[record.name] == 1, layout,
        )
        for record, (layout, _) in zip(records, layouts)
    ]  # fmt: skip
    rows = _rows(calls)
    if found is not None:
        entered = [(record, layout) for record, (_, layout) in zip(records, layouts) if record.name in code_heads]
        _add_penultimate(calls, entered)
    trace = _describe(calls, rows, heads, code_heads, example.shape)
    del graph, node, output  # the activations of the whole pass
    return with_class_token(trace, module, example)


def _recorded_pass(
    module: nn.Module, example: torch.Tensor, follows: contextlib.AbstractContextManager
) -> tuple[list[Record], torch.Tensor | None]:
    records: list[Record] = []
    counter = _MacCounter()
    with torch.enable_grad(), counter, follows, recorded(module, records, lambda: counter.macs):
        # No leaf: networks may normalise what they are given in place.
        return records, main_output(module(example.clone().requires_grad_().clone()))


def with_class_token(trace: Trace, network: nn.Module, example: torch.Tensor) -> Trace:
    """Return the trace with the class token noted, if the network puts tokens before those of patches."""
    with_prefix = [row for row in trace.layers if row.kind == "tokens" and row.n_prefix_tokens]
    if not with_prefix:
        return trace
    place = find_class_token(network, example, with_prefix[-1].name, with_prefix[-1].n_prefix_tokens or 0)
    layers = LayerTable(replace(row, class_token=place) if row.n_prefix_tokens else row for row in trace.layers)
    return replace(trace, layers=layers, class_token=place)


def _add_penultimate(calls: list[Call], entered: Sequence[tuple[Record, Layout]]) -> None:
    """Insert what enters the heads where it is known; without a head it is what the network returns."""
    if not entered:
        last = calls[-1]
        calls.append(replace(last, name=PENULTIMATE, n_calls=1, is_cut=True))
        return
    first = min((record for record, _ in entered), key=lambda record: record.started)
    layout = entered[0][1]
    shape = first.input_shape or (1,)
    if len(entered) > 1:
        layout = Layout("vector", sum(layout.channels for _, layout in entered), ())
        shape = (1, layout.channels)
    number = None
    calls.insert(
        first.started,
        Call(PENULTIMATE, first.module, shape, 1, first.weights_before, first.macs_before, number, False, layout),
    )


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
    return sum(has_weights(part) for part in module.modules()) <= 1


def _outermost(group: Sequence[Call], call: Call) -> Call:
    return min((c for c in group if c.node == call.node), key=lambda c: c.name.count("."))


def _describe(
    calls: list[Call], rows: list[Call], heads: tuple[str, ...], code_heads: tuple[str, ...], input_shape
) -> Trace:
    total_macs = max([call.macs_passed for call in calls], default=0) or 1
    head_depth = min([call.weights_passed for call in calls if call.name in heads], default=None)
    body = [row for row in rows if head_depth is None or row.weights_passed < head_depth]
    if not body:  # no cut was found before the head: every module called once is a layer
        body = [
            c for c in calls
            if c.name and c.name not in heads and c.name != PENULTIMATE and c.n_calls == 1 and len(c.shape or ()) >= 2
            and (head_depth is None or c.weights_passed < head_depth)
        ] or rows  # fmt: skip
    if not body:
        raise ValueError(
            "The network has no layer that is called once and returns one tensor of a row per picture, so there is "
            "nothing to take codes from. Give a module whose layers do."
        )
    deepest = max(body[-1].weights_passed, 1)
    stages = _stages(body, deepest)
    table = LayerTable(_info(call, deepest, total_macs, call.name in stages) for call in body)
    return Trace(tuple(calls), table, body[-1].name, heads, code_heads, tuple(input_shape))


def _info(call: Call, deepest: int, total_macs: int, is_stage: bool) -> LayerInfo:
    layout = call.layout
    return LayerInfo(
        name=call.name,
        depth=min(1.0, call.weights_passed / deepest),
        kind=layout.kind,
        channels=layout.channels,
        resolution=layout.resolution,
        macs_share=call.macs_passed / total_macs,
        is_stage=is_stage,
        n_prefix_tokens=layout.n_prefix_tokens,
        grid=layout.grid,
    )


def describe_call(call: Call, trace: Trace) -> LayerInfo:
    """Return the description of any layer, listed or not."""
    deepest = max(next(c.weights_passed for c in trace.calls if c.name == trace.penultimate), 1)
    info = _info(call, deepest, max(trace.calls[-1].macs_passed, 1), False)
    return replace(info, class_token=trace.class_token) if info.n_prefix_tokens else info


def _stages(body: Sequence[Call], deepest: int) -> set[str]:
    by_resolution = {call.layout.resolution: call.name for call in body}  # the last one of each resolution stays
    if len(by_resolution) > 2:
        return {*by_resolution.values(), body[-1].name}
    # One resolution throughout, as in a plain vision transformer: a layer at each quarter of the depth.
    quarters = (0.25, 0.5, 0.75, 1.0)
    return {min(body, key=lambda call: abs(call.weights_passed / deepest - quarter)).name for quarter in quarters}
