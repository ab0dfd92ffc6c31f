"""What a few-shot method is: a network that turns a support set into a state, and queries into outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from operator import itemgetter
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._episodes import EpisodeIndices, Episodes, gathered
from sktl.fewshot.meta_training._task_inputs import ValueScale
from sktl.training import StepResult

EVALUATED_ROWS = 2048  # rows of episodes that are evaluated at once


class FewShotMethod(nn.Module, ABC):
    """Abstract: what meta-training trains. A new method is a subclass and a learner around it.

    Tensors have a leading axis of tasks. Targets are labels 0, ..., n_outputs - 1 (int64, -1 is padding), or
    values (..., n_outputs) of a regression. Nothing of a task is stored: the state is returned.
    """

    frozen: tuple[str, ...] = ()  # the parts that stay as they were built, in evaluation mode
    has_weights_of_each_task = False  # whether tasks run the encoder with weights of their own

    def learn_scale(self, values: Tensor) -> None:
        """Take the scale of a regression from the values (n, n_outputs) of meta-training, before it starts."""
        for module in self.modules():
            if isinstance(module, ValueScale):
                module.learn(values)

    @abstractmethod
    def adapt(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return what is to be known of the tasks, by name."""

    @abstractmethod
    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs for queries, (n_tasks, n_query, at least n_outputs)."""

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the mean loss of the queries over a batch of tasks."""
        n_outputs = outputs_of(episodes)
        state = self.adapt(episodes.support, episodes.support_y, n_outputs)
        return result(self.logits(state, episodes.query)[..., :n_outputs], episodes.query_y)

    def episode_logits(self, X: Tensor, indices: EpisodeIndices, targets: Tensor | None = None) -> Tensor:
        """Return the outputs of episodes made of the rows of X, (n_tasks, n_query, n_outputs), some tasks at a time."""
        at_once = max(1, EVALUATED_ROWS // (indices.support.shape[1] + indices.query.shape[1]))
        found = []
        for start in range(0, len(indices.support), at_once):
            part = slice(start, start + at_once)
            episodes = gathered(X, indices.apply(itemgetter(part)), targets)
            n_outputs = outputs_of(episodes)
            state = self.adapt(episodes.support, episodes.support_y, n_outputs)
            found.append(self.logits(state, episodes.query)[..., :n_outputs])
        return torch.cat(found)


def method_step(module: Any, batch: Episodes) -> StepResult:
    """Return the loss of a batch of episodes: the step of the training loop."""
    return module.loss(batch)


def outputs_of(episodes: Episodes) -> int:
    """Return how many outputs a task has."""
    return episodes.query_y.shape[-1] if episodes.query_y.is_floating_point() else episodes.n_way


def task_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross entropy with labels (-1 counts for nothing), or the mean squared error with values."""
    if y.is_floating_point():
        return F.mse_loss(outputs, y)
    return F.cross_entropy(outputs.flatten(0, -2), y.flatten(), ignore_index=-1)


def task_losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the same of each task: (...) for outputs (..., n, n_outputs)."""
    if y.is_floating_point():
        return (outputs - y).square().mean((-2, -1))
    losses = F.cross_entropy(outputs.flatten(0, -2), y.flatten(), ignore_index=-1, reduction="none").view(y.shape)
    return losses.sum(-1) / (y >= 0).sum(-1).clamp_min(1)


def accuracy(outputs: Tensor, y: Tensor) -> dict[str, Tensor] | None:
    """Return {"accuracy": ...} of labels; None for a regression."""
    if y.is_floating_point():
        return None
    return {"accuracy": (outputs.detach().argmax(-1) == y).float().mean()}


def result(outputs: Tensor, y: Tensor, loss: Tensor | None = None) -> StepResult:
    """Return the step's result for outputs of a batch of tasks."""
    return StepResult(task_loss(outputs, y) if loss is None else loss, len(outputs), accuracy(outputs, y))
