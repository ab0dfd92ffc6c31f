"""Temporal convolutions between layers of attention."""

from __future__ import annotations

from torch import Tensor, nn

from sktl.fewshot._encoders import Encoder
from sktl.fewshot._sequence_method import SequenceMethod
from sktl.fewshot._temporal import CausalAttention, DenseConvolution
from sktl.fewshot.heads import State

SHARES = ((0.5, 0.25), (2, 1), (4, 2))  # keys and values of the attention layers, in filters of a convolution


class SNAILMethod(SequenceMethod):
    """Attention, convolutions, attention, convolutions, attention, and a linear layer for the last row.

    Parameters
    ----------
    encoder, n_outputs
        As in `SequenceMethod`.
    filters : int
        Of a convolution; the sizes of keys and values go by it.
    length : int
        Of the longest support set in training; the convolutions reach back so far.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, filters: int, length: int):
        super().__init__(encoder, n_outputs)
        n_convolutions = max(1, length.bit_length())  # taps 1, 2, 4, ... back reach 2^n - 1 >= length rows
        n_in, layers = self.width, nn.ModuleList()
        for number, (keys, values) in enumerate(SHARES):
            for i in range(n_convolutions if number else 0):
                layers.append(DenseConvolution(n_in, filters, 2**i))
                n_in += filters
            layers.append(CausalAttention(n_in, max(1, int(filters * keys)), max(1, int(filters * values))))
            n_in += max(1, int(filters * values))
        self.layers = layers
        self.output = nn.Linear(n_in, n_outputs)

    @property
    def _looking_back(self) -> list[DenseConvolution | CausalAttention]:
        return list(self.layers)  # type: ignore[arg-type]

    def read(self, sequence: Tensor, is_real: Tensor) -> State:
        """Return what each layer keeps of the sequence."""
        state: State = {}
        for number, layer in enumerate(self._looking_back):
            sequence, kept = layer(sequence, is_real)
            state |= {f"{number}.{name}": value for name, value in kept.items()}
        return state

    def answer(self, state: State, query: Tensor) -> Tensor:
        """Return the outputs at the row behind the sequence."""
        for number, layer in enumerate(self._looking_back):
            head = f"{number}."
            kept = {name.removeprefix(head): value for name, value in state.items() if name.startswith(head)}
            query = layer.ask(kept, query)
        return self.output(query)
