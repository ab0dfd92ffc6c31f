"""What users call stands in `__all__`, is described, and shows an example; machinery is kept out."""

import importlib
import inspect
import pkgutil

import pytest

import sktl

PACKAGES = ["sktl"] + [f"sktl.{found.name}" for found in pkgutil.iter_modules(sktl.__path__) if found.name[0] != "_"]
NAMES = [(package, name) for package in PACKAGES for name in getattr(importlib.import_module(package), "__all__", ())]


@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda value: value)
def test_described(package, name):
    found = getattr(importlib.import_module(package), name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert inspect.getdoc(found)
        shows_use = not inspect.isabstract(found) and not (inspect.isclass(found) and issubclass(found, BaseException))
        if shows_use and name not in ("DomainScorer", "LayerTable"):  # a base class, and what `list_layers` returns
            assert ">>>" in found.__doc__


@pytest.mark.parametrize("package", PACKAGES)
def test_lists_are_whole(package):
    module = importlib.import_module(package)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert not [name for name in module.__all__ if not hasattr(module, name)]


def test_machinery_is_kept_out():
    assert not {name for _, name in NAMES} & {
        "TrainingNet",
        "Step",
        "Suffix",
        "CodeRecipe",
        "PictureSource",
        "TaskState",
    }
