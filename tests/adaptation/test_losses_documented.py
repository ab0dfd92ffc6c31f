"""The table of the losses says what the code does."""

import re
from pathlib import Path

import pytest

from sktl.adaptation.losses import LOSSES, get_loss

TABLE = Path(__file__).parents[2] / "doc" / "adaptation_losses.md"


@pytest.mark.skipif(not TABLE.exists(), reason="the documentation is not beside the tests")
def test_every_loss_stands_with_its_weight():
    rows = [line.split(" | ") for line in TABLE.read_text(encoding="utf8").splitlines() if line.startswith("| `")]
    weights = {re.sub(r"[|` ]", "", row[0]): row[3].strip() for row in rows}
    expected = {name: str(getattr(get_loss(name), "weight", "none")) for name in LOSSES}
    assert weights == expected
