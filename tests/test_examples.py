"""Every example runs offline and draws its figure."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
QUICKSTART = EXAMPLES / "plot_quickstart.py"

pytest.importorskip("matplotlib", reason="the examples draw by matplotlib, an optional package")


def run(example, *arguments, folder):
    """Run an example in `folder` as a user would, without a display."""
    env = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(EXAMPLES.parent)}
    env.pop("SKTL_DATA", None)
    command = [sys.executable, "-W", "error::UserWarning:__main__", str(example), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)


def write_pictures(folder, classes, n=4):
    rng = np.random.default_rng(0)
    for number, label in enumerate(classes):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            picture = rng.integers(0, 100, (40, 50, 3), dtype=np.uint8) + np.uint8(100 * (number % 2))
            Image.fromarray(picture).save(folder / label / f"{i}.{'png' if i else 'JPG'}")
    return folder


def assert_figure(path):
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert path.stat().st_size > 20_000


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("plot_*.py")), ids=lambda path: path.stem)
def test_example_draws_its_figure(example, tmp_path):
    done = run(example, "--quick", "--output", "figure.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_figure(tmp_path / "figure.png")
    assert example.read_text().startswith('"""\n====')  # the gallery's form: a title, then what the example shows


def test_quickstart_on_own_pictures(tmp_path):
    folder = write_pictures(tmp_path / "mine", ["dark", "light"])
    (folder / "dark" / "notes.txt").write_text("not a picture")
    (folder / "README.md").write_text("nor a class")
    (folder / "empty").mkdir()
    done = run(QUICKSTART, "--quick", "--images", folder, "--image-size", 64, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_figure(tmp_path / "quickstart.png")


@pytest.mark.parametrize(
    ("classes", "n", "message"),
    [(["only"], 4, "at least two classes"), (["one", "two"], 1, "at least two pictures")],
)
def test_quickstart_refuses_what_it_cannot_learn_from(classes, n, message, tmp_path):
    done = run(QUICKSTART, "--images", write_pictures(tmp_path / "mine", classes, n), folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_quickstart_names_files_that_are_no_pictures(tmp_path):
    folder = write_pictures(tmp_path / "mine", ["one", "two"])
    (folder / "one" / "broken.jpg").write_bytes(b"no picture at all")
    done = run(QUICKSTART, "--images", folder, folder=tmp_path)
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_quickstart_names_a_missing_folder(tmp_path):
    done = run(QUICKSTART, "--images", "nowhere", folder=tmp_path)
    assert done.returncode == 1
    assert "there is no such folder" in done.stderr
