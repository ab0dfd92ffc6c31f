"""A module imports its own folder and lower layers, nothing else."""

import ast
from pathlib import Path

import pytest

SKTL = Path(__file__).resolve().parent.parent / "sktl"
LAYERS = [
    {"_forking"},
    {"_torch_datasets"},
    {"_array_api", "_memory", "_progress"},
    {
        "exceptions",
        "_device",
        "_draws",
        "_functional",
        "_identity",
        "_label_matrix",
        "_modes",
        "_preprocessing",
        "_unlabelled",
        "_validation",
        "_warn_once",
    },
    {"_columns", "_magnitudes"},
    {"backbones", "images", "training", "cache"},
    {"metrics", "_extraction", "_inputs", "_deployment", "adaptation.losses", "fewshot.heads"},
    {"_estimator", "_saving", "features", "finetuning", "aligners", "adaptation", "fewshot"},
    {"model_selection", "advisor", "displays", "datasets"},
]
FILES = sorted(path for path in SKTL.rglob("*.py") if path != SKTL / "__init__.py")
COMMON_WITHIN_A_LAYER = {"_estimator", "_saving"}  # what the families of a layer share


def unit(module: str) -> str:
    """Return the folder, or the top-level module, that ``sktl.<module>`` belongs to."""
    parts = module.split(".")
    nested = ".".join(parts[:2])
    return nested if any(nested in layer for layer in LAYERS) else parts[0]


def level(name: str) -> int:
    found = [i for i, layer in enumerate(LAYERS) if name in layer]
    assert found, f"sktl.{name} has no place in the table of layers"
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SKTL)))
def test_imports_point_downwards(path):
    own = unit(".".join(path.relative_to(SKTL).with_suffix("").parts))
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in line {node.lineno}"
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            if name and name.startswith("sktl."):
                other = unit(name.removeprefix("sktl."))
                allowed = other == own or level(other) < level(own) or other in COMMON_WITHIN_A_LAYER
                assert allowed, f"{path.name}:{node.lineno}: sktl.{own} must not import sktl.{other}"


def test_files_stay_readable():
    long = {str(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 350}
    assert not long
