"""Scale and centre crop as tensor operations, which exporters follow, for pictures of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktl._preprocessing import Preprocessing


class GraphPreprocessing(nn.Module):
    """Pictures (n, 3, H, W) with values in 0..255, of any one size, as the network sees them: (n, 3, h, w).

    Each axis is resampled by one matrix product, whose weights are those of Pillow's filters. Between the axes, and at
    the end, values are rounded to whole grey levels, as Pillow, torchvision and this library do.

    Parameters
    ----------
    preprocessing : Preprocessing
        What is done; the normalisation comes later.
    """

    def __init__(self, preprocessing: Preprocessing):
        super().__init__()
        self.size = preprocessing.size
        self.target = preprocessing.scaled_size
        self.crop_mode = preprocessing.crop_mode
        self.interpolation = preprocessing.interpolation
        self.register_buffer("fill", torch.tensor(preprocessing.fill, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the pictures scaled and cropped, whole numbers in float32."""
        x = pictures.to(torch.float32)
        rows, columns = torch.ones_like(x[0, 0, :, 0]).double(), torch.ones_like(x[0, 0, 0, :]).double()
        height, width = self._scaled(rows.sum(), columns.sum())
        weights, is_row = self._weights(rows, height, self.size[0])
        across, is_column = self._weights(columns, width, self.size[1])
        x = _rounded(x @ across.transpose(0, 1))
        x = _rounded(weights @ x)
        is_picture = is_row.unsqueeze(1) & is_column.unsqueeze(0)
        return torch.where(is_picture, x, self.fill)  # type: ignore[arg-type]

    def _scaled(self, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """Return the size that pictures are scaled to; see `sktl.images._resample.placement`."""
        target = self.target
        if self.crop_mode == "squash":
            return torch.full_like(height, target[0]), torch.full_like(width, target[1])
        if self.crop_mode == "center" and target[0] == target[1]:
            shorter = torch.minimum(height, width)
            return torch.floor(target[0] * height / shorter), torch.floor(target[0] * width / shorter)
        ratios = height / target[0], width / target[1]
        ratio = torch.maximum(*ratios) if self.crop_mode == "border" else torch.minimum(*ratios)
        return torch.round(height / ratio).clamp(min=1), torch.round(width / ratio).clamp(min=1)

    def _weights(self, ones: Tensor, scaled: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """Return the weights (kept, length) of an axis, and which of the `kept` places lie within the picture."""
        start = torch.where(scaled >= kept, torch.round((scaled - kept) / 2), -torch.floor((kept - scaled) / 2))
        place = torch.arange(kept, dtype=torch.float64, device=ones.device) + start
        step = ones.sum() / scaled
        centre = ((place + 0.5) * step).unsqueeze(1)
        pixel = (torch.cumsum(ones, 0) - 1).unsqueeze(0)
        if self.interpolation == "nearest":
            nearest = torch.minimum(torch.floor(centre), ones.sum() - 1)
            weights = (pixel == nearest).double()
        else:
            away = ((pixel + 0.5 - centre) / step.clamp(min=1)).abs()
            weights = _triangle(away) if self.interpolation == "bilinear" else _cubic(away)
            weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
        return weights.float(), (place >= 0) & (place < scaled)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    # Keys' kernel with a = -1/2
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _rounded(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).clamp(0, 255)
