"""Optimizers by name, and their rates at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sktl._validation import did_you_mean
from sktl.training._schedules import Schedule

# One kernel (fused) for all parameters instead of several for each.
PRETRAINED_SHARE = 0.1  # of the rate, for the pretrained layers of a network that is adapted
OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "adamw": (torch.optim.AdamW, {"fused": True}),
}

ParamGroups = Sequence[Mapping[str, Any]] | Callable[[nn.Module], Sequence[Mapping[str, Any]]]


def parameter_groups(module: nn.Module, groups: ParamGroups | None) -> list[dict[str, Any]]:
    """Return the groups to optimise: those given, those that a function makes of the module, or all parameters.

    All of a module's parameters are taken, frozen ones too: a parameter without a gradient is left alone, and may be
    unfrozen later.
    """
    if groups is None:
        return [{"params": list(module.parameters())}]
    made = [dict(group) for group in (groups(module) if callable(groups) else groups)]
    for group in made:
        params = group["params"]
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
    made = [group for group in made if group["params"]]
    if not made:
        raise ValueError("param_groups holds no parameter; there is nothing to train.")
    return made


def make_optimizer(
    optimizer: str | Callable[..., Optimizer],
    groups: Iterable[Mapping[str, Any]],
    *,
    lr: float,
    weight_decay: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Optimizer:
    """Return the optimizer of these groups; a group's own ``lr`` and ``weight_decay`` win over the common ones.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer must be one of {', '.join(map(repr, OPTIMIZERS))}, or a callable that returns a "
                f"torch.optim.Optimizer; got {optimizer!r}.{did_you_mean(optimizer, OPTIMIZERS)}"
            )
        factory, defaults = OPTIMIZERS[optimizer]
    else:
        factory, defaults = optimizer, {}
    arguments = {**defaults, **(options or {}), "lr": lr}
    groups = list(groups)
    if weight_decay is not None and isinstance(optimizer, str):
        arguments["weight_decay"] = weight_decay
    elif weight_decay is not None:  # a callable is promised no such argument
        groups = [{"weight_decay": weight_decay, **group} for group in groups]
    made = factory(groups, **arguments)
    for group in made.param_groups:
        group.setdefault("initial_lr", group["lr"])  # torch's own name for the base rate
    return made


def planned_steps(batches: Any, max_epochs: int | None, max_steps: int | None) -> int:
    """Return how many updates a training will make: the lesser of `max_steps` and `max_epochs` of all batches."""
    if max_epochs is None:
        assert max_steps is not None
        return max_steps
    try:
        in_epochs = max_epochs * len(batches)
    except TypeError as error:
        if max_steps is None:
            raise ValueError(
                "A schedule needs the number of steps: give the batches a length, or max_steps."
            ) from error
        return max_steps
    return in_epochs if max_steps is None else min(in_epochs, max_steps)


def largest_rate(optimizer: Optimizer, name: str = "lr") -> float:
    """Return the largest rate of all groups: new layers' (the head's), of which pretrained layers take a share."""
    return max(float(group[name]) for group in optimizer.param_groups)


class Rates:
    """Sets each group's rate, and momentum where asked, to its base value times the schedule's factor.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups are written to.
    n_steps : int
        Length of the schedule; later steps keep its last value.
    factor : callable(step, n_steps) -> float
        Of the rates.
    momentum_factor : callable(step, n_steps) -> float, optional
        Of SGD's momentum, or the first of Adam's betas.
    """

    def __init__(self, optimizer: Optimizer, n_steps: int, factor: Schedule, momentum_factor: Schedule | None = None):
        self.optimizer = optimizer
        self.n_steps = n_steps
        self.factor = factor
        self.momentum_factor = momentum_factor
        if momentum_factor is not None:
            for group in optimizer.param_groups:
                group.setdefault("initial_momentum", group["momentum"] if "momentum" in group else group["betas"][0])

    def rate_at(self, step: int) -> float:
        """Return the head's rate at `step`."""
        return largest_rate(self.optimizer, "initial_lr") * self.factor(min(step, self.n_steps - 1), self.n_steps)

    def set(self, step: int) -> None:
        """Set the rates of `step`."""
        step = min(step, self.n_steps - 1)
        factor = self.factor(step, self.n_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        if self.momentum_factor is not None:
            factor = self.momentum_factor(step, self.n_steps)
            for group in self.optimizer.param_groups:
                momentum = group["initial_momentum"] * factor
                if "momentum" in group:
                    group["momentum"] = momentum
                else:
                    group["betas"] = (momentum, *group["betas"][1:])
