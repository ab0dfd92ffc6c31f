"""The examples in docstrings run, and show what they say."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import sktl

MODULES = [found.name for found in pkgutil.walk_packages(sktl.__path__, "sktl.")]
EXAMPLES = [
    test
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    with torch.random.fork_rng(devices=[]):  # the user's own networks draw their first weights from it
        runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


def test_examples_are_found():
    assert len(EXAMPLES) > 90
