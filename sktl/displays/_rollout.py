"""Which patches a transformer's answer is made of: attention rolled out through its blocks."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sktl.backbones import LayerInfo, trace_of


class _AttentionSeen(TorchFunctionMode):
    """Keeps the weights of each attention that is computed meanwhile, averaged over heads: (batch, queries, keys)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is functional.multi_head_attention_forward:  # PyTorch's own layer, of which it can be asked
            output, weights = func(*args, **{**kwargs, "need_weights": True, "average_attn_weights": True})
            self.weights.append(weights.detach())  # type: ignore[union-attr]
            return output, weights
        if func is functional.scaled_dot_product_attention:
            self.weights.append(_weights(*args, **kwargs).detach())
        return func(*args, **kwargs)


def _weights(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_) -> torch.Tensor:
    """Return softmax(q k' s + mask), the mean of the heads."""
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        mask = attn_mask
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(dim=-1)
    return weights.mean(dim=1) if weights.ndim == 4 else weights


def tokens_of(module: nn.Module, size: tuple[int, int]) -> LayerInfo | None:
    """Return the deepest layer of a transformer that returns tokens with a known grid; None for other networks."""
    rows = trace_of(module, size).layers
    with_places = [row for row in rows if len(row.resolution) == 2 or row.grid is not None]
    last = with_places[-1] if with_places else None
    return last if last is not None and last.kind == "tokens" and last.n_prefix_tokens is not None else None


def rolled_out(
    module: nn.Module, pictures: torch.Tensor, layer: LayerInfo, target: torch.Tensor | None
) -> torch.Tensor | None:
    """Return what share of each patch enters what is read (n, height, width); None if no attention was seen.

        R = A_L ... A_1,  A = (mean over heads + identity) / 2

    Rows of R are weighted as the answer reads the tokens of the last layer: by the length of its gradient there. Of a
    network that classifies its class token this is the class token's row.

    Parameters
    ----------
    module : Module
        The network, in evaluation mode.
    pictures : Tensor of shape (n, channels, height, width)
        As it takes them.
    layer : LayerInfo
        Its deepest layer of tokens.
    target : Tensor of shape (n,) or None
        The numbers of the classes that are explained; None for one estimate.
    """
    kept: list[Any] = []
    handle = module.get_submodule(layer.name).register_forward_hook(lambda part, args, output: kept.append(output))
    try:
        with torch.enable_grad(), _AttentionSeen() as seen:
            outputs = module(pictures.clone().requires_grad_(True))
            answers = outputs if outputs.ndim == 1 else outputs[torch.arange(len(outputs)), target]
            (gradient,) = torch.autograd.grad(answers.sum(), kept[-1])
    finally:
        handle.remove()
    n, n_tokens = gradient.shape[:2]
    blocks = [weights for weights in seen.weights if weights.shape == (n, n_tokens, n_tokens)]
    if not blocks or layer.grid is None:
        return None
    share = gradient.norm(dim=2)  # (n, tokens)
    share = (share / share.sum(1, keepdim=True).clamp(min=1e-30)).unsqueeze(1)
    identity = torch.eye(n_tokens, dtype=share.dtype, device=share.device)
    for weights in reversed(blocks):
        share = share @ ((weights.to(share.dtype) + identity) / 2)
    patches = share[:, 0, layer.n_prefix_tokens :]
    return patches.unflatten(1, layer.grid)
