"""How much memory pictures may take while they are decoded, all threads together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

BUDGET = 2**30 - 2**27  # bytes; what is left of 1 GiB is for all that is not counted
LARGE_FILE = 2**24  # bytes; of files beyond that one is in memory at a time

# Bytes a pixel at the peak: Pillow's pixels, those handed on, and what the decoder keeps beside them. Measured for PNG,
# WebP, JPEG, GIF, TIFF and BMP, estimated for the others.
# Only JPEG can be scaled while it is decoded; WebP, AVIF and JPEG 2000 decoders hold several copies of the picture.
BYTES_PER_PIXEL = {
    "JPEG": 8, "MPO": 8, "PNG": 8, "BMP": 12, "DIB": 12, "PPM": 8, "TIFF": 9, "GIF": 9, "TGA": 10,
    "WEBP": 24, "AVIF": 32, "HEIF": 32, "JPEG2000": 40, "JXL": 40,
}  # fmt: skip
OF_OTHER_FORMATS = 24  # some of their decoders are written in Python
OF_PROGRESSIVE = 7  # coefficients of the whole picture, at its full size


class Budget:
    """A number of bytes that threads share; whoever wants more than is left waits, first come first served.

    Parameters
    ----------
    total : int
        Bytes. Whoever wants more gets all of them.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._renew()

    @contextmanager
    def hold(self, wanted: int) -> Iterator[None]:
        """Hold so many bytes; a thread that holds some must not ask again."""
        wanted, ticket = min(wanted, self.total), object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._free < wanted:
                    self._changed.wait()
                self._free -= wanted
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._free = self.total


DECODING = Budget(BUDGET)
READING = Budget(1)  # of a large file

if hasattr(os, "register_at_fork"):  # the threads that hold them do not exist in a forked child
    os.register_at_fork(after_in_child=DECODING._renew)
    os.register_at_fork(after_in_child=READING._renew)


def most_pixels(name: str | None) -> int | None:
    """Return how many pixels a picture of a format may have, as a share of what Pillow trusts; None is any number."""
    if Image.MAX_IMAGE_PIXELS is None:
        return None
    per_pixel = BYTES_PER_PIXEL.get(name or "", OF_OTHER_FORMATS)
    return int(Image.MAX_IMAGE_PIXELS * min(1.0, BYTES_PER_PIXEL["JPEG"] / per_pixel))


def decoding_cost(image: Image.Image, full_size: tuple[int, int]) -> int:
    """Return the bytes that decoding takes at its peak; `full_size` is that before any scaling while decoding."""
    width, height = image.size
    cost = width * height * BYTES_PER_PIXEL.get(image.format or "", OF_OTHER_FORMATS)
    if image.info.get("progressive") or image.info.get("progression"):
        cost += full_size[0] * full_size[1] * OF_PROGRESSIVE
    return cost
