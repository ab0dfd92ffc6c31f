"""Encoded pictures in memory: the bytes of a file, base64 text, open files."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from sktl.images._formats import LARGEST_FILE

# How base64 of the formats begins that tables hold: JPEG, PNG, GIF, WebP, BMP, TIFF.
_BEGINNINGS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0AK")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
_DATA_URL = re.compile(r"data:(image/[^,]*|(application/octet-stream)?[^,/]*;base64),", re.IGNORECASE)
_OF_URLS = str.maketrans("-_", "+/")  # the alphabet of base64 in addresses
_LEAST = 64  # characters: no picture is shorter, and few names of files are longer without a dot


@dataclass(frozen=True)
class EncodedPicture:
    """The bytes of a picture's file, held in memory.

    Attributes
    ----------
    data : bytes
        What would stand in the file.
    origin : str
        What the user held.
    """

    data: bytes = field(repr=False)
    origin: str = "bytes"


def as_encoded(item: Any) -> Any:
    """Return bytes, base64 text and open files as `EncodedPicture`, and any other item as it is.

    Tables of pictures in Parquet often have a column of pairs, ``{"bytes": ..., "path": ...}``, of which one may lack.
    """
    if _is_pair(item):
        data, path = item.get("bytes"), item.get("path")
        return EncodedPicture(bytes(data), str(path or "bytes")) if data is not None else path
    if isinstance(item, (bytes, bytearray, memoryview)):
        data = bytes(item)
        text = data.decode("latin-1") if data.lstrip()[:4].isascii() else ""
        return _from_base64(text) if looks_like_base64(text) else EncodedPicture(data)
    if isinstance(item, str) and looks_like_base64(item):
        return _from_base64(item)
    if hasattr(item, "read") and not hasattr(item, "shape"):
        try:
            return EncodedPicture(_all_of(item), "open file")
        except (OSError, ValueError) as error:  # it is closed, or was opened for writing
            return EncodedPicture(b"", f"file that cannot be read ({str(error).rstrip('.')})")
    return item


def is_encoded(item: Any) -> bool:
    """Whether an item is an encoded picture in one of these forms."""
    return (
        isinstance(item, (bytes, bytearray, memoryview, EncodedPicture))
        or _is_pair(item)
        or (isinstance(item, str) and looks_like_base64(item))
        or (hasattr(item, "read") and hasattr(item, "seek") and not hasattr(item, "shape"))
    )


def _is_pair(item: Any) -> bool:
    return isinstance(item, dict) and "bytes" in item and item.keys() <= {"bytes", "path"}


def looks_like_base64(text: str) -> bool:
    """Whether text is a picture in base64, with ``data:image/...;base64,`` in front or without."""
    text = text.lstrip()
    if _DATA_URL.match(text):
        return True
    return len(text) >= _LEAST and text.startswith(_BEGINNINGS) and _BASE64.fullmatch(text) is not None


def _from_base64(text: str) -> EncodedPicture:
    """Return the picture in base64 of either alphabet, whether or not it is filled up to fours of characters."""
    start = _DATA_URL.match(text.lstrip())
    body = "".join(text.partition(",")[2].split() if start else text.split()).translate(_OF_URLS)
    try:
        data = base64.b64decode(body.rstrip("=") + "=" * (-len(body.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return EncodedPicture(b"", "base64 text that is cut off or damaged")
    return EncodedPicture(data, "base64 text")


def _all_of(file: Any) -> bytes:
    """Return all bytes of an open file, and leave it where it was found."""
    place = file.tell() if hasattr(file, "tell") else None
    if hasattr(file, "seek"):
        file.seek(0)
    data = file.read(LARGEST_FILE + 1)
    if place is not None and hasattr(file, "seek"):
        file.seek(place)
    return data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
