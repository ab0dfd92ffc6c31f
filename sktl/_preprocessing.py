"""What a pretrained network expects of its pictures: it comes with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
LARGEST_SIDE = 2**14  # a single picture of that size takes 3 GB as the network sees it


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop and normalisation of pictures before a network.

    The picture is scaled, aspect ratio kept, until it just covers ``size / crop_pct``; its centre of ``size`` is cut
    out; then each channel becomes ``(value - mean) / std`` with value in [0, 1].

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels of what the network sees.
    crop_pct : float in (0, 1]
        Share of the scaled picture's shorter side that the centre crop keeps.
    mean, std : (float, float, float)
        Per-channel mean and standard deviation in RGB order, for values in [0, 1].
    interpolation : {"bilinear", "bicubic", "nearest"}
        How pictures are resampled (always with antialiasing, but for "nearest").

    Examples
    --------
    >>> from sktl.backbones import Preprocessing
    >>> Preprocessing(size=(224, 224)).resized_to(96).scaled_size
    (110, 110)
    """

    size: tuple[int, int] = (224, 224)
    crop_pct: float = 0.875
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(int(s) for s in self.size)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if len(size) != 2 or min(size) < 1:
            raise ValueError(
                f"Preprocessing.size must be (height, width) in pixels, both at least 1; got {self.size!r}."
            )
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"Preprocessing.crop_pct must be in (0, 1]; got {self.crop_pct!r}.")
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

    @property
    def scaled_size(self) -> tuple[int, int]:
        """Smallest (height, width) in pixels that the scaled picture must cover before its centre is cut out."""
        height, width = self.size
        return round(height / self.crop_pct), round(width / self.crop_pct)

    def resized_to(self, image_size: int | tuple[int, int] | None) -> Preprocessing:
        """Return the same for pictures of another size in pixels (an int means a square; None keeps the size)."""
        if image_size is None:
            return self
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
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
