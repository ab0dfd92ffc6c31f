"""Which modules of a network are its classifiers: the last that hold weights on every way to the output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import nn

from sktl.backbones._graph import Graph, Record, has_weights

PENULTIMATE = "penultimate"  # the name of what enters the heads, among the names of layers
HEAD_NAMES = ("classifier", "head", "heads", "fc", "last_linear", "logits")


def find_heads(module: nn.Module, records: Sequence[Record], graph: Graph) -> tuple[str, ...]:
    """Return the names of the classifiers, none for a network that ends in features.

    Going back from the output, the first modules that hold weights are the heads, if all ways pass one of them, none
    feeds another, and each is a linear layer (or a convolution that the network itself calls its classifier).
    """
    if graph.root is None:
        return ()
    count = Counter(record.name for record in records)
    weighted = {r.node: r for r in records if r.name and has_weights(r.module) and graph.number(r.node) is not None}
    nodes, is_bypassed = graph.reached(graph.root, weighted)
    last = [weighted[node] for node in nodes]
    if is_bypassed or not last or not all(_is_head(record, module) and count[record.name] == 1 for record in last):
        return ()
    for node in nodes:
        others = {other for other in nodes if other is not node}
        if graph.reached(node, others)[0]:
            return ()
    if min(record.weights_before for record in last) == 0:  # nothing lies before it
        return ()
    # Heads on each token or pixel beside those on one vector are helpers of training.
    on_vectors = [record for record in last if is_vector(record.input_shape)]
    return tuple(record.name for record in sorted(on_vectors or last, key=lambda record: record.started))


def is_vector(shape: tuple[int, ...] | None) -> bool:
    """Whether a tensor of that shape is one vector a picture, up to axes of length 1."""
    return shape is not None and len(shape) >= 2 and all(side == 1 for side in shape[2:])


def _is_head(record: Record, network: nn.Module) -> bool:
    if isinstance(record.module, nn.Linear):
        return True
    if isinstance(record.module, nn.Conv2d):
        return record.name in _declared(network) or record.name.split(".")[0] in HEAD_NAMES
    return len(record.input_shape or ()) == 2 and len(record.shape or ()) == 2


def _declared(network: nn.Module) -> tuple[str, ...]:
    """Return what a timm model calls its classifiers."""
    cfg: Any = getattr(network, "pretrained_cfg", None)
    named = cfg.get("classifier") if isinstance(cfg, dict) else None
    return (named,) if isinstance(named, str) else tuple(named or ())
