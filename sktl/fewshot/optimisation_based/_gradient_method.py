"""Optimisation-based methods: a copy of the network learns each task by gradient steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from sktl._functional import call_with
from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoders import Encoder, NetworkWithHead
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._episodic_batch_norm import (
    EpisodicBatchNorm,
    normalised_by,
    recorded_statistics,
    tasks_batched,
)
from sktl.fewshot.meta_training._method import FewShotMethod, result, task_losses
from sktl.fewshot.optimisation_based._inner_loop import InnerLoop, Parameters, learn_task
from sktl.training import StepResult

PARTS = ("all", "head", "body")
BATCH_NORMS = ("inductive", "transductive")
NOTHING: Mapping[str, Tensor] = {}
HEAD = "head."  # what the names of its weights begin with
WEIGHT, STATISTIC = "weight:", "statistic:"  # what the names in a state begin with


class GradientMethod(FewShotMethod):
    """Abstract: an encoder with a linear head whose weights are where every task starts.

    Parameters
    ----------
    encoder : Encoder
        With episodic batch norm.
    n_outputs : int
        Of the head, at most; a task of fewer classes has the first ones.
    part : {"all", "head", "body"}
        Which weights a task changes.
    batch_norm : {"inductive", "transductive"}
        Whether queries are normalised by the support set's statistics, or by those of the queries they come with.
    vectorised : bool or "auto"
        Whether tasks go through the network together (vmap), or one after another. Layers with weights of their own
        for each task are fast together where they are matrix products, and on GPUs; convolutions on a CPU are not.
    zero_head : bool
        Whether tasks start from a head of zeros, of as many outputs as they need, instead of a learned one.
    """

    has_weights_of_each_task = True

    def __init__(
        self,
        encoder: Encoder,
        n_outputs: int,
        *,
        part: str,
        batch_norm: str,
        vectorised: bool | str = "auto",
        zero_head: bool = False,
    ):
        super().__init__()
        self.network = NetworkWithHead(encoder, n_outputs)
        self.zero_head = zero_head
        if zero_head:
            for value in self.network.head.requires_grad_(False).parameters():
                nn.init.zeros_(value)
        self.names = tuple(
            name
            for name, _ in self.network.named_parameters()
            if part == "all" or name.startswith(HEAD) == (part == "head")
        )
        self.keeps_statistics = batch_norm == "inductive" and any(
            isinstance(module, EpisodicBatchNorm) for module in encoder.modules()
        )
        self._has_convolutions = any(isinstance(module, nn.modules.conv._ConvNd) for module in encoder.modules())
        self.vectorised = vectorised

    def start(self) -> Parameters:
        """Return the weights that tasks change, as they start; without the head where that is zero."""
        weights = dict(self.network.named_parameters())
        return {name: weights[name] for name in self.names if not (self.zero_head and name.startswith(HEAD))}

    def started(self, start: Parameters, x: Tensor, y: Tensor, n_outputs: int, *, batched: bool) -> Parameters:
        """Return where the tasks of these support sets start: all from the same weights."""
        start = {name: value.expand(len(x), *value.shape) for name, value in start.items()} if batched else start
        return self.with_zero_head(start, len(x) if batched else None, n_outputs)

    def with_zero_head(self, start: Parameters, n_tasks: int | None, n_outputs: int) -> Parameters:
        """Return the weights with a head of zeros for so many outputs, if that is how tasks start."""
        if not self.zero_head:
            return start
        lead = () if n_tasks is None else (n_tasks,)
        head = {
            name: value.new_zeros(*lead, n_outputs, *value.shape[1:]).requires_grad_(torch.is_grad_enabled())
            for name, value in self.network.named_parameters()
            if name.startswith(HEAD)
        }
        return {**start, **head}

    def outputs(
        self,
        weights: Mapping[str, Tensor],
        x: Tensor,
        n_outputs: int | None = None,
        *,
        batched: bool,
        statistics: Mapping[str, Tensor] = NOTHING,
    ) -> Tensor:
        """Return the network's outputs with some weights replaced, and queries normalised by given statistics if any.

        With `batched`, everything has a leading axis of tasks.
        """

        def of_task(weights: dict[str, Tensor], statistics: dict[str, Tensor], x: Tensor) -> Tensor:
            with normalised_by(statistics) if statistics else contextlib.nullcontext():
                return call_with(self.network, weights, x)

        return called(of_task, batched, dict(weights), dict(statistics), x)[..., :n_outputs]

    def statistics(self, weights: Mapping[str, Tensor], x: Tensor, *, batched: bool) -> dict[str, Tensor]:
        """Return the batch norms' statistics of `x`, if queries are to be normalised by them."""
        if not self.keeps_statistics:
            return {}

        def of_task(weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
            with recorded_statistics() as found:
                call_with(self.network, weights, x)
            return dict(found)

        return called(of_task, batched, dict(weights), x)

    def slopes(
        self,
        weights: Parameters,
        x: Tensor,
        y: Tensor,
        n_outputs: int,
        *,
        batched: bool,
        is_differentiable: bool = False,
        is_start: bool = False,
    ) -> tuple[Tensor, Parameters]:
        """Return the loss on a support set, of one task or of each of several, and its gradient."""
        # nothing goes back through a head that is zero: of the body, the gradient is zero, and so are its derivatives
        moved = [n for n in weights if n.startswith(HEAD)] if is_start and self.zero_head else list(weights)
        with torch.enable_grad():
            if not is_differentiable:
                weights = {n: v.detach().requires_grad_(n in moved) for n, v in weights.items()}
            losses = task_losses(self.outputs(weights, x, n_outputs, batched=batched), y)
            # tasks do not share weights: the gradient of the sum of their losses is that of each
            slopes = torch.autograd.grad(
                losses.sum(), [weights[n] for n in moved], create_graph=is_differentiable, materialize_grads=True
            )
        found = dict(zip(moved, slopes))
        found = {n: found[n] if n in found else torch.zeros_like(v) for n, v in weights.items()}
        return losses if is_differentiable else losses.detach(), found

    def learned(
        self,
        start: Parameters,
        rates: list[dict[str, Tensor | float]],
        x: Tensor,
        y: Tensor,
        n_outputs: int,
        loop: InnerLoop,
        *,
        batched: bool,
        is_differentiable: bool = False,
    ) -> list[Parameters]:
        """Return the weights after each step, of one task or of several."""
        start = self.started(start, x, y, n_outputs, batched=batched)

        def gradient(weights: Parameters, x: Tensor, y: Tensor) -> Parameters:
            return self.slopes(
                weights, x, y, n_outputs,
                batched=batched, is_differentiable=is_differentiable, is_start=weights is start,
            )[1]  # fmt: skip

        return learn_task(gradient, start, rates, x, y, loop, rows_axis=int(batched))

    def query_outputs(self, weights: Parameters, x: Tensor, query: Tensor, n_outputs: int, *, batched: bool) -> Tensor:
        """Return the outputs for queries of weights that were adapted on `x`."""
        statistics = self.statistics(weights, x, batched=batched)
        return self.outputs(weights, query, n_outputs, batched=batched, statistics=statistics)

    def adaptation(self) -> tuple[InnerLoop, list[dict[str, Tensor | float]]]:
        """Return how a new task is learned, and the rates of each step."""
        raise NotImplementedError

    def adapted(self, start: Parameters, x: Tensor, y: Tensor, n_outputs: int, *, batched: bool) -> Parameters:
        """Return the weights that a new task, or each of several, ends with."""
        loop, rates = self.adaptation()
        return self.learned(start, rates, x, y, n_outputs, loop, batched=batched)[-1]

    def adapt(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the weights that the tasks changed, and the statistics of their support sets."""
        start = {name: value.detach() for name, value in self.start().items()}

        def learn(x: Tensor, y: Tensor, batched: bool) -> State:
            weights = self.adapted(start, x, y, n_outputs, batched=batched)
            statistics = self.statistics(weights, x, batched=batched)
            return {WEIGHT + n: v for n, v in weights.items()} | {STATISTIC + n: v for n, v in statistics.items()}

        with torch.no_grad():
            return self.over_tasks(learn, support, y)

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs of each task's network."""

        def predict(state: State, query: Tensor, batched: bool) -> Tensor:
            weights = {n.removeprefix(WEIGHT): v for n, v in state.items() if n.startswith(WEIGHT)}
            statistics = {n.removeprefix(STATISTIC): v for n, v in state.items() if n.startswith(STATISTIC)}
            return self.outputs(weights, query, batched=batched, statistics=statistics)

        return self.over_tasks(predict, state, query)

    def mean_loss(self, of_tasks: Callable[..., tuple[Tensor, Tensor]], episodes: Episodes) -> StepResult:
        """Return the mean of ``of_tasks(x, y, query, query_y, batched)``, the losses beside the queries' outputs.

        Where tasks do not go through the network together, each is differentiated by itself, so that memory holds the
        graph of one at a time.
        """
        tensors = episodes[:4]
        if self.is_vectorised(episodes.support.device) or not torch.is_grad_enabled():
            losses, outputs = self.over_tasks(of_tasks, *tensors)
            return result(outputs, episodes.query_y, losses.mean())
        parameters = [p for p in self.parameters() if p.requires_grad]
        slopes = [torch.zeros_like(p) for p in parameters]
        values, found = [], []
        for task in zip(*tensors):
            loss, out = of_tasks(*task, False)
            for slope, part in zip(slopes, torch.autograd.grad(loss, parameters, allow_unused=True)):
                if part is not None:
                    slope += part
            values.append(loss.detach())
            found.append(out)
        value = torch.stack(values).mean()
        return result(torch.stack(found), episodes.query_y, with_gradient(value, parameters, slopes, 1 / len(values)))

    def is_vectorised(self, device: torch.device) -> bool:
        """Whether tasks go through the network together on this device."""
        if self.vectorised == "auto":
            return device.type != "cpu" or not self._has_convolutions
        return bool(self.vectorised)

    def over_tasks(self, function: Callable[..., Any], *tensors: Any) -> Any:
        """Return ``function(*tensors, batched)`` for all tasks together, or stacked from one call a task."""
        first = tensors[0] if isinstance(tensors[0], Tensor) else next(iter(tensors[0].values()))
        if self.is_vectorised(first.device):
            return function(*tensors, True)
        return _stacked([function(*(_task(part, i) for part in tensors), False) for i in range(len(first))])


def called(function: Callable[..., Any], batched: bool, *arguments: Any) -> Any:
    """Return what a function of one task returns, or of each task along the leading axes."""
    if not batched:
        return function(*arguments)
    with tasks_batched():
        return vmap(function, randomness="different")(*arguments)


def with_gradient(value: Tensor, parameters: list[Any], slopes: list[Tensor], scale: float = 1.0) -> Tensor:
    """Return the value, with these gradients: a backward pass adds ``scale * slope`` to each parameter's."""
    # v + s sum_i (w_i - w_i) . g_i
    if not torch.is_grad_enabled():
        return value
    zero = sum(((p - p.detach()) * slope).sum() for p, slope in zip(parameters, slopes))
    return value.detach() + scale * zero


def _task(part: Tensor | Mapping[str, Tensor], i: int) -> Any:
    return part[i] if isinstance(part, Tensor) else {name: value[i] for name, value in part.items()}


def _stacked(results: list[Any]) -> Any:
    first = results[0]
    if isinstance(first, Tensor):
        return torch.stack(results)
    if isinstance(first, Mapping):
        return {name: _stacked([result[name] for result in results]) for name in first}
    return tuple(_stacked(list(parts)) for parts in zip(*results))
