"""What a set of examples is, as one vector that does not depend on their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktl.fewshot.meta_training._task_inputs import ValueScale, mean_over, perceptron, real_rows


class SetEncoder(nn.Module):
    """Embeds each example, and averages over the set.

    Labels are not looked at but to tell which rows belong together, for they are numbered anew in each task. The
    values of a regression are given to the network beside the codes.

    Parameters
    ----------
    n_codes : int
        Size of a code.
    n_outputs : int
        Values of a regression.
    size : int
        Of an embedding.
    n_layers : int
        Linear layers.
    """

    def __init__(self, n_codes: int, n_outputs: int, size: int, n_layers: int):
        super().__init__()
        self.n_outputs = n_outputs
        self.scale = ValueScale(n_outputs)
        self.embed = perceptron(n_codes + n_outputs, *[size] * n_layers)

    def forward(self, codes: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings (n_tasks, n, size) of the examples, and of the sets (n_tasks, size).

        Parameters
        ----------
        codes : Tensor (n_tasks, n, n_codes)
        y : Tensor (n_tasks, n) of labels, -1 being padding, or (n_tasks, n, n_outputs) of values
        """
        beside = self.scale(y.to(codes.dtype)) if y.is_floating_point() else codes.new_zeros(*y.shape, self.n_outputs)
        embedded = self.embed(torch.cat([codes, beside], -1))
        return embedded, mean_over(embedded, real_rows(y))
