"""Convolutions whose weights lie in memory as oneDNN's kernels read them, for networks that only look.

PyTorch lays weights out anew in every pass. For small pictures that takes as long as the convolution itself, so a
picture that comes alone is given another kernel, whose sums are rounded otherwise. With weights laid out once, one
kernel serves both, and each is faster.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

WORTH_PACKING = 2**14  # weights; below, and in layers that are but linear, PyTorch's own kernels are as fast or faster
AGREEMENT = 1e-5  # of the largest output; kernels that sum in another order differ by less


class PackedConv2d(nn.Conv2d):
    """A convolution in two dimensions that cannot be trained.

    Parameters
    ----------
    convolution : Conv2d
        Where the weights come from; not changed.
    shape : tuple of int
        Of an input, by which weights are laid out. Inputs of other shapes are taken too.
    """

    def __init__(self, convolution: nn.Conv2d, shape: tuple[int, ...]):
        nn.Module.__init__(self)
        self.__dict__.update({name: value for name, value in vars(convolution).items() if name != "_parameters"})
        bias = convolution.bias
        self._parameters = {"bias": None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)}
        self._setting = (list(self.padding), list(self.stride), list(self.dilation), self.groups)
        self._packed = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(), *self._setting, list(shape)
        )

    def __deepcopy__(self, memo: dict) -> PackedConv2d:
        memo[id(self._packed)] = self._packed  # nothing writes to it, and it has no storage that could be copied
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(vars(self), memo))
        return copied

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """Return the weights in the usual order."""
        return self._packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x, (n, C, H, W)."""
        is_usual = x.ndim == 4 and x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0
        if not is_usual or torch.is_autocast_enabled("cpu") or (torch.is_grad_enabled() and x.requires_grad):
            return super().forward(x)
        convolved = torch.ops.mkldnn._convolution_pointwise
        return convolved(x, self._packed, self.bias, *self._setting, "none", [], "")


@torch.no_grad()
def pack_weights(network: nn.Module, example: Tensor) -> nn.Module:
    """Lay out the weights of a network's convolutions, in place; one with which that does not work stays as it is.

    Parameters
    ----------
    network : Module
        In eval mode, on the CPU, in float32.
    example : Tensor of shape (n, C, H, W)
        Pictures, by which weights are laid out and outputs compared.

    Returns
    -------
    Module
        The network given.
    """
    if not torch.backends.mkldnn.is_available():
        return network
    expected = tree_leaves(network(example.clone()))
    plain: dict[str, nn.Module] = {}
    try:
        for name, shape in _input_shapes(network, example).items():
            convolution: Any = network.get_submodule(name)
            if _is_worth_packing(convolution, shape):
                plain[name] = convolution
                _replace(network, name, PackedConv2d(convolution, shape))
        is_same = _agree(tree_leaves(network(example.clone())), expected)
    except (AttributeError, RuntimeError, TypeError):  # other builds of PyTorch; networks that ask for more of a layer
        is_same = False
    if not is_same:
        for name, convolution in plain.items():
            _replace(network, name, convolution)
    return network


def _input_shapes(network: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of what enters each convolution that can be packed."""
    shapes: dict[str, tuple[int, ...]] = {}
    handles = []
    for name, part in network.named_modules():
        if type(part) is nn.Conv2d and part.padding_mode == "zeros" and isinstance(part.padding, tuple):
            note = lambda _, args, name=name: shapes.setdefault(name, tuple(args[0].shape))  # noqa: E731
            handles.append(part.register_forward_pre_hook(lambda *given, note=note: note(*given) and None))
    try:
        network(example.clone())
    finally:
        for handle in handles:
            handle.remove()
    return {name: shape for name, shape in shapes.items() if len(shape) == 4}


def _is_worth_packing(convolution: nn.Conv2d, shape: tuple[int, ...]) -> bool:
    is_pointwise = convolution.kernel_size == (1, 1)
    if is_pointwise and shape[2] * shape[3] == 1:
        return False
    return convolution.weight.numel() >= WORTH_PACKING or not (is_pointwise or convolution.groups > 1)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _agree(found: list[Any], expected: list[Any]) -> bool:
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if isinstance(b, Tensor) and b.is_floating_point()]
    return all(bool((a - b).abs().max() <= AGREEMENT * b.abs().max().clamp(min=1e-12)) for a, b in pairs if b.numel())
