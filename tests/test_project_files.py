"""What stands beside the code says the same as the code: versions, extras, the commands of continuous integration."""

import re
import tomllib
from pathlib import Path

import sktl

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def test_versions_agree():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert cited is not None
    assert cited[1] == PROJECT["version"] == sktl.__version__
    assert f"## {sktl.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_licences_agree():
    assert f"license: {PROJECT['license']}" in (ROOT / "CITATION.cff").read_text()


def test_the_workflow_installs_extras_that_exist():
    found = {extra for names in re.findall(r"\.\[([\w,]+)\]", WORKFLOW) for extra in names.split(",")}
    assert {"dev", "doc"} <= found <= set(PROJECT["optional-dependencies"])


def test_the_workflow_begins_with_the_oldest_python():
    versions = re.findall(r'"(3\.\d+)"', re.search(r"python-version: \[(.+)\]", WORKFLOW)[1])
    assert len(versions) == 3
    assert PROJECT["requires-python"] == f">={versions[0]}"


def test_checks_before_a_commit_are_those_of_continuous_integration():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for command in ("ruff check", "ruff format", "mypy", "codespell"):
        assert f"entry: {command}" in hooks
        assert command in WORKFLOW


def test_people_find_how_to_report():
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE"):
        assert (ROOT / name).is_file()


def test_the_workflow_tries_the_oldest_versions():
    """What the job of floors installs is what the project says that it works with."""
    tried = dict(
        re.findall(r'"([a-z-]+)==([\d.]+?)(?:\.\*)?"', WORKFLOW.split("  floors:")[1].split("  documentation:")[0])
    )
    floors = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in PROJECT["dependencies"])
    for name in ("torch", "torchvision", "numpy", "scikit-learn", "skorch", "timm"):
        assert tried[name] == floors[name]
