"""Which of a transformer's tokens is the class token."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktl.backbones._graph import main_output

CLASS_TOKEN_NAMES = ("cls_token", "class_token", "cls", "class_embedding", "cls_embedding")


def find_class_token(network: nn.Module, example: torch.Tensor, layer: str, n_prefix: int) -> int | None:
    """Return the place of the class token among the tokens that a layer puts before the patches; None if none is known.

    It is the token that the network's own answer is made of: of those before the patches the first on which the output
    depends, if it does not depend on all tokens alike. Where the answer is made of patches alone, a class token may
    stand there all the same: then it is the first, if the network holds a parameter that is called so.

    Parameters
    ----------
    network : Module
        In eval mode.
    example : Tensor of shape (1, channels, H, W)
        A picture.
    layer : str
        The deepest layer that returns tokens.
    n_prefix : int
        How many of them lie before the patches.
    """
    read = _tokens_read(network, example, layer)
    if read is not None and bool(read[:n_prefix].any()) and not bool(read.all()):
        return int(read[:n_prefix].nonzero()[0])
    own = {name.rpartition(".")[2] for name, _ in network.named_parameters()}
    return 0 if own & set(CLASS_TOKEN_NAMES) else None


def _tokens_read(network: nn.Module, example: torch.Tensor, layer: str) -> torch.Tensor | None:
    """Return of which tokens of a layer the output is made, a boolean each: those with a gradient."""
    kept: list[Any] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda module, args, output: kept.append(output))
    try:
        with torch.enable_grad():
            output = main_output(network(example.clone().requires_grad_().clone()))
            if output is None or not output.requires_grad:
                return None
            # Unlike weights: the sum of what a norm returns has no gradient.
            weights = torch.linspace(1, 2, output.numel(), dtype=output.dtype, device=output.device).square()
            (gradient,) = torch.autograd.grad((output.flatten() * weights).sum(), kept[0], allow_unused=True)
    finally:
        handle.remove()
    return None if gradient is None else (gradient[0] != 0).any(dim=1)
