"""How much memory the largest picture that is accepted takes, in each format: no more than 1 GB."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.stress._result import Result

LIMIT = 10**9  # bytes above what the process takes without the picture
FORMATS = ("png", "webp", "jpg", "tif", "bmp", "gif", "ppm", "tga", "avif", "jp2")
KINDS = ("RGBA", "RGB", "L", "P", "I;16", "progressive")

WRITE = """
import sys
import numpy as np
from PIL import Image
from sktl.images._budget import most_pixels
path, kind, name, share = sys.argv[1:]
Image.init()
side = int((float(share) * most_pixels(Image.EXTENSION["." + name])) ** 0.5) // 16 * 16
mode = {"progressive": "RGB"}.get(kind, kind)
tile = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).convert(mode)
picture = Image.new(mode, (side, side))
picture.paste(tile, (side // 2, side // 2))
options = {"progressive": {"progressive": True}}.get(kind, {})
if name == "webp": options = {"method": 0, "lossless": mode != "RGB"}
if name == "tif": options = {"compression": "tiff_deflate", "tiffinfo": {278: side}}
picture.save(path, **options)
"""
READ = """
import resource, sys
import torch
from sktl.backbones import Preprocessing
from sktl.images import as_pictures
seen, draft = Preprocessing(), sys.argv[2] == "draft"
as_pictures([sys.argv[3]]).batch([0], seen, draft=draft)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
threads = int(sys.argv[4])
from sktl.images import iter_batches
for _ in iter_batches(as_pictures([sys.argv[1]] * threads), seen, batch_size=threads, n_jobs=threads, draft=draft): pass
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def run(count: int, seed: int) -> Result:
    """Measure `count` pairs of a format and a kind of pixels, one picture and four threads in turn."""
    result = Result("picture peaks")
    rng = np.random.default_rng(seed)
    pairs = [(name, kind) for name in FORMATS for kind in KINDS]
    for case in rng.permutation(len(pairs))[:count]:
        name, kind = pairs[case]
        for threads in (1, 4):
            peak = measured(name, kind, threads=threads)
            if peak is not None:
                too_much = peak > LIMIT
                where = f"{name} of {kind} in {threads} threads: {peak / 1e6:.0f} MB"
                result.count(where if too_much else None)
    return result


def measured(name: str, kind: str, *, threads: int = 1, share: float = 1.0, draft: bool = False) -> int | None:
    """Return the bytes at the peak for a picture of `share` of the most pixels; None where it cannot be written."""
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder, f"large.{name}"), Path(folder, "small.png")
        written = subprocess.run([sys.executable, "-c", WRITE, str(path), kind, name, str(share)], capture_output=True)
        if written.returncode:
            return None
        from PIL import Image

        Image.new("RGB", (300, 300)).save(small)
        words = [str(path), "draft" if draft else "full", str(small), str(threads)]
        done = subprocess.run([sys.executable, "-c", READ, *words], capture_output=True, text=True)
        if "BadImageError" in done.stderr:  # refused
            return None
        if done.returncode:
            raise RuntimeError(f"{name} of {kind}: {done.stderr[-500:]}")
        return int(done.stdout)


if __name__ == "__main__":
    for name in sys.argv[1:] or FORMATS:
        for kind in KINDS:
            peak = measured(name, kind)
            if peak is not None:
                print(f"{name} {kind}: {peak / 1e6:.0f} MB", flush=True)
