"""A start that suits the task: factors for the units of a network's weights, from an embedding of the support set."""

from __future__ import annotations

from torch import Tensor, nn

from sktl.fewshot.meta_training._set_encoder import SetEncoder
from sktl.fewshot.meta_training._task_inputs import perceptron
from sktl.fewshot.optimisation_based._inner_loop import Parameters

CODES = 64  # the support rows are brought to so many numbers if they have more


class ModulatedStart(nn.Module):
    """Emits a factor for each unit of each weight matrix, and a factor and a shift for each bias.

    Of a linear layer, this scales and shifts what comes out of it. Before training nothing is changed.

    Parameters
    ----------
    start : dict of str to Tensor
        The weights.
    n_outputs : int
        Values of a regression.
    n_features : int
        Numbers in a row.
    size : int
        Of a task's embedding.
    """

    def __init__(self, start: Parameters, n_features: int, n_outputs: int, size: int):
        super().__init__()
        n_codes = min(n_features, CODES)
        self.reduce = nn.Linear(n_features, n_codes) if n_features > CODES else nn.Identity()
        self.examples = SetEncoder(n_codes, n_outputs, size, 3)
        self.units = {name: len(value) for name, value in start.items() if value.ndim}
        self.emit = perceptron(size, size, 2 * sum(self.units.values()), starts_at_zero=True)

    def embedding(self, x: Tensor, y: Tensor) -> Tensor:
        """Return one vector a task (n_tasks, size), for rows (n_tasks, n, n_features) and their targets."""
        return self.examples(self.reduce(x), y)[1]

    def forward(self, start: Parameters, x: Tensor, y: Tensor) -> Parameters:
        """Return the weights that each task starts from, with a leading axis of tasks."""
        # w_u <- (1 + g_u) w_u,   b_u <- (1 + g_u) b_u + d_u
        factors, shifts = self.emit(self.embedding(x, y)).chunk(2, -1)
        parts = zip(self.units, *(part.split(list(self.units.values()), -1) for part in (factors, shifts)))
        modulated = {name: value.expand(len(x), *value.shape) for name, value in start.items()}
        for name, factor, shift in parts:
            value = modulated[name]
            shape = (*factor.shape, *[1] * (value.ndim - 2))
            value = (1 + factor.view(shape)) * value
            modulated[name] = value + shift if value.ndim == 2 else value
        return modulated
