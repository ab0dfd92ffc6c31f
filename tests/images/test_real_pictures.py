"""Photographs of ants and bees, against PIL and torchvision."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from sktl._preprocessing import Preprocessing
from sktl.images import as_pictures, iter_batches

ROOT = Path(__file__).parents[2]
FOLDER = (ROOT / os.environ.get("SKTL_DATA", "../shared/data") / "hymenoptera").resolve()
needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the pictures in {FOLDER} (see SKTL_DATA)")


@needs_data
def test_all_of_them_are_read():
    source = as_pictures(sorted(path for path in FOLDER.rglob("*") if path.suffix in (".jpg", ".jpeg")))
    source.check()
    total = sum(len(batch) for _, batch in iter_batches(source, Preprocessing(), batch_size=32, n_jobs=2))
    assert total == len(source) > 300
    assert len(set(source.digests(0, total))) > 300


@needs_data
def test_a_few_against_torchvision():
    paths = sorted((FOLDER / "val").rglob("*.jpg"))[::30]
    reference = Compose([Resize(256), CenterCrop(224)])
    batch = as_pictures(paths).batch(range(len(paths)), Preprocessing()).permute(0, 2, 3, 1).numpy().astype(int)
    for path, found in zip(paths, batch, strict=True):
        with Image.open(path) as image:
            expected = np.asarray(reference(image.convert("RGB"))).astype(int)
        difference = np.abs(found - expected)
        assert difference.mean() < 0.1
        assert difference.max() <= 2
