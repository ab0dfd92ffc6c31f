"""What the library asks of a network of the user's, and how it calls one with other values than its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

ONE_VALUE = "more than 1 value per channel"  # as torch says it


def check_network(network: nn.Module, name: str) -> None:
    """Check that a network of the user's can be copied and taken apart; `name` is what the parameter is called.

    Raises
    ------
    TypeError
        If it is compiled to TorchScript or exported, or a part of it is.
    ValueError
        If a layer holds a tensor that is computed from others, or one without values.
    """
    for layer, part in network.named_modules():
        where = f", at {layer!r}" if layer else ""
        if isinstance(part, torch.jit.ScriptModule):
            raise TypeError(
                f"{name} must be an nn.Module whose layers can be copied, trained and looked into; got a "
                f"torch.jit.ScriptModule{where}. Give the module that it was made from."
            )
        if isinstance(part, torch.fx.GraphModule) and "train" in vars(part):  # which only says that it cannot
            raise TypeError(
                f"{name} must be an nn.Module whose layers can be trained and looked into; got a program of "
                f"torch.export{where}, which runs as it was exported, in one mode. Give the module that it was made "
                "from."
            )
        for attribute, value in (*part._parameters.items(), *part._buffers.items()):
            if value is not None and (is_lazy(value) or value.is_meta):
                raise ValueError(
                    f"{name} must be a network with values, but {attribute!r} of its layer {layer!r} has none yet. "
                    + ("Run it on a picture first." if is_lazy(value) else "Load its weights, or use to_empty.")
                )
        for attribute, value in vars(part).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                raise ValueError(
                    f"{name} must be a network that can be copied, but {attribute!r} of its layer {layer!r} is "
                    "computed from other tensors and kept, as torch.nn.utils.weight_norm does. Use "
                    f"torch.nn.utils.parametrizations.weight_norm, or detach it: layer.{attribute} = "
                    f"layer.{attribute}.detach()."
                )


@contextlib.contextmanager
def single_row_explained(remedy: str) -> Iterator[None]:
    """Say in words of ours, and with what to do, that batch norm met a single row in training."""
    try:
        yield
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        raise ValueError(
            f"Batch norm in training needs at least 2 rows a batch, to take a spread from; got 1. {remedy}"
        ) from error


def call_with(module: nn.Module, values: Mapping[str, Tensor], *inputs: Any) -> Any:
    """Return ``module(*inputs)`` with some parameters or buffers replaced.

    A tensor may stand in several places: two layers may share it (tied weights), and one layer may be registered
    under two names. Its value is then replaced in every place, and each place is changed once: `functional_call`
    itself changes a layer of two names twice, and puts the replaced value back the second time.

    Parameters
    ----------
    module : nn.Module
        The network. Threads that call one network take turns.
    values : mapping of str to Tensor
        By name, as ``named_parameters`` and ``named_buffers`` give them.
    *inputs : object
        What the network is given.
    """
    tensors: dict[str, int] = {}  # every name, aliases included, and which tensor it means
    places: dict[tuple[int, str], str] = {}  # each place of a tensor, and one name of it
    for prefix, part in module.named_modules(remove_duplicate=False):
        for held in (part._parameters, part._buffers):
            for key, tensor in held.items():
                if tensor is not None:
                    name = f"{prefix}.{key}" if prefix else key
                    tensors[name] = id(tensor)
                    places.setdefault((id(part), key), name)
    of_tensor = {tensors[name]: value for name, value in values.items()}
    everywhere = {name: of_tensor[tensors[name]] for name in places.values() if tensors[name] in of_tensor}
    return functional_call(module, everywhere, inputs, tie_weights=False)
