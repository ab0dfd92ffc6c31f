"""The table of the losses says what the code does, and the default is what was measured to be best."""

import json
import re
from pathlib import Path

import pytest

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.joint._resolved import resolve
from sktl.adaptation.losses import LOSSES, get_loss

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "doc" / "adaptation_losses.md"
MEASURED = ROOT / "benchmarks" / "results" / "unsupervised_selection.json"


@pytest.mark.skipif(not TABLE.exists(), reason="the documentation is not beside the tests")
def test_every_loss_stands_with_its_weight():
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf8").splitlines() if line.startswith("| `")]
    weights = {re.sub(r"[|` ]", "", row[0]): row[3].strip() for row in rows}
    expected = {name: str(getattr(get_loss(name), "weight", "none")) for name in LOSSES}
    assert weights == expected


@pytest.mark.skipif(not MEASURED.exists(), reason="the benchmarks' results are not beside the tests")
def test_the_default_is_the_best_by_unsupervised_choice():
    rows = json.loads(MEASURED.read_text(encoding="utf8"))["methods"]
    n_pairs = {"digits": 2, "PACS codes": 12, "Office-Caltech SURF": 12}
    means: dict[str, float] = {}
    for row in rows:
        means[row["method"]] = means.get(row["method"], 0.0) + n_pairs[row["data"]] * row["unsupervised"] / 26
    # that of pictures; rows that start as a linear model are measured in benchmarks/defaults.py
    assert resolve(DomainAdaptedClassifier(), is_own=False).loss == max(means, key=means.get)
