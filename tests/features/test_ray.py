"""The recipe for Ray Data gives the codes that one process gives."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sktl import CNNCodesTransformer

pytest.importorskip("ray.data", reason="Ray Data is another engine, which the library does not bring")
RECIPES = Path(__file__).resolve().parents[2] / "doc" / "recipes.md"


@pytest.fixture
def generator_that_ray_draws_from():
    before = random.getstate()
    yield
    random.setstate(before)


def test_the_recipe(tmp_path, monkeypatch, generator_that_ray_draws_from):
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i}.png")
    (block,) = re.findall(r"## Codes with Ray Data\n\n```python\n(.*?)```", RECIPES.read_text("utf-8"), re.DOTALL)
    block = block.replace("s3://bucket/pictures", str(tmp_path / "pictures")).replace("concurrency=4", "concurrency=1")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    try:
        held = {"CNNCodesTransformer": CNNCodesTransformer}
        exec(block.replace('"codes"', repr(str(tmp_path / "codes"))), held)
        rows = ray.data.read_parquet(str(tmp_path / "codes")).take_all()
    finally:
        ray.shutdown()
    rows.sort(key=lambda row: row["path"])
    found = np.stack([row["code"] for row in rows])
    assert np.allclose(found, CNNCodesTransformer().transform(pictures), atol=1e-3)
