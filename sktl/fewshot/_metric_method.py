"""Metric-based methods: one encoder for all tasks, and a head that compares codes."""

from __future__ import annotations

from torch import Tensor

from sktl.fewshot._coded_method import CodedMethod
from sktl.fewshot._encoders import Encoder
from sktl.fewshot.heads import Head, State, make_head


class MetricMethod(CodedMethod):
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
        super().__init__(encoder)
        self.head = make_head(head)
        self.head.build(encoder.code_shape)

    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the head's state."""
        return self.head.adapt(support, y, n_outputs)

    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return the head's logits."""
        return self.head.logits(state, query)

    def outcome(
        self, support: Tensor, y: Tensor, query: Tensor, query_y: Tensor, n_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Return the head's logits and loss."""
        logits = self.head(support, y, query, n_outputs)
        return logits, self.head.loss(logits, query_y)
