"""Which parameters are trained, at which rates, and which parts of the network stand still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sktl.backbones import PENULTIMATE, Trace, calling_owner, layer_info, owner_of, parameter_groups, resolve_layers
from sktl.finetuning._lora import LoRA, adapters, plain_name
from sktl.finetuning._networks import PictureSpec, RowSpec
from sktl.finetuning._strategies import Strategy


@dataclass
class Stage:
    """Parameters and modules that are unfrozen together."""

    parameters: list[nn.Parameter] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)


@dataclass
class Plan:
    """What of a network is trained and how.

    Attributes
    ----------
    module : Module
        Its parameters require gradients where they are trained.
    groups : list of dict
        For the optimizer, from the picture to the head, with their base rates.
    stages : list of Stage
        From the picture to the head, for gradual unfreezing; empty otherwise.
    """

    module: nn.Module
    groups: list[dict[str, Any]]
    always_frozen: list[nn.Module]
    stages: list[Stage]
    n_closed: int = 0  # stages that are still frozen, counted from the picture

    def frozen(self, module: nn.Module) -> Iterator[nn.Module]:
        """Yield the parts that stay in evaluation mode."""
        yield from self.always_frozen
        for stage in self.stages[: self.n_closed]:
            yield from stage.modules

    def close(self, n_stages: int) -> None:
        """Freeze the first `n_stages` stages, and train the others."""
        self.n_closed = n_stages
        for number, stage in enumerate(self.stages):
            for parameter in stage.parameters:
                parameter.requires_grad_(number >= n_stages)


class GradualUnfreezing(Callback):
    """Opens one more stage after another, from the top, so that all train in the second half of the epochs.

    Howard and Ruder (2018) open one layer group an epoch; here the stages share the first half of the training.
    """

    def __init__(self, plan: Plan, n_epochs: int):
        self.plan = plan
        self.n_epochs = n_epochs

    def on_epoch_begin(self, net, **kwargs):
        """Freeze what is not yet its turn."""
        epoch, n_stages = len(net.history) - 1, len(self.plan.stages)
        n_open = n_stages if self.n_epochs == 1 else min(n_stages, 2 * n_stages * epoch // self.n_epochs)
        self.plan.close(n_stages - n_open)


def make_plan(
    module: nn.Module,
    spec: PictureSpec | RowSpec,
    strategy: Strategy,
    *,
    freeze_until: Any,
    learning_rate: float,
    layer_decay: float,
    weight_decay: float,
    l2_sp: float,
    freezes_bn: bool,
    adapter: LoRA | None,
    trains_body: bool,
    seed: int,
) -> Plan:
    """Decide what is trained; an adapter is attached here, and takes the place of the weights it changes."""
    depths, frozen_names = _layers(spec, strategy.freeze_until if freeze_until is None else freeze_until)
    module.requires_grad_(False)
    prefix = "network." if isinstance(spec, PictureSpec) else ""
    trained = {prefix + name for name in depths} if trains_body else set()
    if adapter is not None and trained:
        layers = {owner_of(name) for name in trained}
        adapter.attach(module, layers.__contains__, seed)
        trained = {f"{name}.0.{part}" for name in adapters(module) for part in "AB"}
    ranks = {depth: i for i, depth in enumerate(sorted(set(depths.values()), reverse=True))}  # 0 is next to the head
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        is_head = name.startswith("head.")
        if not is_head and name not in trained:
            continue
        parameter.requires_grad_(True)
        rank = -1 if is_head else ranks[depths[plain_name(name).removeprefix(prefix)]]
        found.setdefault((rank, parameter.ndim > 1), []).append(parameter)
    groups = []
    for (rank, is_matrix), parameters in sorted(found.items(), key=lambda item: item[0], reverse=True):
        # rate of the layers k below the head: share * decay^k * rate of the head
        share = 1.0 if rank < 0 else (1.0 if adapter is not None else strategy.body_share) * layer_decay**rank
        decays = is_matrix and not (l2_sp > 0 and rank >= 0)  # L2-SP pulls to the start, decay would pull to zero
        groups.append(
            {"params": parameters, "lr": learning_rate * share, "weight_decay": weight_decay if decays else 0.0}
        )
    always = [module.get_submodule(prefix + name) for name in frozen_names if _has(module, prefix + name)]
    if not trains_body:
        always = [child for name, child in module.named_children() if name != "head"]
    if freezes_bn or adapter is not None:
        always += [part for part in module.modules() if isinstance(part, _BatchNorm)]
    stages = _stages(module, spec, depths, prefix) if strategy.is_gradual and trains_body else []
    return Plan(module, groups, always, stages)


def _layers(spec: PictureSpec | RowSpec, freeze_until: Any) -> tuple[dict[str, float], list[str]]:
    """Return the depth of each parameter of the body that may be trained, and the names of frozen modules."""
    if isinstance(spec, RowSpec):
        return dict.fromkeys(("down.weight", "down.bias", "up.weight", "up.bias"), 1.0), []
    trace = spec.trace()
    order = [call.name for call in trace.calls]
    end = order.index(spec.layer)
    beyond = {name for name in order[end + 1 :] if not _is_ancestor(name, spec.layer)}
    frozen: list[str] = []
    if freeze_until is not None:
        frozen = order[: frozen_end(freeze_until, trace) + 1]
    out = set(frozen) | (set() if spec.layer == PENULTIMATE else beyond)
    groups, called = parameter_groups(spec.load().module, trace), set(order)
    depths = {}
    for group in groups:
        for name, _ in group.parameters:
            owner = calling_owner(name, called)
            if owner not in out and owner not in trace.heads and not (frozen and owner == ""):
                depths[name] = group.depth
    return depths, frozen


def frozen_end(freeze_until: Any, trace: Trace) -> int:
    """Return the place, among the trace's calls, of the last module that is frozen.

    Up to what enters the classifier, these are all that have parameters; dropout just before the head stays active.
    """
    order = [call.name for call in trace.calls]
    (layer,) = resolve_layers([freeze_until], trace)[:1]
    if layer != PENULTIMATE:
        return order.index(layer)
    before = range(order.index(trace.penultimate), order.index(PENULTIMATE))
    return max(i for i in before if i == before[0] or next(trace.calls[i].module.parameters(), None) is not None)


def _stages(module: nn.Module, spec: Any, depths: dict[str, float], prefix: str) -> list[Stage]:
    """Return the trained parts of the body in stages of one resolution each."""
    if isinstance(spec, RowSpec):
        ends = [1.0]
    else:
        trace = spec.trace()
        top = layer_info(spec.layer, trace).depth
        ends = sorted({row.depth for row in trace.layers if row.is_stage and row.depth < top} | {2.0})
    stages = [Stage() for _ in ends]
    for name, parameter in module.named_parameters():
        plain = plain_name(name).removeprefix(prefix)
        if parameter.requires_grad and plain in depths and not name.startswith("head."):
            stage = stages[next(i for i, end in enumerate(ends) if depths[plain] <= end)]
            stage.parameters.append(parameter)
            stage.modules.append(module.get_submodule(name.rpartition(".")[0]))
    return [stage for stage in stages if stage.parameters]


def _is_ancestor(name: str, layer: str) -> bool:
    return name == "" or layer.startswith(name + ".")


def _has(module: nn.Module, name: str) -> bool:
    try:
        module.get_submodule(name)
    except AttributeError:
        return False
    return True


@torch.no_grad()
def starting_point(plan: Plan, module: nn.Module) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Return the trained parameters of the body with copies of their present values."""
    named: Callable[[], Iterator] = module.named_parameters
    return [(p, p.detach().clone()) for name, p in named() if p.requires_grad and not name.startswith("head.")]
