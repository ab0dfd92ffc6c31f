"""Batches that are not full: run as they are where that gives the same outputs, else filled up with black."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sktl.backbones._examples import example_pictures

RELATIVE = 1e-5  # of each output; scikit-learn's check of subsets lets ten times as much pass, and 1e-7 more
OF_LARGEST = 1e-6  # of the largest output, 1e-7 at most: outputs near zero are sums of large numbers


class SmallBatches:
    """How a network is given fewer inputs than it is run on at once.

    Kernels go by a batch's shape, so the outputs of a picture differ by rounding from one number of pictures to
    another. A batch is run as it is if each output of examples, in as many rows, comes out as in a full batch to 1e-5.
    If not (low precision; networks whose rows look at one another), it is filled up with black, and outputs are the
    same in any company. Each number of rows is tried once.
    """

    def __init__(self) -> None:
        self._agrees: dict[tuple, bool] = {}

    def fed(self, batch: Tensor, size: int, run: Callable[[Tensor], Any], key: Any = None) -> Tensor:
        """Return the batch as it is, or filled up to `size` rows.

        Parameters
        ----------
        batch : Tensor of shape (n, ...)
            Pictures in uint8, or rows.
        size : int
            Rows that the network is run on at once.
        run : callable
            From a batch to an output or several, each with a row per input.
        key : hashable, default=None
            Tells apart what `run` may be.
        """
        n = len(batch)
        if n >= size:
            return batch
        question = (key, n, size, batch.dtype, batch.shape[1:])
        if question not in self._agrees:
            examples = _examples(batch, size)
            self._agrees[question] = _is_close(run(examples[:n]), run(examples))
        if self._agrees[question]:
            return batch
        return filled_up(batch, size)


def filled_up(batch: Tensor, size: int) -> Tensor:
    """Return the batch with black pictures, or rows of zeros, after it, `size` in all."""
    return torch.cat([batch, batch.new_zeros(max(0, size - len(batch)), *batch.shape[1:])])


def _examples(like: Tensor, n: int) -> Tensor:
    if like.dtype == torch.uint8 and like.ndim == 4:
        height, width = like.shape[2:]
        channels = like.shape[1]
        found = example_pictures(-(-n * channels // 3), (height, width)).reshape(-1, channels, height, width)[:n]
    else:
        found = torch.randn(n, *like.shape[1:], generator=torch.Generator().manual_seed(0))
    found = found.to(like.device, like.dtype)
    return found.to(memory_format=torch.channels_last) if found.ndim == 4 else found


def _is_close(few: Any, many: Any) -> bool:
    few, many = ([outputs] if isinstance(outputs, Tensor) else outputs for outputs in (few, many))
    pairs = ((torch.as_tensor(a), torch.as_tensor(b)[: len(a)]) for a, b in zip(few, many))
    absolute = lambda b: min(1e-7, OF_LARGEST * float(b.abs().max())) if b.numel() else 0.0  # noqa: E731
    return all(torch.allclose(a, b, rtol=RELATIVE, atol=absolute(b)) for a, b in pairs)
