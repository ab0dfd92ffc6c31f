"""Diagrams link to the pages of the documentation, under the names by which users import."""

import importlib
import inspect
import pkgutil

import pytest
from sklearn.base import BaseEstimator

import sktl
from sktl import CNNCodesTransformer
from sktl._documented import VARIABLE, Documented, public_module

PACKAGES = [f"sktl.{found.name}" for found in pkgutil.iter_modules(sktl.__path__) if found.name[0] != "_"]
ESTIMATORS = [
    (package, kind)
    for package in PACKAGES
    for name in getattr(importlib.import_module(package), "__all__", ())
    if inspect.isclass(kind := getattr(importlib.import_module(package), name)) and issubclass(kind, BaseEstimator)
]


@pytest.mark.parametrize(("package", "kind"), ESTIMATORS, ids=lambda value: getattr(value, "__name__", value))
def test_every_estimator_has_a_page(package, kind):
    assert issubclass(kind, Documented)
    assert public_module(kind) == package


def test_estimators_are_found():
    assert len(ESTIMATORS) > 30


def test_the_diagram_links_to_the_page(monkeypatch):
    monkeypatch.setenv(VARIABLE, "https://docs.example/sktl/")
    link = "https://docs.example/sktl/api/generated/sktl.features.CNNCodesTransformer.html"
    assert CNNCodesTransformer()._get_doc_link() == link
    assert link in CNNCodesTransformer()._repr_html_()


def test_no_address_no_link(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sktl._documented._published", lambda: "")
    assert CNNCodesTransformer()._get_doc_link() == ""
    assert "/api/generated/" not in CNNCodesTransformer()._repr_html_()


def test_the_address_of_the_project_counts(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sktl._documented._published", lambda: "https://docs.example")
    assert CNNCodesTransformer()._get_doc_link().startswith("https://docs.example/api/generated/")


def test_classes_of_users_have_no_page(monkeypatch):
    monkeypatch.setenv(VARIABLE, "https://docs.example")

    class Mine(CNNCodesTransformer):
        pass

    assert Mine()._get_doc_link() == ""
