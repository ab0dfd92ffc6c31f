"""Values of any dtype -> uint8."""

from __future__ import annotations

import numpy as np

from sktl._warn_once import warn_user
from sktl.exceptions import PictureWarning

# Floats that went through a resize or a division miss 0 and 1 by rounding.
TOLERANCE = 1e-5

# Cameras and scanners of so many bits write into containers of 16.
_DEPTHS = (1, 8, 10, 12, 14)

NEARLY_WHITE = 224


def to_uint8(values: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Return checked values as uint8; `value_range` is mapped to 0..255 and values outside of it are clipped."""
    # The order of bytes says nothing about the scale: ">u2" is uint16, though they compare unequal.
    dtype = values.dtype.newbyteorder("=")
    if value_range is not None and not (dtype == np.uint8 and value_range == (0, 255)):
        low, high = value_range
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        return np.rint(scaled.clip(0, 255, out=scaled), out=scaled).astype(np.uint8)
    if dtype == np.uint8:
        return values
    if dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if dtype.kind in "iu":
        return values.astype(np.uint8)
    scaled = values * np.float32(255) if dtype.itemsize <= 4 else values * 255
    return np.rint(scaled.clip(0, 255, out=scaled), out=scaled).astype(np.uint8)


def check_values(
    values: np.ndarray, value_range: tuple[float, float] | None, indices: np.ndarray, name: str
) -> tuple[float, float] | None:
    """Raise ValueError where `to_uint8` could not convert the rows `indices` of `name`; return their extremes.

    Dtypes whose every value is fine are not looked at: None is returned.
    """
    # The order of bytes says nothing about the scale: ">u2" is uint16, though they compare unequal.
    dtype = values.dtype.newbyteorder("=")
    if dtype.kind == "b" or dtype in (np.uint8, np.uint16) or (dtype.kind != "f" and value_range is not None):
        return None
    low, high = values.min(), values.max()
    if dtype.kind == "f" and not np.isfinite([low, high]).all():
        _raise_not_finite(values, indices, name)
    if value_range is None:
        check_extremes(float(low), float(high), dtype, name)
    return float(low), float(high)


def check_extremes(low: float, high: float, dtype: np.dtype, name: str) -> None:
    """Raise ValueError, with what to do, where pixel values of `dtype` lie outside what it may hold."""
    asked = f"value_range={as_range(low, high)}"
    if dtype.kind in "iu":
        if low < 0 or high > 255:
            raise ValueError(
                f"{name} holds {dtype} values from {low:.17g} to {high:.17g}; integers must lie within 0..255 (uint16 "
                f"is scaled from 0..65535). Pass {asked}, or whatever is black and white in all of your pictures, or "
                "scale them to uint8."
            )
    elif low < -TOLERANCE or high > 1 + TOLERANCE:
        if low >= 0 and high <= 255:
            raise ValueError(
                f"{name} holds floats from {low:g} to {high:g}; floats must lie within [0, 1]. This looks like floats "
                "on the scale 0..255: divide by 255, or cast to uint8, or pass value_range=(0, 255)."
            )
        raise ValueError(
            f"{name} holds floats from {low:g} to {high:g}; floats must lie within [0, 1]. "
            f"Scale them, or pass {asked}, or whatever is black and white in all of your pictures. Pictures must not "
            "be standardised beforehand: normalisation belongs to the network's own preprocessing."
        )


def as_range(low: float, high: float) -> tuple[float, float]:
    """Return both as a `value_range` that a user can copy: whole numbers without a point, equal ones set apart."""
    low, high = (int(bound) if float(bound).is_integer() else float(bound) for bound in (low, high))
    return low, high if high > low else low + 1


def warn_if_shallow(high: int, name: str) -> None:
    """Warn where values of 16 bits, of which `high` is the largest, use a part of their range only."""
    white = next((2**depth - 1 for depth in _DEPTHS if high < 2**depth), None)
    if white is None or high < 1:
        return
    warn_user(
        f"{name} holds 16-bit values of at most {white}: scaled from 0..65535 they keep {100 * white / 65535:.2g} % of "
        f"the range from black to white. If {white} is white in them, pass value_range=(0, {white}); if they are as "
        "dark as that, pass value_range=(0, 65535).",
        PictureWarning,
    )


def _raise_not_finite(values: np.ndarray, indices: np.ndarray, name: str) -> None:
    place = np.argwhere(~np.isfinite(values))[0]
    what = "NaN" if np.isnan(values[tuple(place)]) else "infinity"
    index = (int(indices[place[0]]), *map(int, place[1:]))
    raise ValueError(f"Input {name} contains NaN or infinity: the first is {what} at index {index}.")


def over_ground(rgba: np.ndarray, ground: int | np.ndarray | None = None) -> np.ndarray:
    """Return (..., H, W, 4) pictures composited over `ground`, rounded to the nearest grey level, as (..., H, W, 3).

    `ground` is a grey level, or one a picture; None is what `ground_of` says of each.
    """
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return rgba[..., :3]
    level = np.asarray(ground_of(rgba) if ground is None else ground, dtype=np.uint16)[..., None, None, None]
    # rgb * a + ground * (255 - a), divided by 255 and rounded; it is at most 255**2 + 127, which uint16 holds.
    weighted = rgba[..., :3].astype(np.uint16) * alpha
    weighted += level * (np.uint16(255) - alpha) + np.uint16(127)
    return (weighted // 255).astype(np.uint8)


def ground_of(rgba: np.ndarray) -> np.ndarray:
    """Return on which grey transparent pictures (..., H, W, 4) are seen: 255, or 0 for those that white would swallow.

    These are drawings in white alone, such as icons made for a dark ground.
    """
    return ground_by(darkest_seen(rgba))


def darkest_seen(rgba: np.ndarray) -> np.ndarray:
    """Return the least value of what is at least half opaque in pictures (..., H, W, 4); 256 if nothing is."""
    return np.where(rgba[..., 3] < 128, np.uint16(256), rgba[..., :3].min(axis=-1)).min(axis=(-2, -1))


def ground_by(darkest: np.ndarray | int) -> np.ndarray:
    """Return the ground that `darkest_seen` asks for."""
    return np.where((np.asarray(darkest) >= NEARLY_WHITE) & (np.asarray(darkest) <= 255), 0, 255)
