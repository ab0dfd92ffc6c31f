"""What a transductive method is given: the codes of many tasks, and which of them are labelled how."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sktl.fewshot.heads import one_hot
from sktl.fewshot.transductive._span import Span


class Tasks(NamedTuple):
    """A batch of tasks, support rows first. What belongs to classes lies class by class: rows are the fast axis."""

    span: Span  # of n = n_support + n_query rows
    targets: Tensor  # (t, n_way, n), one-hot; zero for queries, and for support rows that are padding
    n_support: int

    @classmethod
    def of(cls, span: Span, y: Tensor, n_way: int) -> Tasks:
        """Return the tasks of that span and support labels (t, n_support)."""
        labels = y.new_full((len(y), span.known.shape[1]), -1)
        labels[:, : y.shape[1]] = y
        return cls(span, one_hot(labels, n_way, span.known.dtype).transpose(1, 2).contiguous(), y.shape[1])

    @property
    def n_way(self) -> int:
        """Number of classes."""
        return self.targets.shape[1]

    @property
    def n_query(self) -> int:
        """Number of query rows."""
        return self.targets.shape[2] - self.n_support

    @property
    def queries(self) -> slice:
        """Where the queries lie among the rows."""
        return slice(self.n_support, self.n_support + self.n_query)

    @property
    def queries_are_a_set(self) -> bool:
        """Whether the queries' mean and class shares say something: not if classes must be missing."""
        return self.n_query >= self.n_way

    @property
    def prototypes(self) -> Tensor:
        """Class means as combinations of rows, (t, n_way, n)."""
        return self.targets / self.targets.sum(2, keepdim=True)

    @property
    def support_mean(self) -> Tensor:
        """The mean support row as a combination of rows, (t, 1, n)."""
        is_row = self.targets.sum(1, keepdim=True)
        return is_row / is_row.sum(2, keepdim=True)

    @property
    def query_mean(self) -> Tensor:
        """The mean query as a combination of rows, (1, 1, n)."""
        mean = torch.zeros_like(self.targets[:1, :1])
        mean[..., self.queries] = 1 / self.n_query
        return mean
