"""Batch norm folded into the convolution before it, for networks that only look."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def fold_batch_norms(network: nn.Module, example: torch.Tensor, keep: Iterable[str] = ()) -> nn.Module:
    """Return a copy of `network` (eval mode) whose batch norms are folded into the convolutions that feed them.

        BN(w * x + b) = (w g / s) * x + (b - m) g / s + h,  s = sqrt(v + eps)

    Parameters
    ----------
    network : Module
        In eval mode; not changed.
    example : Tensor of shape (1, 3, H, W)
        A picture, to see which batch norm follows which convolution and that the copy computes the same.
    keep : iterable of str
        Convolutions whose own outputs are wanted; they are left as they are.

    Returns
    -------
    Module
        If the folded copy does not agree with the network to rounding, a copy as it was.
    """
    pairs = _pairs(network, example, set(keep))
    folded = copy.deepcopy(network)
    for conv_name, norm_name in pairs:
        conv: Any = folded.get_submodule(conv_name)
        norm: Any = folded.get_submodule(norm_name)
        _settle(conv)
        _settle(norm)
        _replace(folded, conv_name, fuse_conv_bn_eval(conv, norm))  # keeps a subclass and its own forward
        _replace(folded, norm_name, _rest_of(norm))
    if pairs and not _agree(network, folded, example):
        return copy.deepcopy(network)
    return folded


def _pairs(network: nn.Module, example: torch.Tensor, keep: set[str]) -> list[tuple[str, str]]:
    """Find (convolution, batch norm) whose tensors are one and the same object, each called once."""
    names = {module: name for name, module in network.named_modules()}
    made: dict[int, tuple[nn.Module, torch.Tensor]] = {}
    fed: list[tuple[nn.Module, nn.Module]] = []
    calls: dict[nn.Module, int] = {}

    def hook(module, args, output):
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, CONVOLUTIONS):
            made[id(output)] = (module, output)  # keeping the tensor keeps its id
        elif args and id(args[0]) in made:
            fed.append((made[id(args[0])][0], module))

    wanted = (*CONVOLUTIONS, _BatchNorm)
    handles = [m.register_forward_hook(hook) for m in network.modules() if isinstance(m, wanted)]
    try:
        network(example.clone())
    finally:
        for handle in handles:
            handle.remove()
    convs = [conv for conv, _ in fed]
    return [
        (names[conv], names[norm])
        for conv, norm in fed
        if calls[conv] == calls[norm] == convs.count(conv) == 1
        and getattr(norm, "track_running_stats", False)
        and names[conv] not in keep
    ]


def _settle(layer: nn.Module) -> None:
    """Give a copied layer for good the values that weight norm and other parametrisations compute for it."""
    if not parametrize.is_parametrized(layer):
        return
    values = {name: getattr(layer, name).detach() for name in layer.parametrizations}  # type: ignore[union-attr]
    # remove_parametrizations would change the class too, which the layer has in common with the one it was copied from.
    layer.__class__ = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    for name, value in values.items():
        layer.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _rest_of(norm: nn.Module) -> nn.Module:
    """Return what a batch norm with more in it still does: dropout and activation of timm's BatchNormAct2d."""
    parts = [getattr(norm, part) for part in ("drop", "act") if isinstance(getattr(norm, part, None), nn.Module)]
    parts = [part for part in parts if not isinstance(part, nn.Identity)]
    return nn.Sequential(*parts) if parts else nn.Identity()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _agree(network: nn.Module, folded: nn.Module, example: torch.Tensor) -> bool:
    try:
        expected, found = network(example.clone()), folded(example.clone())
    except Exception:  # a forward that reaches into the norm it lost
        return False
    if not isinstance(expected, torch.Tensor):
        return False
    scale = expected.abs().max().clamp(min=1e-12)
    return bool((expected - found).abs().max() <= 1e-4 * scale)
