"""Numbers in another domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from measured_tables._write import read, table

NAMES = ("ridge", "none", "mmd", "dare_gram", "coral", "cmd", "dann")


def _results() -> list[dict[str, Any]]:
    return read("domain_regression")["results"]


def _mean(rows: list[dict[str, Any]], name: str) -> float | None:
    found = [row[name] for row in rows if name in row]
    return float(np.mean(found)) if found else None


def table_regressions() -> str:
    """Return R^2 on target rows, a row a pair; the pairs of reviews together."""
    rows = [row for row in _results() if not row["pair"].startswith("stars")]
    groups = [(row["pair"], [row]) for row in rows]
    stars = [row for row in _results() if row["pair"].startswith("stars")]
    if stars:
        groups.append((f"stars, mean of {len(stars)} pairs", stars))
    cells = [[title, *(_cell(_mean(group, name)) for name in NAMES)] for title, group in groups]
    return table(["", "ridge regression", "no loss", *NAMES[2:]], cells)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def gain_of_angles() -> float:
    """Return what the default gains on turned digits, in points of explained variance."""
    rows = [row for row in _results() if row["pair"].startswith("angles")]
    return 100 * float(np.mean([row["mmd"] - row["none"] for row in rows]))
