"""MAML and its relatives: the start is trained so that a few gradient steps on a support set do well on queries."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad

from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import Episodes
from sktl.fewshot.meta_training._method import outputs_of, result, task_losses
from sktl.fewshot.optimisation_based._gradient_method import HEAD, GradientMethod, called, with_gradient
from sktl.fewshot.optimisation_based._inner_loop import InnerLoop, Parameters, implicit_gradient
from sktl.fewshot.optimisation_based._modulated_start import ModulatedStart
from sktl.training import StepResult

ORDERS = (1, 2, "implicit")
RATES = ("step", "parameter")
SMALLEST_STEP_WEIGHT = 0.03  # of the multi-step loss, times 1 / n_steps, in the end


class MAMLMethod(GradientMethod):
    """The start's gradient: through the steps (order 2), past them (order 1), or at their goal (implicit).

    Parameters
    ----------
    encoder, n_outputs, part, batch_norm, vectorised, zero_head
        As in `GradientMethod`.
    inner_steps, adapt_steps : int
        Steps in meta-training, and for a new task.
    inner_learning_rate : float
        Of the steps; where it is learned, at the start.
    order : {1, 2, "implicit"}
        How the steps are differentiated.
    learned_rates : {"step", "parameter"} or None
        One rate a tensor and step (MAML++), or one a weight (Meta-SGD).
    multi_step_updates : int
        Above 0, queries count after each step at first, and after the last one alone once so many updates have gone by.
    proximal, cg_steps
        Of the implicit gradient.
    embedding_size : int or None
        Of the embedding of a support set by which the start is modulated; None has one start for all tasks.
    """

    def __init__(
        self,
        encoder: Encoder,
        n_outputs: int,
        *,
        part: str,
        batch_norm: str,
        inner_steps: int,
        adapt_steps: int,
        inner_learning_rate: float,
        order: int | str,
        learned_rates: str | None,
        multi_step_updates: int,
        proximal: float,
        cg_steps: int,
        embedding_size: int | None = None,
        vectorised: bool | str = "auto",
        zero_head: bool = False,
    ):
        super().__init__(
            encoder, n_outputs, part=part, batch_norm=batch_norm, vectorised=vectorised, zero_head=zero_head
        )
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.inner_learning_rate = inner_learning_rate
        self.order = order
        self.learned_rates = learned_rates
        self.multi_step_updates = multi_step_updates
        self.proximal, self.cg_steps = proximal, cg_steps
        weights = dict(self.network.named_parameters())
        n_rates = {"step": inner_steps, "parameter": 1}.get(learned_rates or "", 0)
        self.rates = nn.ParameterList(  # step by step, in the order of `names`
            torch.full_like(
                weights[name][:1] if zero_head and name.startswith(HEAD) else weights[name], inner_learning_rate
            )
            if learned_rates == "parameter"
            else torch.tensor(float(inner_learning_rate))
            for _ in range(n_rates)
            for name in self.names
        )
        self.modulated = None
        if embedding_size is not None:
            n_features = math.prod(encoder.row_shape)
            self.modulated = ModulatedStart(self.start(), n_features, n_outputs, embedding_size)
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.int64))

    def step_rates(self) -> list[dict[str, Tensor | float]]:
        """Return the rate of each parameter at each step."""
        if not len(self.rates):
            return [dict.fromkeys(self.names, self.inner_learning_rate)]
        values, width = list(self.rates), len(self.names)
        return [dict(zip(self.names, values[i : i + width])) for i in range(0, len(values), width)]

    def started(self, start: Parameters, x: Tensor, y: Tensor, n_outputs: int, *, batched: bool) -> Parameters:
        """Return where the tasks start: all alike, or modulated by what their support sets are."""
        if self.modulated is None:
            return super().started(start, x, y, n_outputs, batched=batched)
        if batched:
            return self.with_zero_head(self.modulated(start, self._rows(x), y), len(x), n_outputs)
        modulated = self.modulated(start, self._rows(x.unsqueeze(0)), y.unsqueeze(0))
        return self.with_zero_head({name: value[0] for name, value in modulated.items()}, None, n_outputs)

    def task_embedding(self, support: Tensor, y: Tensor) -> Tensor:
        """Return what the start is modulated by: one vector a task."""
        assert self.modulated is not None
        return self.modulated.embedding(self._rows(support), y)

    def _rows(self, x: Tensor) -> Tensor:
        return self.network.body.scaled(x.flatten(0, 1)).flatten(1).unflatten(0, x.shape[:2])

    def adaptation(self) -> tuple[InnerLoop, list[dict[str, Tensor | float]]]:
        """Return plain steps, pulled to the start if meta-training was."""
        proximal = self.proximal if self.order == "implicit" else 0.0
        return InnerLoop(self.adapt_steps, proximal=proximal), self.step_rates()

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' mean loss after adaptation; its gradient is that of the start."""
        n_outputs = outputs_of(episodes)
        weights = self.step_weights()
        if self.training and torch.is_grad_enabled():
            self.n_updates.add_(1)  # type: ignore[operator]
        if self.order == "implicit":
            return self._implicit(episodes, n_outputs)

        def of_tasks(*tensors: Any) -> tuple[Tensor, Tensor]:
            return self._query_losses(*tensors, n_outputs=n_outputs, weights=weights)

        return self.mean_loss(of_tasks, episodes)

    def step_weights(self) -> Tensor | None:
        """Return how much the loss after each step counts; None where only the last one does."""
        # MAML++: all 1/n at first; all but the last fall linearly to 0.03/n, the last takes what they leave
        if self.multi_step_updates < 1 or self.inner_steps < 2 or not self.training:
            return None
        n = self.inner_steps
        done: Any = self.n_updates
        others = ((1 - done / self.multi_step_updates) / n).clamp_min(SMALLEST_STEP_WEIGHT / n)
        return torch.cat([others.expand(n - 1), 1 - others.view(1) * (n - 1)])

    def _query_losses(
        self,
        x: Tensor,
        y: Tensor,
        query: Tensor,
        query_y: Tensor,
        batched: bool,
        *,
        n_outputs: int,
        weights: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, and the outputs, for the queries of one task or of each of several."""
        path = self.learned(
            self.start(), self.step_rates(), x, y, n_outputs, InnerLoop(self.inner_steps),
            batched=batched, is_differentiable=self.order == 2 and torch.is_grad_enabled(),
        )  # fmt: skip
        if weights is None:
            outputs = self.query_outputs(path[-1], x, query, n_outputs, batched=batched)
            return task_losses(outputs, query_y), outputs.detach()
        after = [self.query_outputs(step, x, query, n_outputs, batched=batched) for step in path[1:]]
        losses = torch.stack([task_losses(outputs, query_y) for outputs in after], -1)  # (..., n_steps)
        return (losses * weights).sum(-1), after[-1].detach()

    def _implicit(self, episodes: Episodes, n_outputs: int) -> StepResult:
        start, rates = self.start(), self.step_rates()
        loop = InnerLoop(self.inner_steps, proximal=self.proximal)

        def support_loss(weights: Parameters, x: Tensor, y: Tensor) -> Tensor:
            return task_losses(self.outputs(weights, x, n_outputs, batched=False), y)

        def of_task(weights: Parameters, x: Tensor, y: Tensor, query: Tensor, query_y: Tensor) -> Any:
            def query_loss(weights: Parameters) -> tuple[Tensor, Tensor]:
                outputs = self.query_outputs(weights, x, query, n_outputs, batched=False)
                return task_losses(outputs, query_y), outputs

            slope, (loss, outputs) = grad(_with_value(query_loss), has_aux=True)(weights)
            options: dict[str, Any] = {"proximal": self.proximal, "n_steps": self.cg_steps}
            return loss, outputs, implicit_gradient(support_loss, slope, weights, x, y, **options)

        def of_tasks(x: Tensor, y: Tensor, query: Tensor, query_y: Tensor, batched: bool) -> Any:
            weights = self.learned(start, rates, x, y, n_outputs, loop, batched=batched)[-1]
            return called(of_task, batched, weights, x, y, query, query_y)

        with torch.no_grad():
            losses, outputs, slopes = self.over_tasks(of_tasks, *episodes[:4])
        parameters = list(start.values())
        means = [slopes[name].mean(0) for name in start]
        return result(outputs, episodes.query_y, with_gradient(losses.mean(), parameters, means))


def _with_value(function: Any) -> Any:
    """Return a function that gives its value again beside it."""

    def both(weights: Parameters) -> Any:
        value = function(weights)
        return value[0], value

    return both
