"""Pictures in files, in encoded bytes and in PIL images, of any sizes."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext

import numpy as np
import torch
import xxhash
from PIL import Image

from sktl._preprocessing import Preprocessing
from sktl._torch_datasets import DatasetPicture
from sktl.images._array_source import ArraySource
from sktl.images._budget import LARGE_FILE, READING
from sktl.images._decode import as_found, decode_bytes, decode_image, load, why_unreadable
from sktl.images._encoded import EncodedPicture
from sktl.images._errors import UnreadableError, bad_images
from sktl.images._formats import LARGEST_FILE, check_undecoded, open_file, open_picture, read_file
from sktl.images._pixels import over_ground
from sktl.images._resample import write_scaled
from sktl.images._shapes import picture_layout
from sktl.images._source import PictureSource
from sktl.images._threads import map_threaded
from sktl.images._urls import is_url, read_url

_HEADER_BYTES = 2**16
LONGEST_NAME = 300  # characters; beyond that it is cut in messages


class ItemSource(PictureSource):
    """Pictures given as file paths, encoded bytes, PIL images, or a mix of these.

    Pictures come in RGB and upright: EXIF orientation is applied, transparency is composited over white (over black if
    all that is seen is white), and pixels of 16 bits are scaled to 8. Large JPEGs are decoded at 1/2, 1/4 or 1/8 of
    their size where that leaves at least twice the height and width that scaling goes to; the result differs by less
    than a grey level on average.

    Parameters
    ----------
    items : sequence of str, path-like, PIL.Image.Image, EncodedPicture or DatasetPicture
        The pictures.
    value_range : (float, float), default=None
        What is black and white in pixels of more than 8 bits; None is 0 and 65535, or 0.0 and 1.0 for floats.

    Examples
    --------
    >>> from PIL import Image
    >>> from sktl.backbones import Preprocessing
    >>> from sktl.images import as_pictures
    >>> source = as_pictures([Image.new("RGB", (640, 480)), Image.new("L", (32, 32))])
    >>> source.batch([0, 1], Preprocessing()).shape
    torch.Size([2, 3, 224, 224])
    """

    def __init__(
        self,
        items: Sequence[str | os.PathLike | Image.Image | EncodedPicture | DatasetPicture],
        *,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.kind = "items"
        self.shape = None
        self._items = tuple(
            item if isinstance(item, (Image.Image, EncodedPicture, DatasetPicture)) else os.fsdecode(item)
            for item in items
        )
        self._value_range = value_range
        self._scale = b"" if value_range is None else f"{value_range!r}\0".encode()

    def __len__(self) -> int:
        return len(self._items)

    def subset(self, indices: np.ndarray) -> PictureSource:
        """Return a source of some of the pictures."""
        return ItemSource([self._items[int(i)] for i in indices], value_range=self._value_range)

    def check(self, n_jobs: int | None = None) -> None:
        """Raise one `BadImageError` that names every file that is absent, empty, no image or too large to trust."""
        reasons = map_threaded(self._header_fault, range(len(self)), n_jobs)
        failures = {i: reason for i, reason in enumerate(reasons) if reason is not None}
        if failures:
            raise bad_images(failures, len(self))

    def read(self, i: int) -> bytes | Image.Image | np.ndarray:
        """Return the bytes of file `i`, PIL image `i`, or the pixels (H, W, C) of a data set's tensor `i`."""
        item = self._items[i]
        if isinstance(item, Image.Image):
            return item
        try:
            return self._loaded(i, item) if isinstance(item, DatasetPicture) else _bytes_of(item)
        except UnreadableError as error:
            raise bad_images({i: self._named(i, error)}, len(self)) from error

    def digest(self, i: int, raw: bytes | np.ndarray | Image.Image | None = None) -> bytes:
        """Return 16 bytes that name the bytes of file `i`, or all that shows in PIL image `i`."""
        raw = self.read(i) if raw is None else raw
        try:
            return self._digest_of(raw if isinstance(raw, (Image.Image, np.ndarray)) else bytes(raw))
        except UnreadableError as error:
            raise bad_images({i: self._named(i, error)}, len(self)) from error

    def digests(self, start: int, stop: int, n_jobs: int | None = None) -> list[bytes]:
        """Return the digests of pictures `start` to `stop`, `stop` left out; all that fail are named in one error."""
        failures: dict[int, str] = {}

        def digest(i: int) -> bytes:
            try:
                item = self._items[i]
                if isinstance(item, DatasetPicture):
                    return self._digest_of(self._loaded(i, item))
                if isinstance(item, Image.Image):
                    return self._digest_of(item)
                with _held(item):
                    return self._digest_of(_bytes_of(item))
            except UnreadableError as error:
                failures[i] = self._named(i, error)
                return b""

        found = map_threaded(digest, range(start, stop), n_jobs)
        if failures:
            raise bad_images(failures, len(self))
        return found

    def write(self, out: np.ndarray, indices: np.ndarray, preprocessing: Preprocessing, *, draft: bool = True) -> None:
        """Write the pictures `indices` into the uint8 array `out` (b, h, w, 3)."""
        for slot, i in enumerate(map(int, indices)):
            with ExitStack() as held:
                try:
                    pixels, size = self._decoded(i, held, preprocessing if draft else None)
                except UnreadableError as error:
                    raise bad_images({i: self._named(i, error)}, len(self)) from error
                write_scaled(out[slot : slot + 1], pixels[None], preprocessing, size)
                del pixels

    def failures(
        self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, n_jobs: int | None
    ) -> dict[int, str]:
        """Return what is wrong with each of `indices` that cannot be decoded."""

        def fault(i: int) -> str | None:
            try:
                with ExitStack() as held:
                    self._decoded(i, held, preprocessing)
            except UnreadableError as error:
                return self._named(i, error)
            return None

        reasons = map_threaded(fault, indices, n_jobs)
        return {int(i): reason for i, reason in zip(indices, reasons, strict=True) if reason is not None}

    def task_size(self, preprocessing: Preprocessing, batch_size: int, n_threads: int) -> int:
        """Return 1: pictures take differently long, and small batches must keep every thread busy."""
        return 1

    def _decoded(
        self, i: int, held: ExitStack, preprocessing: Preprocessing | None
    ) -> tuple[np.ndarray, tuple[int, int]]:
        given = self._items[i]
        item = self._loaded(i, given) if isinstance(given, DatasetPicture) else given
        if isinstance(item, np.ndarray):
            pixels = over_ground(item[None])[0] if item.shape[2] == 4 else item
            return pixels, pixels.shape[:2]
        if isinstance(item, Image.Image):
            pixels = decode_image(item, held, self._value_range)
            return pixels, pixels.shape[:2]
        with _held(item):
            return decode_bytes(_bytes_of(item), held, preprocessing, self._value_range)

    def _loaded(self, i: int, item: DatasetPicture) -> Image.Image | np.ndarray:
        """Return picture `i` of a data set: a PIL image, or uint8 pixels (H, W, C)."""
        try:
            picture = item.load()
        except (OSError, SyntaxError) as error:  # what Pillow raises for files that are damaged
            raise UnreadableError(str(error)) from error
        if isinstance(picture, Image.Image):
            check_undecoded(picture)
            return picture
        name, shape = f"X[{i}]", (1, *getattr(picture, "shape", ()))
        layout = picture_layout(shape, is_tensor=isinstance(picture, torch.Tensor), name=name)
        return ArraySource(picture[None], layout, value_range=self._value_range, name=name).pixels(0)

    def _digest_of(self, raw: bytes | Image.Image | np.ndarray) -> bytes:
        if isinstance(raw, np.ndarray):
            return _digest_bytes(np.ascontiguousarray(raw).tobytes(), f"{raw.shape!r} pixels\0".encode())
        return _digest_image(raw, self._scale) if isinstance(raw, Image.Image) else _digest_bytes(raw, self._scale)

    def _named(self, i: int, error: UnreadableError) -> str:
        item = self._items[i]
        if isinstance(item, DatasetPicture):
            return f"item {item.index} of {type(item.dataset).__name__}: {error}"
        if isinstance(item, Image.Image):
            return f"PIL image: {error}"
        if isinstance(item, EncodedPicture):
            return f"{item.origin}: {error}"
        if len(item) <= LONGEST_NAME and "\n" not in item:
            return f"{item}: {error}"
        return f"{' '.join(item[:60].split())}...: {error}; it looks like text: use sklearn's TfidfVectorizer for that"

    def _header_fault(self, i: int) -> str | None:
        item = self._items[i]
        if isinstance(item, DatasetPicture) or is_url(item):  # nothing to look at before it is decoded, or dear to ask
            return None
        try:
            if not isinstance(item, Image.Image):
                _check_header(item)
            elif 0 in item.size:
                raise UnreadableError(f"no pixels: its size is {item.size[0]} x {item.size[1]}")
            else:
                check_undecoded(item)
        except UnreadableError as error:
            return self._named(i, error)
        return None


def _held(path: str | EncodedPicture) -> AbstractContextManager[None]:
    """Let one large file be in memory at a time; those of others are no matter."""
    if isinstance(path, EncodedPicture) or is_url(path):
        return nullcontext()
    try:
        is_large = os.path.getsize(path) > LARGE_FILE
    except (OSError, ValueError):  # said when it is opened
        is_large = False
    return READING.hold(1) if is_large else nullcontext()


def _bytes_of(item: str | EncodedPicture) -> bytes:
    if not isinstance(item, EncodedPicture):
        return _read_file(item)
    if len(item.data) > LARGEST_FILE:
        raise UnreadableError(f"more than {LARGEST_FILE // 2**20} MiB long")
    return item.data


def _read_file(path: str) -> bytes:
    if is_url(path):
        return read_url(path)
    try:
        with open_file(path) as file:
            return read_file(file)
    except UnreadableError:
        raise
    except (OSError, ValueError) as error:
        raise UnreadableError(_why_unopened(error, path)) from error


def _why_unopened(error: Exception, path: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    # Windows reports a directory as a lack of permission.
    if isinstance(error, IsADirectoryError) or (isinstance(error, OSError) and os.path.isdir(path)):
        return "is a directory"
    return (getattr(error, "strerror", None) or str(error)).lower()


def _check_header(path: str | EncodedPicture) -> None:
    header = b""
    try:
        with io.BytesIO(_bytes_of(path)) if isinstance(path, EncodedPicture) else open_file(path) as file:
            header = file.read(_HEADER_BYTES)
            if not header:
                raise UnreadableError("empty file" if isinstance(path, str) else "no bytes")
            file.seek(0)
            with open_picture(file):
                pass
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:
        reason = why_unreadable(error, header) if header else _why_unopened(error, str(path))
        raise UnreadableError(reason) from error


def _digest_bytes(data: bytes, scale: bytes) -> bytes:
    state = xxhash.xxh3_128(b"sktl picture in a file\0" + scale)
    state.update(data)
    return state.digest()


def _digest_image(image: Image.Image, scale: bytes) -> bytes:
    with ExitStack() as held:
        image = as_found(image)
        orientation = load(image, held)
        # Not getpalette(None): converting an image to RGBA leaves its transparency in the palette's alpha.
        has_alpha = image.palette is not None and image.palette.mode.endswith("A")
        palette = bytes(image.getpalette("RGBA" if has_alpha else "RGB") or ())
        shows = (image.mode, image.size, palette, image.info.get("transparency"), orientation)
        state = xxhash.xxh3_128(f"sktl picture in PIL {shows!r}\0".encode() + scale)
        state.update(np.ascontiguousarray(np.asarray(image)).data)
        return state.digest()
