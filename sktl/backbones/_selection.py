"""From what a user calls a layer to the layer."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sktl._validation import did_you_mean, shorten
from sktl.backbones._layers import LayerInfo, Trace, kind_of


def resolve_layers(layers: Any, trace: Trace) -> tuple[str, ...]:
    """Turn names, fractions of depth, "penultimate" or "all", or a list of them, into layers' names.

    Raises
    ------
    ValueError
        If a name is not in the network, is called more than once, or a fraction is not in (0, 1].
    """
    asked = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not asked:
        raise ValueError("layers is an empty list; name at least one layer, or use 'penultimate' or 'all'.")
    names: list[str] = []
    for item in asked:
        names.extend(_resolve_one(item, trace))
    return tuple(dict.fromkeys(names))


def _resolve_one(item: Any, trace: Trace) -> list[str]:
    if isinstance(item, Real) and not isinstance(item, bool):
        depth = float(item)
        if not 0 < depth <= 1:
            raise ValueError(f"A layer given by depth must lie in (0, 1]: 1.0 is the penultimate layer; got {item!r}.")
        return [min(trace.layers, key=lambda row: abs(row.depth - depth)).name]
    if not isinstance(item, str):
        raise TypeError(f"layers takes names, fractions of depth, 'penultimate', 'all', or a list; got {item!r}.")
    if item == "penultimate":
        return [trace.penultimate]
    if item == "all":
        return [row.name for row in trace.layers if row.is_stage]
    call = trace.call(item)
    listed = [row.name for row in trace.layers]
    if call is None or not item:
        called = dict.fromkeys(listed + [call.name for call in trace.calls if call.name])
        raise ValueError(
            f"The network has no layer {item!r}.{did_you_mean(item, called)} Its layers are {shorten(listed)}."
        )
    if call.n_calls > 1:
        raise ValueError(f"The layer {item!r} is called {call.n_calls} times a picture, so it has no one output. "
                         f"Choose the module around it, or one of {shorten(listed)}.")  # fmt: skip
    if call.shape is None or len(call.shape) < 2:
        raise ValueError(f"The layer {item!r} does not return one tensor. Choose one of {shorten(listed)}.")
    return [item]


def layer_info(name: str, trace: Trace) -> LayerInfo:
    """Return the description of the layer `name`, listed or not."""
    for row in trace.layers:
        if row.name == name:
            return row
    call = trace.call(name)
    if call is None or call.shape is None:
        raise ValueError(f"The network has no layer {name!r} that returns one tensor.")
    kind, channels, resolution = kind_of(call.shape)
    last = trace.calls[-1]
    deepest = max(next(c.weights_passed for c in trace.calls if c.name == trace.penultimate), 1)
    return LayerInfo(name, min(1.0, call.weights_passed / deepest), kind, channels, resolution,
                     call.macs_passed / max(last.macs_passed, 1), False)  # fmt: skip
