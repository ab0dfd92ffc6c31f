"""Metric-based methods: one encoder for all tasks, and a head that compares codes."""

from __future__ import annotations

import torch
from torch import Tensor

from sktl.fewshot._encoders import Encoder
from sktl.fewshot._episodes import EpisodeIndices, Episodes, gathered
from sktl.fewshot._method import EVALUATED_ROWS, FewShotMethod, result
from sktl.fewshot.heads import Head, State, make_head
from sktl.training import StepResult


class MetricMethod(FewShotMethod):
    """Codes support and queries by the same encoder, and lets a head decide.

    Parameters
    ----------
    encoder : Encoder
        Trained so that the head does well.
    n_outputs : int
        Not needed: heads take any number of classes.
    head : str or Head
        What compares.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, head: str | Head):
        super().__init__()
        self.encoder = encoder
        self.head = make_head(head)
        self.head.build(encoder.code_shape)

    def adapt(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the head's state."""
        return self.head.adapt(self.codes(support), y, n_outputs)

    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return the head's logits."""
        return self.head.logits(state, self.codes(query))

    def codes(self, rows: Tensor) -> Tensor:
        """Return the codes (n_tasks, n, *code_shape) of rows (n_tasks, n, ...)."""
        return self.encoder(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])

    def loss(self, episodes: Episodes) -> StepResult:
        """Return the head's loss, support and queries of all tasks encoded in one pass."""
        n_support = episodes.support.shape[1]
        codes = self.codes(torch.cat([episodes.support, episodes.query], 1))
        logits = self.head(codes[:, :n_support], episodes.support_y, codes[:, n_support:], episodes.n_way)
        return result(logits, episodes.query_y, self.head.loss(logits, episodes.query_y))

    def episode_logits(self, X: Tensor, indices: EpisodeIndices, targets: Tensor | None = None) -> Tensor:
        """Return the logits of episodes; each row is encoded once, in however many of them it is."""
        rows, places = torch.cat([indices.support.flatten(), indices.query.flatten()]).unique(return_inverse=True)
        codes = torch.cat([self.encoder(X.index_select(0, part)) for part in rows.split(EVALUATED_ROWS)])
        support = places[: indices.support.numel()].view_as(indices.support)
        query = places[indices.support.numel() :].view_as(indices.query)
        at_once = max(1, 16 * EVALUATED_ROWS // (support.shape[1] + query.shape[1]))
        found = []
        for start in range(0, len(support), at_once):
            part = slice(start, start + at_once)
            some = EpisodeIndices(
                support[part], indices.support_y[part], query[part], indices.query_y[part], indices.n_way
            )
            episodes = gathered(codes, some)
            found.append(self.head(episodes.support, episodes.support_y, episodes.query, indices.n_way))
        return torch.cat(found)
