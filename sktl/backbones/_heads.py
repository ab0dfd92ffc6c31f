"""Which modules of a network are its classifiers: the last that hold weights on every way to the output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from sktl.backbones._graph import Graph, Record, has_weights

PENULTIMATE = "penultimate"  # the name of what enters the heads, among the names of layers
HEAD_NAMES = ("classifier", "head", "heads", "fc", "last_linear", "logits")
PRODUCTS = ("Mm", "Mv", "Bmm", "Baddbmm", "Cdist", "EuclideanDist", "Dot", "Linear")
SCALING = ("NativeBatchNorm", "Mul", "Add", "Sub", "Clone")
PICKING = ("Mean", "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Select", "Slice", "AdaptiveAvgPool2D")


def find_heads(module: nn.Module, records: Sequence[Record], graph: Graph) -> tuple[str, ...] | None:
    """Return the names of the classifiers, none for a network that ends in features, None where no one can tell.

    Going back from the output, the first modules that hold weights are the heads, if all ways pass one of them, none
    feeds another, and each is a linear layer (or a convolution that the network itself calls its classifier).
    """
    if graph.root is None:
        return None
    count = Counter(record.name for record in records)
    weighted = {r.first_node: r for r in records if r.name and has_weights(r.module) and r.first_node is not None}
    nodes, is_bypassed, passed = graph.reached(graph.root, weighted)
    if any(_may_weigh(node, graph) for node in passed):
        return None  # the output is made by weights that no module stands for
    last = [weighted[node] for node in nodes]
    is_apart = not any(graph.reached(node, {other for other in nodes if other is not node})[0] for node in nodes)
    if is_bypassed or not last or not is_apart or not all(_is_head(record, module) for record in last):
        return None if any(_is_called_head(record, module) for record in last) else ()
    if any(count[record.name] > 1 for record in last):
        return None
    if min(record.weights_before for record in last) == 0:  # nothing lies before it
        return ()
    # Heads on each token or pixel beside those on one vector are helpers of training.
    on_vectors = [record for record in last if is_vector(record.input_shape)]
    heads = on_vectors or last
    if len(heads) > 1 and not on_vectors and any(not isinstance(record.module, nn.Conv2d) for record in heads):
        return None
    return tuple(record.name for record in sorted(heads, key=lambda record: record.started))


def _may_weigh(node: Any, graph: Graph) -> bool:
    """Whether an operation may be a classifier's: a product with what is not the picture's, or an unknown one."""
    name = node.name()
    is_product = name.startswith(PRODUCTS) and len(graph.children(node)) == 1
    return is_product or name.startswith(("Addmm", "Convolution")) or "NotImplemented" in name


def one_of_each_tensor(heads: Sequence[str], records: Sequence[Record]) -> tuple[str, ...]:
    """Return the first head of each tensor: those that read the same numbers, or multiples, are given one code."""
    first: dict[Any, str] = {}
    entered = {record.name: record for record in records}
    for head in heads:
        record = entered[head]
        first.setdefault(_origin(record.input_node, record.input_number), head)
    return tuple(first.values())


def _origin(node: Any, number: int) -> Any:
    """Return what is the same for tensors that differ by a fixed factor and shift of each channel at most.

    Going back over norms (which are just that in eval mode), products and sums with constants; means, views and picks
    are the same where all that they were asked for is.
    """
    fed = [] if node is None else [link for link in node.next_functions if link[0] is not None]
    if len(fed) != 1:
        return node, number
    name = node.name()
    if name.startswith(SCALING):
        return _origin(*fed[0])
    if name.startswith(PICKING):
        asked = [getattr(node, saved) for saved in dir(node) if saved.startswith("_saved_")]
        shape = tuple(node._input_metadata[number].shape)
        plain = repr([value for value in asked if not isinstance(value, Tensor)])
        return name, number, shape, plain, _origin(*fed[0])
    return node, number


def is_vector(shape: tuple[int, ...] | None) -> bool:
    """Whether a tensor of that shape is one vector a picture, up to axes of length 1."""
    return shape is not None and len(shape) >= 2 and all(side == 1 for side in shape[2:])


def _is_head(record: Record, network: nn.Module) -> bool:
    if isinstance(record.module, nn.Linear):
        return True
    if isinstance(record.module, nn.Conv2d):
        return _is_called_head(record, network)
    return len(record.input_shape or ()) == 2 and len(record.shape or ()) == 2


def _is_called_head(record: Record, network: nn.Module) -> bool:
    return record.name in _declared(network) or record.name.split(".")[0] in HEAD_NAMES


def _declared(network: nn.Module) -> tuple[str, ...]:
    """Return what a timm model calls its classifiers."""
    cfg: Any = getattr(network, "pretrained_cfg", None)
    named = cfg.get("classifier") if isinstance(cfg, dict) else None
    return (named,) if isinstance(named, str) else tuple(named or ())
