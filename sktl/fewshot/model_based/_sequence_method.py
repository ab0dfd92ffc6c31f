"""Methods that read the support set row by row, and then answer queries one by one."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoder_method import EncoderMethod
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._task_inputs import ValueScale, in_order, real_rows, shuffled_order, target_vectors


class SequenceMethod(EncoderMethod):
    """Abstract: the support set is a sequence of codes with their targets; each query comes last, without one.

    The order of the rows has no meaning: it is drawn anew in each episode of training. In evaluation it is a fixed
    shuffle of the order given, since a set sorted by class is like none that was trained on.

    Codes are centred and brought to variance 1, and targets are as long as they: rectified codes are all alike next to
    what tells them apart, and an unlabelled one is all but the same as a labelled one, so that hundreds of updates pass
    before anything is learned.

    Parameters
    ----------
    encoder : Encoder
        Rows to codes.
    n_outputs : int
        At most; a task of fewer classes has the first ones.
    """

    def __init__(self, encoder: Encoder, n_outputs: int):
        super().__init__(encoder)
        self.n_outputs = n_outputs
        self.norm = nn.BatchNorm1d(encoder.code_shape[0], affine=False)
        self.scale = ValueScale(n_outputs)

    @property
    def width(self) -> int:
        """Return the size of a code with its target."""
        return self.encoder.code_shape[0] + self.n_outputs

    def encoded(self, rows: Tensor) -> Tensor:
        """Return the codes of rows, centred."""
        return self.norm(super().encoded(rows))

    @abstractmethod
    def read(self, sequence: Tensor, is_real: Tensor) -> State:
        """Return what is left of the sequences (n_tasks, n_support, width), padding first."""

    @abstractmethod
    def answer(self, state: State, query: Tensor) -> Tensor:
        """Return (n_tasks, n_query, n_outputs) for queries (n_tasks, n_query, width), each as if it came next."""

    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return what is left of the support sets."""
        is_real = real_rows(y)
        order = shuffled_order(is_real, at_random=self.training)
        targets = target_vectors(y, self.n_outputs, self.scale, support.dtype)
        parts = self.n_outputs if y.is_floating_point() else 1
        sequence = torch.cat([support, targets * math.sqrt(support.shape[-1] / parts)], -1)
        is_real = in_order(is_real, order)
        sequence = in_order(sequence, order) * is_real.unsqueeze(-1)
        return self.read(sequence, is_real)

    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs for codes of queries."""
        nothing = query.new_zeros(*query.shape[:-1], self.n_outputs)
        return self.scale.back(self.answer(state, torch.cat([query, nothing], -1)))
