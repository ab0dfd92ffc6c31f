"""Which axis of a layer's output holds channels, and which of its tokens are patches: found out, never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktl.backbones._graph import Graph, Record, recorded

# Operations that work position by position: channels stay where they are.
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Relu", "Gelu", "Silu", "Hardswish", "Hardsigmoid", "Hardtanh", "Sigmoid",
               "Tanh", "Elu", "LeakyRelu", "Softplus", "Mish", "Clamp", "Clone", "ToCopy", "Pow", "Prelu",
               "NativeBatchNorm", "NativeLayerNorm", "NativeGroupNorm")  # fmt: skip
CHANNELS_SECOND = ("Convolution", "NativeBatchNorm", "NativeGroupNorm", "AvgPool2D", "MaxPool2D", "AdaptiveAvgPool2D",
                   "AdaptiveMaxPool2D", "Upsample", "MkldnnConvolution")  # fmt: skip
AXIS_KEEPING = ("Slice", "Roll", "Cat", "ConstantPad")
RESHAPING = ("View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze")


@dataclass(frozen=True)
class Layout:
    """What the axes of a tensor mean; see `LayerInfo`."""

    kind: str
    channels: int
    resolution: tuple[int, ...]
    n_prefix_tokens: int | None = 0
    grid: tuple[int, int] | None = None


@torch.no_grad()
def shapes_elsewhere(module: nn.Module, example: torch.Tensor) -> tuple[tuple[int, int], list[Record]] | None:
    """Run a picture of another height and width; return its size and the records, None if the network takes none."""
    height, width = example.shape[2:]
    if max(height, width) <= 96:
        sizes = [(height + 32, width + 64)]
    else:
        sizes = [(160 if height != 160 else 192, 128 if width != 128 else 224)]
    sizes += [(height // 2, width // 2)] if height % 2 == width % 2 == 0 else []
    for size in sizes:
        records: list[Record] = []
        other = torch.linspace(-1, 1, example.shape[1] * size[0] * size[1], dtype=example.dtype, device=example.device)
        try:
            with recorded(module, records):
                module(other.reshape(1, example.shape[1], *size))
        except Exception:  # networks refuse sizes with whatever their layers raise
            continue
        return size, records
    return None


def find_layouts(
    records: Sequence[Record],
    graph: Graph,
    size: tuple[int, int],
    elsewhere: tuple[tuple[int, int], list[Record]] | None,
) -> list[tuple[Layout, Layout]]:
    """Return, for each record, the layout of its output and that of its input.

    An axis that follows the picture's size is no channel axis, and one that does not is. Where a size more is not to
    be had, or does not tell, it is known from the layers that a tensor passes: convolutions, norms, linear layers.
    """
    others: Sequence[Record | None] = [None] * len(records)
    if elsewhere is not None and [r.name for r in elsewhere[1]] == [r.name for r in records]:
        others = elsewhere[1]
    axes = _channel_axes(records, graph)
    has_constants = any(_joins_constants(node) for node in graph.nodes)
    sizes = (size, elsewhere[0] if elsewhere is not None else None)
    grids: list[tuple[tuple[int, ...], tuple[int, ...] | None]] = []
    found = []
    for record, other in zip(records, others):
        entered = _layout(record.input_shape, other.input_shape if other else None, axes.get(record.input_node))
        left = _layout(record.shape, other.shape if other else None, axes.get(record.node))
        pair = []
        for layout, shape in ((left, other.shape if other else None), (entered, other.input_shape if other else None)):
            if layout.kind == "tokens":
                layout = _with_patches(layout, shape[1] if shape else None, grids, sizes, has_constants)
            elif layout.kind in ("map", "map_last") and len(layout.resolution) == 2:
                first = 2 if layout.kind == "map" else 1
                grids.append((layout.resolution, tuple(shape[first : first + 2]) if shape else None))
            pair.append(layout)
        found.append((pair[0], pair[1]))
    return found


def _layout(shape: tuple[int, ...] | None, other: tuple[int, ...] | None, axis: int | None) -> Layout:
    unknown = Layout("unknown", 0, tuple(shape or ())[1:], None)
    if shape is None or len(shape) not in (2, 3, 4) or shape[0] != 1:
        return unknown
    if len(shape) == 2:
        return Layout("vector", shape[1], ())
    changed = {i for i in range(1, len(shape)) if other and len(other) == len(shape) and shape[i] != other[i]}
    by_size = {(2, 3): 1, (1, 2): len(shape) - 1, (3,): 1, (1,): len(shape) - 1}
    if len(shape) == 3:
        by_size = {(1,): 2, (2,): 1}
    channels = by_size.get(tuple(sorted(changed)))
    if channels is None and axis is not None and axis not in changed:
        channels = axis
    if channels is None and not changed and len(shape) == 4 and shape[2:] == (1, 1):
        channels = 1
    if channels == 1:
        return Layout("map", shape[1], shape[2:])
    if channels == len(shape) - 1:
        kind = "map_last" if len(shape) == 4 else "tokens"
        return Layout(kind, shape[-1], shape[1:-1], 0 if kind == "map_last" else None)
    return unknown


def _with_patches(
    layout: Layout,
    n_elsewhere: int | None,
    grids: Sequence[tuple[tuple[int, ...], tuple[int, ...] | None]],
    sizes: tuple[tuple[int, int], tuple[int, int] | None],
    has_constants: bool,
) -> Layout:
    """Tell class and register tokens from patches: the number of patches is that of a map's pixels, at any size."""
    (n_tokens,) = layout.resolution
    solutions: dict[int, tuple[int, int] | None] = {}
    for grid, other in reversed(grids):
        n_prefix = n_tokens - math.prod(grid)
        agrees = n_elsewhere is None or (other is not None and n_elsewhere - math.prod(other) == n_prefix)
        if 0 <= n_prefix <= 64 and agrees and math.prod(grid) > 1:
            solutions.setdefault(n_prefix, (grid[0], grid[1]))
    if not solutions and n_elsewhere not in (None, n_tokens) and sizes[1] is not None:
        solutions = _by_strides(n_tokens, n_elsewhere, sizes[0], sizes[1])  # type: ignore[arg-type]
    if not has_constants or n_tokens == 1:  # nothing was put beside what comes of the picture
        return _with(layout, 0, solutions.get(0))
    if n_elsewhere is not None and len(solutions) > 1:
        return _with(layout, None, None)
    return _with(layout, min(solutions), solutions[min(solutions)]) if solutions else _with(layout, None, None)


def _with(layout: Layout, n_prefix: int | None, grid: tuple[int, int] | None) -> Layout:
    return Layout(layout.kind, layout.channels, layout.resolution, n_prefix, grid)


def _by_strides(
    n: int, n_other: int, size: tuple[int, int], other: tuple[int, int]
) -> dict[int, tuple[int, int] | None]:
    """Return what numbers of prefix tokens go with patches of one stride at both sizes."""
    found: dict[int, tuple[int, int] | None] = {}
    for stride in range(1, min(*size, *other) + 1):
        for up in (0, stride - 1):  # rounded down, or up
            grid, grid_other = (((h + up) // stride, (w + up) // stride) for h, w in (size, other))
            n_prefix = n - math.prod(grid)
            if 0 <= n_prefix <= 64 and n_other - math.prod(grid_other) == n_prefix:
                found[n_prefix] = grid if found.get(n_prefix, grid) == grid else None
    return found


def _joins_constants(node: Any) -> bool:
    """Whether a node puts something beside what comes of the picture, such as a class token."""
    name = node.name()
    return name == "CopySlices" or (name == "CatBackward0" and any(child is None for child, _ in node.next_functions))


def _channel_axes(records: Sequence[Record], graph: Graph) -> dict[Any, int]:
    """Return which axis holds channels, for the tensors where the layers around them tell."""
    shapes = {node: tuple(meta[0].shape) for node in graph.nodes if (meta := getattr(node, "_input_metadata", None))}
    links: dict[Any, list[tuple[Any, dict[int, int]]]] = {}
    strong: list[tuple[Any, int]] = []
    weak: list[tuple[Any, int]] = []
    for node, shape in shapes.items():
        name = node.name()
        if name.startswith(CHANNELS_SECOND) and len(shape) >= 3:
            strong.append((node, 1))
            if (fed := node.next_functions[0][0]) is not None:
                strong.append((fed, 1))
        elif name.startswith("NativeLayerNorm") and len(getattr(node, "_saved_normalized_shape", ())) == 1:
            strong.append((node, len(shape) - 1))
        for child in graph.children(node):
            mapping = _mapping(node, name, shape, shapes.get(child))
            if mapping:
                links.setdefault(node, []).append((child, mapping))
                links.setdefault(child, []).append((node, {b: a for a, b in mapping.items()}))
    for record in records:
        if isinstance(record.module, nn.Linear):
            ends = ((record.node, record.shape), (record.input_node, record.input_shape))
            weak.extend((end, len(sides) - 1) for end, sides in ends if end is not None and sides)
    axes: dict[Any, int] = {}
    for anchors in (strong, weak):  # a linear layer may also mix tokens, along an axis that was turned to the end
        queue = [(node, axis) for node, axis in anchors if node not in axes]
        while queue:
            node, axis = queue.pop()
            if node in axes:
                continue
            axes[node] = axis
            queue.extend((other, mapping[axis]) for other, mapping in links.get(node, ()) if axis in mapping)
    return axes


def _mapping(node: Any, name: str, shape: tuple, fed: tuple | None) -> dict[int, int]:
    """Return which axis of the operation's input each axis of its output is."""
    if fed is None:
        return {}
    if name.startswith(RESHAPING):  # an axis stays one where as many numbers lie before it, and it is as long
        places = {(math.prod(fed[:i]), side): i for i, side in enumerate(fed)}
        found = {i: places.get((math.prod(shape[:i]), side)) for i, side in enumerate(shape)}
        return {i: place for i, place in found.items() if place is not None}
    if len(fed) != len(shape):
        return {}
    if name.startswith("PermuteBackward"):
        return {i: _signed(axis) % len(shape) for i, axis in enumerate(node._saved_dims)}
    if name.startswith("TransposeBackward"):
        a, b = _signed(node._saved_dim0) % len(shape), _signed(node._saved_dim1) % len(shape)
        return {i: {a: b, b: a}.get(i, i) for i in range(len(shape))}
    if name.startswith(AXIS_KEEPING) or (name.startswith(ELEMENTWISE) and fed == shape):
        return {i: i for i in range(len(shape))}
    return {}


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
