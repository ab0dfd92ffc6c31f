"""What the reader of README and of the guide has: picture files of two classes, and their labels."""

import numpy as np
from PIL import Image


def pictures(folder):
    """Write 24 pictures of stripes and dots; return what the blocks call them."""
    rng = np.random.default_rng(0)
    paths, labels = [], []
    for i in range(24):
        label = ("stripes", "dots")[i % 2]
        pixels = rng.integers(0, 60, (72, 96, 3), dtype=np.uint8)
        if label == "stripes":
            pixels[:, :: rng.integers(4, 9)] = 220
        else:
            pixels[:: rng.integers(5, 9), :: rng.integers(5, 9)] = 220
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(pixels).save(paths[-1])
        labels.append(label)
    return {"paths": paths, "labels": labels, "more_paths": paths[:4]}
