"""A module imports its own folder and lower layers, nothing else."""

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SKTL = TESTS.parent / "sktl"
LAYERS = [
    {"_callbacks", "_deadline", "_documented", "_forking"},
    {"_torch_datasets"},
    {"_array_api", "_memory", "_progress", "_warn_once"},
    {
        "exceptions",
        "_device",
        "_draws",
        "_memory_format",
        "_functional",
        "_identity",
        "_kept_outputs",
        "_label_matrix",
        "_logistic",
        "_ridge",
        "_modes",
        "_openvino",
        "_preprocessing",
        "_unlabelled",
        "_validation",
    },
    {"_columns", "_digests", "_domain_names", "_magnitudes", "_mixture", "_named", "_whole_fits"},
    {
        "_class_weight",
        "_codes",
        "_delegation",
        "_domains",
        "_given_tensors",
        "_labelled_score",
        "_periods",
        "_row_scalers",
    },
    {"backbones", "images", "texts", "training", "cache", "density_ratios"},
    {"metrics", "_extraction", "_inputs", "_deployment", "adaptation.losses", "fewshot.heads"},
    {"displays", "_text_extraction"},
    {"_estimator", "_saving", "features", "finetuning", "aligners", "reweighting", "safety", "adaptation", "fewshot"},
    {"model_selection", "advisor", "datasets", "_loading"},
]
ROADS = {  # of a family: they import what they share, not each other
    "fewshot": ("metric_based", "optimisation_based", "model_based", "transductive"),
    "adaptation": ("joint", "source_free", "test_time", "gradual", "per_domain"),
}
SHARED_BY_ROADS = {"fewshot": ("meta_training", "heads"), "adaptation": ("from_fitted", "losses")}
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


def imported(path: Path) -> list[str]:
    """Return the modules of the library that a file imports, without "sktl."."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
        found += [name.removeprefix("sktl.") for name in names if name.startswith("sktl.")]
    return found


@pytest.mark.parametrize("family", ROADS)
def test_no_road_imports_another(family):
    for folder in (*ROADS[family], *SHARED_BY_ROADS[family]):
        files = sorted((SKTL / family / folder).glob("*.py"))
        assert files
        others = [road for road in ROADS[family] if road != folder]
        for path in files:
            wrong = [name for name in imported(path) if any(name.startswith(f"{family}.{road}.") for road in others)]
            assert not wrong, f"{path.relative_to(SKTL)} imports {wrong}"


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


def folders(root):
    """Return the folders below `root` with Python files, as paths from there; private ones by their public name."""
    found = {path.parent.relative_to(root) for path in root.rglob("*.py")}
    return {Path(*(part.removeprefix("_") for part in folder.parts)) for folder in found}


def test_folders_of_tests_mirror_the_library():
    of_library = folders(SKTL)
    of_tests = {folder for folder in folders(TESTS) if folder.parts[:1] != ("stress",)}
    assert not of_tests - of_library, "tests stand in a folder that the library has not"
    shown = {folder for folder in of_library if not (SKTL / f"_{folder}").is_dir()}
    holding = {parent for folder in of_tests for parent in (folder, *folder.parents)}
    assert not shown - holding, "a folder of the library has no tests of its own"


def test_names_of_test_files_are_unique():
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.parent.name != "stress")  # which is a package
    assert {name for name, n in names.items() if n > 1} <= {"conftest.py"}


def test_files_stay_readable():
    long = {str(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 350}
    assert not long


def test_no_circle_of_imports():
    """Files import each other in one direction, imports inside functions included."""
    names = {path: ".".join(path.relative_to(SKTL).with_suffix("").parts) for path in SKTL.rglob("*.py")}
    known = set(names.values())
    graph = {name: {one for one in imported(path) if one in known and one != name} for path, name in names.items()}
    tuple(TopologicalSorter(graph).static_order())  # raises a CycleError that names the circle
