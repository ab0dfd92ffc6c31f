"""Every public estimator of the library goes through scikit-learn's checks, in one of the files of the contract."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from pathlib import Path

import sktl

TESTS = Path(__file__).resolve().parent
FILES = sorted([*TESTS.rglob("test_*contract*.py"), TESTS / "features" / "test_codes_classifier.py"])


def public_classes():
    """Return all classes with a `fit` in any `__all__` of the library."""
    found = {}
    for part in pkgutil.walk_packages(sktl.__path__, "sktl."):
        if any(name.startswith("_") for name in part.name.split(".")):
            continue
        module = importlib.import_module(part.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isclass(value) and hasattr(value, "fit") and not inspect.isabstract(value):
                found[value] = f"{part.name}.{name}"
    return found


def class_of(estimator):
    """Return the class that is checked; a test's own stands for the one whose rows are no numbers."""
    return getattr(estimator, "stands_for", type(estimator))


def checked_classes():
    found = set()
    for i, path in enumerate(FILES):
        if path == Path(__file__).resolve():
            continue
        spec = importlib.util.spec_from_file_location(f"contract_of_{i}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            for mark in getattr(module.test_scikit_learn_checks, "pytestmark", ()):
                found |= {class_of(case[0]) for case in mark.args[1]} if mark.name == "parametrize" else set()
        finally:
            del sys.modules[spec.name]
    return found


def test_every_public_estimator_is_checked():
    checked = checked_classes()
    assert len(checked) > 20
    missing = {name for cls, name in public_classes().items() if cls not in checked}
    assert not missing
