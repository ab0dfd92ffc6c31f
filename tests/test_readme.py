"""README's blocks run as they stand, one after another, as its reader would run them."""

import re
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch

from tests.pictures_of_readers import pictures

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the reader has: picture files of two classes, and their labels."""
    return pictures(tmp_path_factory.mktemp("pictures"))


def run_up_to(number, names, folder, monkeypatch):
    """Run the blocks up to this one that have not run here: another process may have had those before."""
    monkeypatch.chdir(folder)
    done = names.setdefault("blocks that have run", [])
    with torch.random.fork_rng(devices=[]):
        for one in range(len(done), number + 1):
            exec(compile(textwrap.dedent(BLOCKS[one]), f"README block {one}", "exec"), names)
            done.append(one)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, names, tmp_path, monkeypatch):
    run_up_to(number, names, tmp_path, monkeypatch)


def test_the_blocks_do_what_the_text_says(names, tmp_path, monkeypatch):
    assert len(BLOCKS) >= 3
    run_up_to(len(BLOCKS) - 1, names, tmp_path, monkeypatch)
    assert set(names["pipeline"].predict(names["more_paths"])) <= {"stripes", "dots"}
    assert names["adapted"].score(names["X_target"], (names["X_target"][:, 0] > 0.5).astype(int)) > 0.7
    assert "another" in names["shots"].classes_


def test_codes_are_classified_in_one_way():
    assert "make_codes_classifier(" in TEXT
    assert not any("Scaler" in block or "LogisticRegression(" in block for block in BLOCKS)


def test_the_two_commands_name_what_exists():
    commands = re.findall(r"^```console\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\.\[(\w+)\]", "".join(commands))) <= set(extras)
    assert (ROOT / "examples" / "plot_quickstart.py").is_file()
    assert "python -m pytest" in (ROOT / ".ci" / "run").read_text()
