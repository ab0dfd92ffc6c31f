"""Feature-wise modulation: factors and shifts for the channels of a network's layers, said from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

import numpy as np
from torch import Tensor, nn

Modulation = Mapping[str, tuple[Tensor, Tensor]]  # by layer: factors less 1, and shifts, (n_rows, channels)

_given: ContextVar[Modulation | None] = ContextVar("given_modulation", default=None)

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


class FiLM(nn.Module):
    """A layer whose output's channels are scaled and shifted in a `modulated_by` block; else it is the layer.

    The blocks are local to a thread.

    Parameters
    ----------
    layer : Module
        Its outputs have channels on axis 1, or last if it is a layer norm.
    name : str
        By which modulations are told apart.
    """

    def __init__(self, layer: nn.Module, name: str):
        super().__init__()
        self.layer = layer
        self.name = name
        self.axis = -1 if isinstance(layer, nn.LayerNorm) else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (1 + factor) * layer(x) + shift."""
        out, given = self.layer(x), _given.get()
        if given is None:
            return out
        shape = [len(out), *[1] * (out.ndim - 1)]
        shape[self.axis] = -1
        factor, shift = (part.reshape(shape) for part in given[self.name])
        return (1 + factor) * out + shift


@contextlib.contextmanager
def modulated_by(modulation: Modulation) -> Iterator[None]:
    """Modulate by these factors and shifts."""
    token = _given.set(modulation)
    try:
        yield
    finally:
        _given.reset(token)


def with_film(network: nn.Module, n_layers: int) -> dict[str, int]:
    """Make up to so many of a network's layers modulated, in place; returns their names and channels.

    Taken are normalisations if there are any, else convolutions and linear layers: spread evenly over the network's
    depth, the last one among them.
    """
    found = [name for name, part in network.named_modules() if isinstance(part, NORMS)] or [
        name for name, part in network.named_modules() if isinstance(part, (nn.modules.conv._ConvNd, nn.Linear))
    ]
    found = [name for name in found if name]  # the network itself cannot be replaced in place
    if not found:
        raise ValueError(
            "backbone has no layer to modulate: neither a normalisation nor a convolution or linear layer within it. "
            "Give a network with such layers, as in a Sequential."
        )
    chosen = np.unique(np.linspace(len(found) - 1, 0, min(n_layers, len(found))).round().astype(int))
    widths = {}
    for name in (found[i] for i in chosen):
        parent, _, child = name.rpartition(".")
        layer = network.get_submodule(name)
        widths[name] = _channels(layer)
        setattr(network.get_submodule(parent), child, FiLM(layer, name))
    return widths


def _channels(layer: nn.Module) -> int:
    for attribute in ("num_features", "num_channels", "out_channels", "out_features"):
        if hasattr(layer, attribute):
            return int(getattr(layer, attribute))
    return int(layer.normalized_shape[-1])  # type: ignore[union-attr, index, arg-type]
