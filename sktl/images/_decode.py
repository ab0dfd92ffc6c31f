"""Bytes or a PIL image -> RGB or grey pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from sktl._forking import ForkSafeLock
from sktl._preprocessing import Preprocessing
from sktl.exceptions import PictureWarning
from sktl.images._errors import UnreadableError
from sktl.images._formats import FORMATS, LARGEST_FILE, check_undecoded, open_picture, too_large, why_unknown
from sktl.images._pixels import TOLERANCE, as_range, over_white, to_uint8, warn_if_shallow
from sktl.images._resample import placement

# A JPEG is decoded at 1/2, 1/4 or 1/8 only while that leaves this many times the pixels needed along each axis.
DRAFT_MARGIN = 2

_ORIENTATION_TAG = 0x0112

Range = tuple[float, float] | None  # what is black and white in pixels of more than 8 bits; None goes by their type

# PIL loads pixels on first use and is not thread-safe there; the same object may be in a list twice.
_LOAD_LOCKS = tuple(ForkSafeLock() for _ in range(16))


def decode_bytes(
    data: bytes, preprocessing: Preprocessing | None = None, value_range: Range = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return uint8 pixels (H, W, 1 or 3) of an encoded picture, upright, and the (height, width) it has in full.

    With `preprocessing`, a JPEG much larger than it needs is decoded at a reduced scale. `value_range` is black and
    white in pixels of more than 8 bits.
    """
    if not data:
        raise UnreadableError("empty file")
    try:
        with open_picture(io.BytesIO(data)) as image:
            is_jpeg = image.format in ("JPEG", "MPO")
            if not is_jpeg:
                # PIL turns a TIFF upright itself as it loads it.
                image.load()
            orientation = _orientation(image)
            size = _upright_size(image, orientation)
            if is_jpeg and preprocessing is not None:
                height, width = (DRAFT_MARGIN * length for length in placement(size, preprocessing)[0])
                image.draft(None, (height, width) if orientation >= 5 else (width, height))
            return _upright(_pixels(image, value_range), orientation), size
    except (UnreadableError, MemoryError, PictureWarning):
        raise
    except Exception as error:
        raise UnreadableError(why_unreadable(error, data)) from error


def decode_image(image: Image.Image, value_range: Range = None) -> np.ndarray:
    """Return uint8 pixels (H, W, 1 or 3) of a PIL image, upright; one that is not decoded yet stays so."""
    image = as_found(image)
    orientation = load(image)
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


def load(image: Image.Image) -> int:
    """Load the pixels of a PIL image, safely from several threads, and return its EXIF orientation."""
    if 0 in image.size:
        raise UnreadableError(f"no pixels: its size is {image.size[0]} x {image.size[1]}")
    check_undecoded(image)
    try:
        with _LOAD_LOCKS[id(image) // 16 % len(_LOAD_LOCKS)]:
            image.load()
            return _orientation(image)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(why_unreadable(error)) from error


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
    if image.mode.startswith("I"):
        return _deep_pixels(np.asarray(image), value_range)
    if image.mode == "F":
        return _float_pixels(np.asarray(image), value_range)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or (
        image.mode in ("1", "L", "P", "RGB") and image.has_transparency_data
    ):
        # Premultiplied grey converts to plain grey only.
        straight = image.convert("LA") if image.mode == "La" else image
        return over_white(np.asarray(straight.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_pixels(values: np.ndarray, value_range: Range) -> np.ndarray:
    if value_range is not None:
        return to_uint8(values, value_range)[..., None]
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise UnreadableError(
            f"integer pixels from {low} to {high}; they must lie within 0..65535. Pass "
            f"value_range={as_range(low, high)}, or whatever is black and white in all of your pictures"
        )
    warn_if_shallow(high, "A picture")
    return to_uint8(values.astype(np.uint16))[..., None]


def _float_pixels(values: np.ndarray, value_range: Range) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UnreadableError(
            "float pixels (mode 'F') that are NaN or infinite; they must lie within [0, 1], or in value_range"
        )
    if value_range is None and not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise UnreadableError(
            f"float pixels (mode 'F') from {low:g} to {high:g}; they must lie within [0, 1]. Pass "
            f"value_range={as_range(low, high)}, or whatever is black and white in all of your pictures"
        )
    return to_uint8(values, value_range)[..., None]


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
