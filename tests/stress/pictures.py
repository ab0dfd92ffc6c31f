"""Damaged pictures: a right-sized batch or a BadImageError, never another error, a crash, a hang or too much memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.stress._result import Result

SIDE = 48
AT_ONCE = 250  # cases a process; where it dies, its last words name the case
SECONDS = 300
LIMIT = 10**9  # bytes above what the process takes at first
SAVED = [
    ("png", "RGB", {}), ("png", "RGBA", {}), ("png", "P", {}), ("png", "I;16", {}), ("png", "1", {}),
    ("jpg", "RGB", {}), ("jpg", "L", {}), ("jpg", "CMYK", {}), ("jpg", "RGB", {"progressive": True}),
    ("webp", "RGB", {}), ("webp", "RGBA", {"lossless": True}), ("gif", "P", {}), ("bmp", "RGB", {}), ("bmp", "P", {}),
    ("tif", "RGB", {}), ("tif", "RGB", {"compression": "tiff_lzw"}), ("tif", "L", {"compression": "jpeg"}),
    ("tif", "I;16", {}), ("tif", "F", {}), ("tif", "1", {"compression": "group4"}), ("ico", "RGBA", {}),
    ("ppm", "RGB", {}), ("tga", "RGB", {"compression": "tga_rle"}), ("pcx", "P", {}), ("dds", "RGBA", {}),
    ("avif", "RGB", {}), ("jp2", "RGB", {}), ("qoi", "RGB", {}), ("sgi", "RGB", {}), ("icns", "RGBA", {}),
]  # fmt: skip
LIES = (0, 1, 2**14 - 1, 2**15, 2**16 - 1, 60_000, 2**31 - 1, 2**32 - 1)  # sides that a header may claim


def run(count: int, seed: int) -> Result:
    """Damage `count` pictures and read each one, some hundreds in a process of their own."""
    result = Result("damaged pictures")
    for start in range(0, count, AT_ONCE):
        stop = min(count, start + AT_ONCE)
        words = [sys.executable, "-m", "tests.stress.pictures", str(seed), str(start), str(stop)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
            lines, code = done.stdout.splitlines(), done.returncode
        except subprocess.TimeoutExpired as error:
            lines, code = (error.stdout or b"").decode().splitlines(), f"a hang of {SECONDS} s"
        for line in lines:
            if line.startswith("violation "):
                result.count(f"seed {seed}, {line.removeprefix('violation ')}")
            elif line.startswith("held "):
                result.count()
        if code:
            result.count(f"seed {seed}: after {lines[-1:]}, the process ended with {code}: {done.stderr[-300:]}")
    return result


def damaged(seed: int, case: int) -> tuple[str, bytes, str]:
    """Return the name of a damaged picture's file, its bytes, and what was done to it."""
    rng = np.random.default_rng([seed, case])
    name, mode, options = SAVED[rng.integers(len(SAVED))]
    try:
        data = bytearray(_saved(name, mode, options, rng))
    except (KeyError, OSError, ValueError, AttributeError):  # a writer that this Pillow lacks
        name, mode = "png", "RGB"
        data = bytearray(_saved(name, mode, {}, rng))
    kind = ("flips", "early flips", "cut", "lie", "extension", "tail")[rng.integers(6)]
    if kind in ("flips", "early flips"):
        end = len(data) if kind == "flips" else min(len(data), 200)
        for place in rng.integers(0, end, rng.integers(1, 20)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[rng.integers(len(data)) :]
    elif kind == "tail":
        data += rng.bytes(int(rng.integers(1, 5000)))
    elif kind == "lie":
        _lie(data, name, rng)
    extension = SAVED[rng.integers(len(SAVED))][0] if kind == "extension" else name
    return f"{case}.{extension}", bytes(data), f"{kind} of {name} {mode}"


def _saved(name: str, mode: str, options: dict, rng: np.random.Generator) -> bytes:
    values = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    values[: SIDE // 2] = 200
    image = Image.fromarray(values)
    image = image.convert("L").convert(mode) if mode in ("I;16", "F") else image.convert(mode)
    if mode == "F":
        image = image.point(lambda value: value * (1 / 255) + 0)
    out = io.BytesIO()
    Image.init()
    image.save(out, format=Image.EXTENSION[f".{name}"], **options)
    return out.getvalue()


def _lie(data: bytearray, name: str, rng: np.random.Generator) -> None:
    """Write other sides into the header, with a checksum that fits."""
    width, height = (int(side) for side in rng.choice(LIES, 2))
    if name == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        return
    if name == "gif":
        for place in (6, data.find(b",") + 5):
            data[place : place + 4] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        return
    found = False  # anywhere else: wherever the true side stands, in either order of bytes, of two or of four
    for code in (">I", "<I", ">H", "<H"):
        place = data.find(struct.pack(code, SIDE) * 2)
        if place >= 0 and not found:
            most = 2 ** (8 * struct.calcsize(code)) - 1
            step = struct.calcsize(code)
            data[place : place + 2 * step] = struct.pack(code, width & most) + struct.pack(code, height & most)
            found = True
    if not found:
        for code in (">I", "<I", ">H", "<H"):
            place = data.find(struct.pack(code, SIDE))
            if place >= 0:
                most = 2 ** (8 * struct.calcsize(code)) - 1
                data[place : place + struct.calcsize(code)] = struct.pack(code, width & most)
                return


def _attack(seed: int, start: int, stop: int) -> None:
    """Read damaged pictures, a line for each."""
    import resource
    import warnings

    from sktl.backbones import Preprocessing
    from sktl.exceptions import BadImageError
    from sktl.images import as_pictures

    seen = Preprocessing(size=(32, 32))

    def peak() -> int:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    first = peak()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for case in range(start, stop):
            name, data, what = damaged(seed, case)
            path = Path(folder, name)
            path.write_bytes(data)
            print(f"case {case}: {what}", flush=True)
            source, violation = as_pictures([path]), None
            for step in (source.check, lambda s=source: s.batch([0], seen), lambda s=source: s.digest(0)):
                try:
                    step()
                except BadImageError:
                    pass
                except BaseException as error:
                    violation = f"{type(error).__name__}: {error}"
            try:
                with warnings.catch_warnings():
                    image = Image.open(path)
            except Exception:  # Pillow's own
                image = None
            try:
                if image is not None:
                    as_pictures([image]).batch([0], seen)
            except BadImageError:
                pass
            except BaseException as error:
                violation = f"as a PIL image, {type(error).__name__}: {error}"
            if peak() - first > LIMIT:
                violation, first = f"a peak of {(peak() - first) / 1e6:.0f} MB", peak()
            print(f"violation case {case}, {what}: {violation}" if violation else f"held {case}", flush=True)
            path.unlink()


if __name__ == "__main__":
    _attack(*map(int, sys.argv[1:]))
