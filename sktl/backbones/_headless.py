"""Networks without their classifiers."""

from __future__ import annotations

import math

import torch
from torch import nn

from sktl.backbones._copying import own_copy
from sktl.backbones._heads import PENULTIMATE
from sktl.backbones._layers import Trace
from sktl.backbones._pooling import Pooling
from sktl.backbones._selection import layer_info, resolve_layers
from sktl.backbones._surgery import LayerOutputs


class _Passing(nn.Module):
    """The identity, under a name by which no network tells that its classifier has gone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def without_heads(network: nn.Module, trace: Trace, *, ends_in_codes: bool) -> nn.Module:
    """Return a copy of the network with the identity in each classifier's place.

    Parameters
    ----------
    network : Module
        The network.
    trace : Trace
        Of the same network.
    ends_in_codes : bool
        What the function of this name says of them. If not, what enters the heads is had by `LayerOutputs`.
    """
    network = own_copy(network)
    for head in trace.heads:
        parent, _, child = head.rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity() if ends_in_codes else _Passing())
    return network


class _UpToHeads(nn.Module):
    """A network up to its classifiers, of which it does not return the input by itself."""

    def __init__(self, network: nn.Module, trace: Trace):
        super().__init__()
        self.network = network
        self._heads = trace.code_heads
        self._info = layer_info(PENULTIMATE, trace)
        self.stops = True  # at the classifiers; see LayerOutputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the codes, (n, n_codes)."""
        reduce = lambda output, _: Pooling()(output, self._info)  # noqa: E731
        return LayerOutputs(self.network, [PENULTIMATE], reduce, stops=self.stops, heads=self._heads)(x)[0]


def cut_head(network: nn.Module, trace: Trace) -> nn.Module:
    """Return a copy of the network that returns what enters its classifier (or the copy as it is, without one).

    A classifier that is given maps counts as given their means.
    """
    resolve_layers(PENULTIMATE, trace)
    is_whole = ends_in_codes(network, trace)
    headless = without_heads(network, trace, ends_in_codes=is_whole)
    return headless if is_whole or not trace.heads else _UpToHeads(headless, trace)


@torch.no_grad()
def ends_in_codes(network: nn.Module, trace: Trace) -> bool:
    """Whether a network without its classifiers returns what enters them: nothing is made of it afterwards."""
    reference = next(network.parameters(), torch.zeros(()))
    example = torch.linspace(-1, 1, math.prod(trace.input_shape), dtype=reference.dtype, device=reference.device)
    example = example.reshape(trace.input_shape)
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        reduce = lambda output, name: Pooling()(output, layer_info(name, trace))  # noqa: E731
        (codes,) = LayerOutputs(network, [PENULTIMATE], reduce, heads=trace.code_heads)(example.clone())
        own = without_heads(network, trace, ends_in_codes=True)(example)
    except Exception:  # what follows the classifier needs as many classes as it had
        return False
    finally:
        for part, mode in modes:
            part.training = mode
    is_alike = isinstance(own, torch.Tensor) and own.shape == codes.shape
    return is_alike and torch.allclose(own.to(codes.dtype), codes, rtol=1e-5, atol=1e-6)
