"""Which files are read, and why another is not."""

from __future__ import annotations

import os
import stat
import struct
from typing import BinaryIO

from PIL import Image, ImageFile

from sktl.images._budget import most_pixels
from sktl.images._errors import UnreadableError

# EPS and WMF are left out: Pillow reads them by running another program (Ghostscript) or the system's own renderer.
# HEIF and JXL are read once their plugin is registered. The last five know their files by little, so they come last.
FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "MPO", "AVIF", "BLP", "CUR", "DCX", "DDS", "DIB", "FITS", "FLI",
    "FTEX", "GBR", "HEIF", "ICNS", "ICO", "JPEG2000", "JXL", "MCIDAS", "MSP", "PCX", "PIXAR", "PSD", "QOI", "SGI",
    "SUN", "XBM", "XPM", "XVTHUMB", "IM", "IMT", "PCD", "SPIDER", "TGA",
)  # fmt: skip
LARGEST_ICON = 1024  # pixels a side
LARGEST_FILE = 2**28 + 2**24  # bytes; a picture of as many pixels as Pillow trusts is smaller without any compression

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of files of `FORMATS`, and of those that are read once a plugin or pydicom is there."""
    Image.init()
    read = {suffix for suffix, name in Image.EXTENSION.items() if name in FORMATS and name in Image.OPEN}
    return frozenset(read | {".heic", ".heif", ".hif", ".avif", ".jxl", ".dcm"})


def open_picture(file: BinaryIO) -> Image.Image:
    """Open an encoded picture with Pillow's own readers of `FORMATS`; pictures beyond its limit are refused."""
    Image.init()
    image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    try:
        check_extent(image)
    except UnreadableError:
        image.close()
        raise
    return image


def check_extent(image: Image.Image) -> None:
    """Refuse a picture whose pixels, once decoded, would be more than Pillow trusts."""
    most = most_pixels(image.format)
    if most is not None and image.size[0] * image.size[1] > most:
        raise UnreadableError(too_large(*image.size, image.format))
    if any(tile[0] == "fits_gzip" for tile in getattr(image, "tile", None) or ()):
        raise UnreadableError("compressed FITS, whose decoder knows no bound; save it without compression")


def check_embedded(image: Image.Image, data: bytes) -> None:
    """Refuse pictures that hold another one, PNG, JPEG 2000 or JPEG, of a size that their own header does not tell."""
    if image.format == "BLP":
        for tag in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2"):
            start = data.find(tag)
            while b"\xff\xd8" in data and start >= 0 and start + 9 <= len(data):
                height, width = struct.unpack_from(">HH", data, start + 5)
                if height > image.size[1] or width > image.size[0]:
                    raise UnreadableError(f"its header says {image.size}, but it holds {width} x {height} pixels")
                start = data.find(tag, start + 1)
    for tag in (b"IHDR", b"ihdr") if image.format in ("ICO", "ICNS", "CUR") else ():
        start = data.find(tag)
        while start >= 0 and start + 12 <= len(data):
            height, width = struct.unpack_from(">II", data, start + 4)  # or the other way about
            if height * width > LARGEST_ICON**2:
                raise UnreadableError(f"an icon that holds a picture of {width} x {height} pixels; save it as PNG")
            start = data.find(tag, start + 1)


def too_large(width: int, height: int, name: str | None = None) -> str:
    """Return why a picture of so many pixels is refused."""
    most = most_pixels(name)
    share = ""
    if name is not None and most is not None and most != Image.MAX_IMAGE_PIXELS:
        share = f" ({name} takes more memory to decode than JPEG or PNG: up to {most / 1e6:.3g} megapixels are read)"
    return f"decompression bomb: {width} x {height} pixels; raise PIL.Image.MAX_IMAGE_PIXELS if you trust it{share}"


def check_undecoded(image: Image.Image) -> None:
    """Refuse a PIL image that is yet to be decoded, if that would run a program or take more memory than is trusted."""
    if not isinstance(image, ImageFile.ImageFile) or getattr(image, "_im", None) is not None:
        return
    if isinstance(image, ImageFile.StubImageFile) or image.format in ("EPS", "WMF"):
        raise UnreadableError(why_unknown(b"%!PS" if image.format == "EPS" else b"", image.format or ""))
    check_extent(image)


def why_unknown(data: bytes, name: str = "") -> str:
    """Return what a file is that none of the readers takes, and what to do; `data` begins it."""
    if data[:4] in (b"%!PS", b"\xc5\xd0\xd3\xc6"):
        return "PostScript (EPS), which is not read since that would run another program; convert it to PNG"
    if data[:4] == b"\xd7\xcd\xc6\x9a" or name == "WMF":
        return "a Windows metafile, which holds drawing commands rather than pixels; convert it to PNG"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return "HEIC, which needs a plugin: pip install pillow-heif, then pillow_heif.register_heif_opener()"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "AVIF, which this Pillow was built without; pip install --upgrade pillow"
    if data[:2] == b"\xff\x0a" or data[:12] == b"\x00\x00\x00\x0cJXL \r\n\x87\n":
        return "JPEG XL, which needs a plugin: pip install pillow-jxl-plugin, then import pillow_jxl"
    if data[128:132] == b"DICM":
        return (
            "DICOM, which needs pydicom: pip install pydicom, then pass arrays, "
            "np.stack([pydicom.dcmread(path).pixel_array for path in paths])"
        )
    if name:
        return f"of format {name}, which is not read; convert it to PNG"
    return "not an image"


def open_file(path: str) -> BinaryIO:
    """Open a regular file; pipes and devices, which may never end or never begin, are refused."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("not a regular file (a pipe, device or socket)")
        if status.st_size > LARGEST_FILE:
            raise UnreadableError(
                f"{status.st_size / 2**20:.0f} MiB long; files of at most {LARGEST_FILE // 2**20} MiB are read. "
                "Save it with compression or smaller"
            )
    except UnreadableError:
        file.close()
        raise
    return file


def read_file(file: BinaryIO) -> bytes:
    """Return the bytes of an opened file, no more than `LARGEST_FILE` even where it grows meanwhile."""
    return file.read(min(LARGEST_FILE, os.fstat(file.fileno()).st_size))


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would wait for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
