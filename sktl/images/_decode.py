"""Bytes or a PIL image -> RGB or grey pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from sktl._forking import ForkSafeLock
from sktl._memory import trim
from sktl._preprocessing import Preprocessing
from sktl.exceptions import PictureWarning
from sktl.images._budget import DECODING, decoding_cost
from sktl.images._errors import UnreadableError
from sktl.images._formats import (
    FORMATS,
    LARGEST_FILE,
    check_embedded,
    check_undecoded,
    open_picture,
    too_large,
    why_unknown,
)
from sktl.images._pixels import TOLERANCE, as_range, darkest_seen, ground_by, over_ground, to_uint8, warn_if_shallow
from sktl.images._resample import placement

# A JPEG is decoded at 1/2, 1/4 or 1/8 only while that leaves this many times the pixels needed along each axis.
DRAFT_MARGIN = 2

LARGE_COST = 2**27  # bytes
STRIP = 2**22  # pixels that are converted at a time

_ORIENTATION_TAG = 0x0112

Range = tuple[float, float] | None  # what is black and white in pixels of more than 8 bits; None goes by their type

# PIL loads pixels on first use and is not thread-safe there; the same object may be in a list twice.
_LOAD_LOCKS = tuple(ForkSafeLock() for _ in range(16))


def decode_bytes(
    data: bytes, held: ExitStack, preprocessing: Preprocessing | None = None, value_range: Range = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return uint8 pixels (H, W, 1 or 3) of an encoded picture, upright, and the (height, width) it has in full.

    With `preprocessing`, a JPEG much larger than it needs is decoded at a reduced scale. `value_range` is black and
    white in pixels of more than 8 bits. What decoding takes of the memory of all threads is given back when `held` is
    closed: once the pixels are scaled down, or else those of every thread would lie beside the next one's.
    """
    if not data:
        raise UnreadableError("empty file")
    try:
        with open_picture(io.BytesIO(data)) as image:
            check_embedded(image, data)
            if image.format not in ("JPEG", "MPO"):
                _hold(held, len(data) + decoding_cost(image, image.size))
                # PIL turns a TIFF upright itself as it loads it.
                image.load()
                orientation = _orientation(image)
                pixels = _pixels(image, value_range)
                return _upright(pixels, orientation), _upright_size(image, orientation)
            orientation, full_size = _orientation(image), image.size
            size = _upright_size(image, orientation)
            if preprocessing is not None:
                height, width = (DRAFT_MARGIN * length for length in placement(size, preprocessing)[0])
                image.draft(None, (height, width) if orientation >= 5 else (width, height))
            _hold(held, len(data) + decoding_cost(image, full_size))
            return _upright(_pixels(image, value_range), orientation), size
    except (UnreadableError, MemoryError, PictureWarning):
        raise
    except Exception as error:
        raise UnreadableError(why_unreadable(error, data)) from error


def decode_image(image: Image.Image, held: ExitStack, value_range: Range = None) -> np.ndarray:
    """Return uint8 pixels (H, W, 1 or 3) of a PIL image, upright; one that is not decoded yet stays so.

    `held` is as in `decode_bytes`.
    """
    image = as_found(image)
    orientation = load(image, held)
    try:
        return _upright(_pixels(image, value_range), orientation)
    except (UnreadableError, MemoryError, PictureWarning):
        raise
    except Exception as error:
        raise UnreadableError(why_unreadable(error)) from error


def as_found(image: Image.Image) -> Image.Image:
    """Return the image itself if it is decoded, else another one of the same file, so that this one stays undecoded.

    Where that cannot show the same picture (in a stream that cannot be read again, or after changes that reopening
    would lose), the image itself is returned.
    """
    if not isinstance(image, ImageFile.ImageFile) or getattr(image, "_im", None) is not None:
        return image
    check_undecoded(image)
    try:
        file: Any = image.fp
        with _LOAD_LOCKS[id(image) // 16 % len(_LOAD_LOCKS)]:
            place = file.tell()
            try:
                file.seek(0)
                data = file.read(LARGEST_FILE + 1)
            finally:
                file.seek(place)
        if len(data) > LARGEST_FILE:
            return image
        other: Any = type(image)(io.BytesIO(data))
        if image.tell():
            other.seek(image.tell())
        if (other.mode, other.size) != (image.mode, image.size):
            other.draft(image.mode, image.size)  # as the user had it decoded
        if (other.mode, other.size, other.tile) != (image.mode, image.size, image.tile):
            return image
    except Exception:  # whatever a plugin's reader raises: then it is decoded in place
        return image
    other.info = dict(image.info)
    return other


def load(image: Image.Image, held: ExitStack) -> int:
    """Load the pixels of a PIL image, safely from several threads, and return its EXIF orientation."""
    if 0 in image.size:
        raise UnreadableError(f"no pixels: its size is {image.size[0]} x {image.size[1]}")
    check_undecoded(image)
    try:
        cost = decoding_cost(image, image.size) if getattr(image, "_im", None) is None else 0
        with _LOAD_LOCKS[id(image) // 16 % len(_LOAD_LOCKS)]:
            _hold(held, cost)
            image.load()
            return _orientation(image)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(why_unreadable(error)) from error


def _hold(held: ExitStack, cost: int) -> None:
    """Take so much of the memory of all threads; what a large picture took of it goes back to the system at the end."""
    held.enter_context(DECODING.hold(cost))
    if cost >= LARGE_COST:  # or else glibc keeps it, for each thread apart
        held.callback(trim)


def why_unreadable(error: Exception, data: bytes = b"") -> str:
    """Return in few words why PIL could not read a picture."""
    text = str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return why_unknown(data)
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        size = _size_unchecked(data)
        return too_large(*size) if size else f"decompression bomb: {text}"
    if "truncated" in text.lower():
        return "truncated"
    return f"corrupt ({text or type(error).__name__})"


def _size_unchecked(data: bytes) -> tuple[int, int] | None:
    """Return the (width, height) in a header, read without PIL's limit on the number of pixels."""
    for factory, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        try:
            if accept is None or accept(data[:16]) is True:
                return factory(io.BytesIO(data), "").size
        except Exception:
            continue
    return None


def _pixels(image: Image.Image, value_range: Range) -> np.ndarray:
    """Return pixels (H, W, 1 or 3), strip by strip, so that no second copy of a large picture is made on the way."""
    image.load()
    width, height = image.size
    step = min(height, max(1, STRIP // width))
    if image.mode.startswith("I") or image.mode == "F":
        value_range = _deep_range(image.mode, (np.asarray(strip) for strip in _strips(image, step)), value_range)
    ground = _ground(image, step)
    if step == height:
        return _strip_pixels(image, value_range, ground)
    out: np.ndarray | None = None
    for top, strip in zip(range(0, height, step), _strips(image, step), strict=True):
        part = _strip_pixels(strip, value_range, ground)
        out = np.empty((height, width, part.shape[2]), np.uint8) if out is None else out
        out[top : top + step] = part
    assert out is not None
    return out


def _strips(image: Image.Image, step: int) -> Iterator[Image.Image]:
    width, height = image.size
    if step == height:
        return iter([image])
    return (image.crop((0, top, width, min(height, top + step))) for top in range(0, height, step))


def _ground(image: Image.Image, step: int) -> np.ndarray | None:
    """Return on what a picture with transparent parts is seen, the same for all strips; None for one without."""
    if not _is_transparent(image):
        return None
    return ground_by(min(int(darkest_seen(_rgba(strip))) for strip in _strips(image, step)))


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (
        image.mode in ("1", "L", "P", "RGB") and image.has_transparency_data
    )


def _rgba(image: Image.Image) -> np.ndarray:
    # Premultiplied grey converts to plain grey only.
    return np.asarray((image.convert("LA") if image.mode == "La" else image).convert("RGBA"))


def _strip_pixels(image: Image.Image, value_range: Range, ground: np.ndarray | None) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if value_range is None and image.mode != "F":
            values = values.astype(np.uint16)
        return to_uint8(values, value_range)[..., None]
    if ground is not None:
        return over_ground(_rgba(image), ground)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_range(mode: str, strips: Iterable[np.ndarray], value_range: Range) -> Range:
    """Check pixels of more than 8 bits; return their `value_range`."""
    extremes = [(values.min(), values.max()) for values in strips]
    low, high = float(min(low for low, _ in extremes)), float(max(high for _, high in extremes))
    if not np.isfinite(extremes).all():
        raise UnreadableError("float pixels (mode 'F') that are NaN or infinite; within [0, 1], or in value_range")
    if value_range is not None:
        return value_range
    remedy = f"Pass value_range={as_range(low, high)}, or whatever is black and white in all of your pictures"
    if mode == "F":
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
            raise UnreadableError(
                f"float pixels (mode 'F') from {low:g} to {high:g}; they must lie within [0, 1]. {remedy}"
            )
        return None
    if low < 0 or high > 65535:
        raise UnreadableError(f"integer pixels from {low:.0f} to {high:.0f}; they must lie within 0..65535. {remedy}")
    warn_if_shallow(int(high), "A picture")
    return None


def _orientation(image: Image.Image) -> int:
    try:
        value: Any = image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception:
        # A damaged EXIF block leaves the pixels as good as they are.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (width, height) if orientation >= 5 else (height, width)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
