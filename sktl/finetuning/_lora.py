"""Low-rank adapters."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sktl._documented import Documented
from sktl._estimator import NamedPartsMixin

ADAPTED = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)


class LoRA(Documented, BaseEstimator):
    """Train a low-rank change of each weight instead of the weight (Hu et al., 2022).

    The pretrained weights stay fixed; of each linear layer's and each ungrouped convolution's weight (read as a matrix
    of outputs x inputs and places) a product of two thin matrices is learned. It is added to the weight before
    predictions, which therefore cost nothing more, and a pickle holds the thin matrices only.

    Departs from the paper: all linear layers and convolutions get an adapter, not only those of attention; depthwise
    and other grouped convolutions are left out, for their matrices are thin already. Queries, keys and values that one
    matrix makes (in timm's transformers, and in PyTorch's own attention) share one adapter.

    Parameters
    ----------
    rank : int, default=4
        Columns of the thin matrices.
    alpha : float, default=None
        The change is scaled by ``alpha / rank``; None takes the rank, hence no scaling.

    References
    ----------
    .. [1] E. J. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR, 2022.

    Examples
    --------
    >>> from sktl.finetuning import FineTunedClassifier, LoRA
    >>> FineTunedClassifier(adapter=LoRA(rank=8)).get_params()["adapter__rank"]
    8
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        "rank": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(self, rank: int = 4, *, alpha: float | None = None):
        self.rank = rank
        self.alpha = alpha

    def attach(self, network: nn.Module, wanted: Callable[[str], bool], seed: int) -> list[str]:
        """Give the layers whose names are `wanted` an adapter each; returns the names of those that got one.

        A layer that has one, of an earlier fit, keeps it. Layers that share one weight share its adapter.
        """
        self._validate_params()
        scale = (self.rank if self.alpha is None else self.alpha) / self.rank
        generator = torch.Generator().manual_seed(seed)
        adapted = []
        layers = {
            name: layer
            for name, layer in network.named_modules()
            if isinstance(layer, ADAPTED)
            and not parametrize.is_parametrized(layer, weight_name(layer))
            and getattr(layer, weight_name(layer)) is not None
            and getattr(layer, "groups", 1) == 1
        }
        weights = {id(getattr(layer, weight_name(layer))) for name, layer in layers.items() if wanted(name)}
        changes: dict[int, LowRankChange] = {}  # by the identity of the weight
        for name, layer in layers.items():
            weight = getattr(layer, weight_name(layer))
            key = id(weight)
            if key in weights:
                changes[key] = changes.get(key) or LowRankChange(weight, self.rank, scale, generator)
                parametrize.register_parametrization(layer, weight_name(layer), changes[key], unsafe=True)
                adapted.append(name)
        return adapted


class AdapterByName(NamedPartsMixin):
    """Mixin of estimators whose parameter `adapter` may be the name "lora"."""

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"adapter": lambda name: LoRA()}


class LowRankChange(nn.Module):
    """W + s B A, with A drawn as He et al. do and B = 0: nothing is changed at first."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator):
        super().__init__()
        n_out, n_in = weight.shape[0], weight[0].numel()
        rank = min(rank, n_out, n_in)
        self.scale = scale
        a = torch.randn(rank, n_in, generator=generator) * math.sqrt(1 / n_in)
        self.A = nn.Parameter(a.to(weight.device, weight.dtype))
        self.B = nn.Parameter(torch.zeros(n_out, rank, device=weight.device, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.scale * (self.B @ self.A).reshape(weight.shape)


def merge_adapters(network: nn.Module) -> nn.Module:
    """Add every adapter's change to its weight for good.

    Layers that shared one weight share the changed one; a layer that had no adapter keeps the weight as it was.
    """
    changed: dict[int, nn.Parameter] = {}  # by the identity of the weight as it was
    for layer in dict.fromkeys(network.get_submodule(name) for name in adapted_layers(network)):
        changes: Any = layer.parametrizations
        attribute = weight_name(layer)
        original = changes[attribute].original
        if id(original) not in changed:
            weight: Any = getattr(layer, attribute)
            changed[id(original)] = nn.Parameter(weight.detach().clone(), original.requires_grad)
        parametrize.remove_parametrizations(layer, attribute, leave_parametrized=False)
        setattr(layer, attribute, changed[id(original)])
    return network


def weight_name(layer: nn.Module) -> str:
    """Return what a layer calls the matrix that an adapter changes."""
    return "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight"


def adapters(network: nn.Module) -> list[str]:
    """Return the names of the adapted weights' parametrisations; others, such as weight norm, are none."""
    return [
        name.removesuffix(".0")
        for name, part in network.named_modules(remove_duplicate=False)  # layers may share their adapter
        if isinstance(part, LowRankChange)
    ]


def adapted_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that have an adapter."""
    return [name.partition(".parametrizations.")[0] for name in adapters(network)]


def plain_name(name: str) -> str:
    """Return the weight's own name, of it or of its adapter's parameters."""
    layer, is_adapted, rest = name.partition(".parametrizations.")
    weight, _, part = rest.partition(".")
    return f"{layer}.{weight}" if is_adapted and part in ("0.A", "0.B") else name
