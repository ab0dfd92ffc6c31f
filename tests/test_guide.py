"""The blocks of the user guide run as they stand, one page after another, as their reader would run them."""

import re
from pathlib import Path

import pytest
import torch

from tests.pictures_of_readers import pictures

DOC = Path(__file__).resolve().parent.parent / "doc"
PAGES = [DOC / "index.md", *sorted((DOC / "guide").glob("*.md"))]
NOT_RUN = [DOC / "recipes.md", DOC / "coming_from.md"]  # peers, clusters and folders of the reader's own


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_blocks_run(page, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(given)
    with torch.random.fork_rng(devices=[]):
        for number, block in enumerate(blocks(page)):
            exec(compile(block, f"{page.name}, block {number}", "exec"), names)
    if "scores" in names:
        assert names["scores"].mean() > 0.7
    for search in ("search", "choice"):
        if search in names:
            assert names[search].best_score_ > 0.7
    if "codes" in names:
        assert names["codes"].shape == (10, 16)


@pytest.mark.parametrize("page", NOT_RUN, ids=lambda page: page.stem)
def test_other_blocks_are_python(page):
    assert blocks(page)
    for number, block in enumerate(blocks(page)):
        compile(block, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize("page", NOT_RUN, ids=lambda page: page.stem)
def test_other_blocks_name_what_exists(page):
    """Classes of sktl that a block calls have the parameters that it gives."""
    import inspect

    import sktl.aligners
    import sktl.fewshot

    checked = 0
    for block in blocks(page):
        for name, arguments in re.findall(r"\b([A-Z]\w+)\(([^()]*)\)", block):
            kind = next((getattr(m, name) for m in (sktl, sktl.fewshot, sktl.aligners) if hasattr(m, name)), None)
            if kind is not None:
                given = set(re.findall(r"(\w+)=", arguments))
                assert given <= set(inspect.signature(kind).parameters), f"{name}({arguments})"
                checked += 1
    assert checked > 3


def test_codes_are_classified_in_one_way():
    pages = [DOC / "index.md", DOC / "guide" / "codes.md"]
    recipes = [block for page in pages for block in blocks(page) if "make_codes_classifier(" in block]
    assert len(recipes) >= 4
    assert not any("Scaler" in block or "LogisticRegression(" in block for block in recipes)
