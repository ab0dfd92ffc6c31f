"""README's blocks run as they stand, one after another, as its reader would run them."""

import re
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the reader has: picture files of two classes, and their labels."""
    folder = tmp_path_factory.mktemp("pictures")
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


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        exec(compile(textwrap.dedent(BLOCKS[number]), f"README block {number}", "exec"), names)


def test_the_blocks_do_what_the_text_says(names):
    assert set(names["pipeline"].predict(names["more_paths"])) <= {"stripes", "dots"}
    assert names["scores"].mean() > 0.7
    assert names["codes"].shape == (10, 16)
    assert names["search"].best_score_ > 0.7
    assert names["choice"].best_score_ > 0.7


def test_codes_are_classified_in_one_way():
    recipes = [block for block in BLOCKS if "make_codes_classifier(" in block]
    assert len(recipes) >= 4
    assert not any("Scaler" in block or "LogisticRegression(" in block for block in recipes)


def test_the_two_commands_name_what_exists():
    commands = re.findall(r"^```console\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\.\[(\w+)\]", "".join(commands))) <= set(extras)
    assert (ROOT / "examples" / "plot_quickstart.py").is_file()
    assert "python -m pytest" in (ROOT / ".ci" / "run").read_text()
