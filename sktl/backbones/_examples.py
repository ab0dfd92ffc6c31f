"""Pictures to try a network on."""

from __future__ import annotations

import torch


def example_pictures(n: int, size: tuple[int, int]) -> torch.Tensor:
    """Return `n` uint8 pictures (n, 3, height, width) of noise whose amplitude falls as 1 / frequency, as in photos."""
    height, width = size
    noise = torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(0))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1 / max(height, width)
    pictures = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=size)
    pictures = pictures - pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = pictures / pictures.std(dim=(1, 2, 3), keepdim=True)
    return (128 + 64 * pictures).clamp(0, 255).to(torch.uint8)
