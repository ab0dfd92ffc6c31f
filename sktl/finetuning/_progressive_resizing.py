"""Training on small pictures first and on whole ones at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from skorch.callbacks import Callback
from torch import Tensor, nn

from sktl.training import Step

N_STAGES = 4  # of EfficientNetV2's schedule
MULTIPLE = 32  # pixels; what networks halve five times


class ProgressiveResizing(Callback):
    """Sets the size of training pictures for an epoch, from a share of the side up to all of it.

    Tan and Le (2021), section 4: four stages of as many epochs each, whose sides grow linearly; the last one is whole.

    Parameters
    ----------
    start : float
        Share of the side in the first stage.
    size : (int, int)
        Height and width of whole pictures.
    n_epochs : int
        Of the training; the last one always has whole pictures.

    Attributes
    ----------
    now : (int, int)
        Height and width in the present epoch.
    """

    def __init__(self, start: float, size: tuple[int, int], n_epochs: int):
        self.start = start
        self.size = size
        self.n_epochs = n_epochs
        self.now = size

    def on_epoch_begin(self, net, **kwargs):
        """Take the size of the epoch that begins."""
        self.now = self.size_at(len(net.history) - 1)

    def size_at(self, epoch: int) -> tuple[int, int]:
        """Return height and width in an epoch, counted from 0."""
        last = N_STAGES - 1
        stage = last if epoch >= self.n_epochs - 1 else N_STAGES * epoch // self.n_epochs
        # side = S (a + (1 - a) k / 3),   k = 0..3
        share = self.start + (1 - self.start) * stage / last
        height, width = self.size
        return _multiple(height * share, height), _multiple(width * share, width)

    def check(self, network: nn.Module, device: torch.device) -> None:
        """Raise a ValueError if the network does not take pictures of the smallest size."""
        size = self.size_at(0)
        try:
            with torch.no_grad():
                network(torch.zeros((1, 3, *size), device=device))
        except Exception as error:
            raise ValueError(
                f"progressive_resizing={self.start} trains on pictures of {size[0]} x {size[1]} pixels first, which "
                f"this network does not take ({type(error).__name__}: {error}). Use progressive_resizing=None, or a "
                "network that takes pictures of any size."
            ) from error


@dataclass(frozen=True)
class ResizedStep:
    """Another step, on pictures of the size of the epoch."""

    step: Step
    resizing: ProgressiveResizing

    def __call__(self, module: nn.Module, batch: Any) -> Any:
        return self.step(module, (resized(batch[0], self.resizing.now), *batch[1:]))


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures (n, channels, height, width) in another size, without aliasing."""
    if tuple(pictures.shape[-2:]) == tuple(size):
        return pictures
    return F.interpolate(pictures.float(), size, mode="bilinear", antialias=True)


def _multiple(side: float, whole: int) -> int:
    """Return the nearest multiple of 32 pixels; whole pixels of pictures that are hardly larger."""
    rounded = MULTIPLE * round(side / MULTIPLE) if whole > 2 * MULTIPLE else round(side)
    return int(min(max(rounded, 1), whole))
