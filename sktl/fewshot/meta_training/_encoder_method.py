"""Methods with one encoder for all tasks: whatever tells tasks apart works on codes."""

from __future__ import annotations

from abc import abstractmethod
from operator import itemgetter

import torch
from torch import Tensor

from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._episodes import EpisodeIndices, Episodes, gathered
from sktl.fewshot.meta_training._method import EVALUATED_ROWS, FewShotMethod, outputs_of, result, task_loss
from sktl.training import StepResult


class EncoderMethod(FewShotMethod):
    """Abstract: encodes support and queries alike, and learns and answers on their codes.

    Parameters
    ----------
    encoder : Encoder
        Rows to codes.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return what is to be known of the tasks, from codes (n_tasks, n_support, *code_shape)."""

    @abstractmethod
    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs for codes (n_tasks, n_query, *code_shape) of queries."""

    def outcome(
        self, support: Tensor, y: Tensor, query: Tensor, query_y: Tensor, n_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs for queries, and the mean loss that meta-training lowers."""
        outputs = self.answers(self.adapt_codes(support, y, n_outputs), query)[..., :n_outputs]
        return outputs, task_loss(outputs, query_y)

    def adapt(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return what is to be known of the tasks."""
        return self.adapt_codes(self.codes(support), y, n_outputs)

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs for queries."""
        return self.answers(state, self.codes(query))

    def codes(self, rows: Tensor) -> Tensor:
        """Return the codes (n_tasks, n, *code_shape) of rows (n_tasks, n, ...)."""
        return self.encoded(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])

    def encoded(self, rows: Tensor) -> Tensor:
        """Return the codes (n, *code_shape) of rows (n, ...)."""
        return self.encoder(rows)

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the queries' loss, support and queries of all tasks encoded in one pass."""
        n_support = episodes.support.shape[1]
        codes = self.codes(torch.cat([episodes.support, episodes.query], 1))
        outputs, loss = self.outcome(
            codes[:, :n_support], episodes.support_y, codes[:, n_support:], episodes.query_y, outputs_of(episodes)
        )
        return result(outputs, episodes.query_y, loss)

    def episode_logits(self, X: Tensor, indices: EpisodeIndices, targets: Tensor | None = None) -> Tensor:
        """Return the outputs of episodes; each row is encoded once, in however many of them it is."""
        rows, places = torch.cat([indices.support.flatten(), indices.query.flatten()]).unique(return_inverse=True)
        codes = torch.cat([self.encoded(X.index_select(0, part)) for part in rows.split(EVALUATED_ROWS)])
        targets = None if targets is None else targets.index_select(0, rows)
        support = places[: indices.support.numel()].view_as(indices.support)
        query = places[indices.support.numel() :].view_as(indices.query)
        indices = EpisodeIndices(support, indices.support_y, query, indices.query_y, indices.n_way)
        at_once = max(1, 16 * EVALUATED_ROWS // (support.shape[1] + query.shape[1]))
        found = []
        for start in range(0, len(support), at_once):
            episodes = gathered(codes, indices.apply(itemgetter(slice(start, start + at_once))), targets)
            n_outputs = outputs_of(episodes)
            state = self.adapt_codes(episodes.support, episodes.support_y, n_outputs)
            found.append(self.answers(state, episodes.query)[..., :n_outputs])
        return torch.cat(found)
