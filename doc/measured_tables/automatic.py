"""The automatic road beside single strategies, and how it keeps its time."""

from __future__ import annotations

import numpy as np

from measured_tables._write import bold_best, read, table

COLUMNS = {"automatic": "automatic", "simple": "codes, last layer", "all layers": "codes, all layers",
           "SVM": "SVM, last layer", "always trained": "always trained"}  # fmt: skip


def automatic_cases() -> dict:
    """Return what each case gave."""
    return read("auto_transfer")["results"]["cases"]


def automatic_mean(other: str) -> float:
    """Return the mean gain of the automatic road over another, in points, where both were run."""
    cells = [cell["accuracy"] for cell in automatic_cases().values() if other in cell["accuracy"]]
    return 100 * float(np.mean([cell["automatic"] - cell[other] for cell in cells]))


def automatic_ahead(other: str) -> str:
    """Return on how many cases it is at or above another, and how many there are."""
    cells = [cell["accuracy"] for cell in automatic_cases().values() if other in cell["accuracy"]]
    return f"{sum(cell['automatic'] >= cell[other] for cell in cells)} of {len(cells)}"


def table_automatic() -> str:
    """Return accuracies by case, in per cent."""
    rows = []
    for case, cell in automatic_cases().items():
        values = [cell["accuracy"].get(name) for name in COLUMNS]
        texts = bold_best([None if v is None else f"{100 * v:.1f}" for v in values], values, 3)
        rows.append([case, str(cell["rows"]), str(cell["tested"]), *texts, cell["taken"]])
    return table(["data", "rows", "tested", *COLUMNS.values(), "taken"], rows)


def overruns() -> list[dict]:
    """Return all runs of the second part."""
    return list(read("auto_transfer")["results"]["overruns"].values())


def worst_overrun(*, pictures: bool) -> float:
    """Return the largest overrun of pictures, or of rows and texts, in seconds; what ends early has none."""
    return max(0.0, *(run["overrun"] for run in overruns() if bool(run["one pass"]) == pictures))


def kept_budgets() -> str:
    """Return how many runs kept the rule, and how many there are."""
    kept = sum(run["overrun"] <= max(2.0, run["one pass"]) for run in overruns())
    return f"{kept} of {len(overruns())}"


def table_overruns() -> str:
    """Return seconds beyond the budget, negative where a search ended early."""
    rows = []
    for name, run in read("auto_transfer")["results"]["overruns"].items():
        one_pass = f"{run['one pass']:.1f}" if run["one pass"] else ""
        rows.append([name, f"{run['seconds']:.1f}", f"{run['overrun']:+.1f}", one_pass, str(run["tried"])])
    return table(["data, budget", "seconds", "overrun", "one pass", "candidates scored"], rows)
