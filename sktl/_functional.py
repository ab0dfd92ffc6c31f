"""A network called with other values than its own, which it has again afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call


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
