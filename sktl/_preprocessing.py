"""What a pretrained network expects of its pictures: it comes with the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

CROP_MODES = ("center", "squash", "border")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
LARGEST_SIDE = 2**14  # a single picture of that size takes 3 GB as the network sees it


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop and normalisation of pictures before a network.

    The picture is scaled as `crop_mode` says; its centre of ``size`` is cut out; then each channel becomes
    ``(value - mean) / std`` with value in [0, 1]. Rounding is that of timm and torchvision.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels of what the network sees.
    crop_pct : float above 0
        Share of the scaled picture's shorter side that the centre crop keeps. Above 1, the picture is scaled to less
        than ``size`` and set in a black frame.
    mean, std : (float, float, float)
        Per-channel mean and standard deviation in RGB order, for values in [0, 1].
    interpolation : {"bilinear", "bicubic", "nearest"}
        How pictures are resampled (always with antialiasing, but for "nearest").
    crop_mode : {"center", "squash", "border"}
        "center" keeps the aspect ratio and scales the picture until it just covers ``size / crop_pct``. "squash" scales
        it to just that size, whatever its aspect ratio. "border" keeps the aspect ratio, scales the picture until it
        just fits in, and fills the rest with `mean`.

    Examples
    --------
    >>> from sktl.backbones import Preprocessing
    >>> Preprocessing(size=(224, 224)).resized_to(96).scaled_size
    (109, 109)
    """

    size: tuple[int, int] = (224, 224)
    crop_pct: float = 0.875
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        size = (int(self.size),) * 2 if isinstance(self.size, Integral) else tuple(int(s) for s in self.size)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "crop_pct", float(self.crop_pct))  # of NumPy's too: keys of codes are made of it
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if len(size) != 2 or min(size) < 1:
            raise ValueError(
                f"Preprocessing.size must be (height, width) in pixels, both at least 1; got {self.size!r}."
            )
        if not 0 < self.crop_pct < math.inf or min(size) / self.crop_pct < 1:
            raise ValueError(
                "Preprocessing.crop_pct must be above 0, and leave at least one pixel of size / crop_pct; "
                f"got crop_pct={self.crop_pct!r} with size={size!r}."
            )
        if max(size) / self.crop_pct > LARGEST_SIDE:
            raise ValueError(
                f"Pictures would be scaled to {max(size) / self.crop_pct:.3g} pixels a side; at most {LARGEST_SIDE} "
                "are possible. Choose a smaller image_size (or Preprocessing.size), or a larger crop_pct."
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                "Preprocessing.mean and .std must hold three numbers each (red, green, blue), every std above 0; "
                f"got mean={self.mean!r}, std={self.std!r}."
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Preprocessing.interpolation must be one of {', '.join(map(repr, INTERPOLATIONS))}; "
                f"got {self.interpolation!r}."
            )
        if self.crop_mode not in CROP_MODES:
            raise ValueError(
                f"Preprocessing.crop_mode must be one of {', '.join(map(repr, CROP_MODES))}; got {self.crop_mode!r}."
            )

    @property
    def scaled_size(self) -> tuple[int, int]:
        """The (height, width) in pixels that pictures are scaled to cover ("center"), to have, or to fit in."""
        height, width = self.size
        return math.floor(height / self.crop_pct), math.floor(width / self.crop_pct)

    @property
    def fill(self) -> tuple[int, int, int]:
        """The grey levels (red, green, blue) around pictures that are smaller than what the network sees."""
        red, green, blue = (round(255 * v) for v in self.mean) if self.crop_mode == "border" else (0, 0, 0)
        return red, green, blue

    def resized_to(self, image_size: int | tuple[int, int] | None) -> Preprocessing:
        """Return the same for pictures of another size in pixels (an int means a square; None keeps the size)."""
        if image_size is None:
            return self
        height, width = (image_size,) * 2 if isinstance(image_size, (int, Integral)) else image_size
        return replace(self, size=(height, width))

    def overridden_by(self, other: Preprocessing | Mapping[str, Any] | None) -> Preprocessing:
        """Return `other` if it is whole, or this with the fields that the mapping `other` names replaced."""
        if other is None:
            return self
        if isinstance(other, Preprocessing):
            return other
        unknown = sorted(set(other) - set(asdict(self)))
        if unknown:
            raise ValueError(
                f"preprocessing has no field {', '.join(map(repr, unknown))}; "
                f"the fields are {', '.join(map(repr, asdict(self)))}."
            )
        return replace(self, **other)
