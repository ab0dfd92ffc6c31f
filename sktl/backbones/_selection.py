"""From what a user calls a layer to the layer."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sktl._validation import did_you_mean, shorten
from sktl.backbones._heads import PENULTIMATE
from sktl.backbones._layers import LayerInfo, Trace, describe_call


def resolve_layers(layers: Any, trace: Trace, pooling: str = "auto") -> tuple[str, ...]:
    """Turn names, fractions of depth, "penultimate" or "all", or a list of them, into layers' names.

    "penultimate" is what enters the classifier, and stays a name of its own. With a `pooling` other than "auto" it is
    the deepest layer before the classifier, which is then pooled so; where a transformer pools its tokens by attention,
    the last that returns tokens.

    Raises
    ------
    ValueError
        If a name is not in the network, is called more than once, a fraction is not in (0, 1], or what enters the
        classifier cannot be found.
    """
    asked = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not asked:
        raise ValueError("layers is an empty list; name at least one layer, or use 'penultimate' or 'all'.")
    names: list[str] = []
    for item in asked:
        names.extend(_resolve_one(item, trace, pooling))
    return tuple(dict.fromkeys(names))


def _resolve_one(item: Any, trace: Trace, pooling: str) -> list[str]:
    if isinstance(item, Real) and not isinstance(item, bool):
        depth = float(item)
        if not 0 < depth <= 1:
            raise ValueError(f"A layer given by depth must lie in (0, 1]: 1.0 is the penultimate layer; got {item!r}.")
        return [min(trace.layers, key=lambda row: abs(row.depth - depth)).name]
    if not isinstance(item, str):
        raise TypeError(f"layers takes names, fractions of depth, 'penultimate', 'all', or a list; got {item!r}.")
    if item == PENULTIMATE:
        return [_penultimate(trace, pooling)]
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


def _penultimate(trace: Trace, pooling: str) -> str:
    if pooling != "auto":
        return _deepest_to_pool(trace)
    call = trace.call(PENULTIMATE)
    if call is None or call.shape is None or len(call.shape) < 2:
        listed = [row.name for row in trace.layers]
        raise ValueError(
            "layers='penultimate' is what enters the network's classifier, but this network does not return one tensor "
            f"that tells which of its layers that is. Name a layer: one of {shorten(listed)}."
        )
    return PENULTIMATE


def _deepest_to_pool(trace: Trace) -> str:
    """Return the deepest layer before the classifier; before attention that pools, the last that returns tokens."""
    with_tokens = [row.name for row in trace.layers if row.kind == "tokens"]
    return with_tokens[-1] if with_tokens and trace.layers[-1].kind == "vector" else trace.penultimate


def layer_info(name: str, trace: Trace) -> LayerInfo:
    """Return the description of the layer `name`, listed or not."""
    for row in trace.layers:
        if row.name == name:
            return row
    call = trace.call(name)
    if call is None or call.shape is None:
        raise ValueError(f"The network has no layer {name!r} that returns one tensor.")
    return describe_call(call, trace)
