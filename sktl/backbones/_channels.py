"""How many channels a network takes, and pictures made into them."""

from __future__ import annotations

import torch
from torch import nn

from sktl._preprocessing import Preprocessing

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's


def first_channels(module: nn.Module) -> int | None:
    """Return how many channels the network's first convolution takes, None where it has none."""
    return next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), None)


def declared_channels(module: nn.Module) -> int | None:
    """Return `first_channels`.

    Raises
    ------
    ValueError
        If they are neither one nor three.
    """
    found = first_channels(module)
    if found not in (None, 1, 3):
        raise ValueError(
            f"The network {type(module).__name__} takes pictures of {found} channels; sktl gives it grey (1) or RGB "
            f"(3). Put a layer before it that makes so many of them: nn.Sequential(nn.Conv2d(3, {found}, 1), network)."
        )
    return found


class Normalisation(nn.Module):
    """Pictures (n, 3, height, width) with values in 0..255 to what a network of one or three channels expects.

    One channel is the luminance, normalised by the means of the three channels' numbers.
    """

    def __init__(self, preprocessing: Preprocessing, n_channels: int, device: torch.device | None = None):
        super().__init__()
        mean, std = (torch.tensor(v, device=device) for v in (preprocessing.mean, preprocessing.std))
        if n_channels == 1:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        # (value / 255 - mean) / std = value * scale + shift
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1), persistent=False)
        weights = torch.tensor(LUMINANCE, device=device).view(1, 3, 1, 1) if n_channels == 1 else None
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the network's input, float32 in memory format channels_last."""
        x = pictures.to(self.scale.dtype)  # type: ignore[arg-type]
        if self.weights is not None:
            x = (x * self.weights).sum(1, keepdim=True)  # type: ignore[operator]
        x = torch.addcmul(self.shift, x, self.scale)  # type: ignore[arg-type]
        return x.contiguous(memory_format=torch.channels_last)
