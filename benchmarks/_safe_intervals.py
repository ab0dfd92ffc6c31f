"""Intervals of an estimated accuracy from the errors of other cases, judged on kinds of data that gave none of them.

Run ``python benchmarks/_safe_intervals.py`` for the tables of ``sktl/safety/_errors.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import RESULTS

from sktl.safety._errors import LEVELS

LEAST = 0.02  # of what an error is a share of
FEWEST = 3  # cases of a kind from which a quantile is taken


def error_shares(estimates: Sequence[float], truth: Sequence[float]) -> np.ndarray:
    """Return (2, n): by which share of itself each estimate is too high, and of what it leaves to 1 too low."""
    e, t = np.asarray(estimates), np.asarray(truth)
    return np.array([(e - t) / np.maximum(e, LEAST), (t - e) / np.maximum(1 - e, LEAST)]).clip(0, 1)


def quantiles(shares: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Return (2, n_levels): of each kind's quantiles the largest."""
    counted = [kind for kind in np.unique(kinds) if np.sum(kinds == kind) >= FEWEST]
    if not counted:
        return np.array([[0.0, *np.ones(len(LEVELS) - 1)]] * 2)
    found = [np.quantile(shares[:, kinds == kind], LEVELS, axis=1, method="higher") for kind in counted]
    out = np.max(found, axis=0).T
    out[:, 0], out[:, -1] = 0.0, 1.0
    return out


def left_out(cases: list[dict[str, Any]], estimate: str, truth: Sequence[float], confidence: float = 0.9) -> dict:
    """Return in what share of the cases the interval holds, each kind judged by the errors of all others."""
    e, t = np.array([case[estimate] for case in cases]), np.asarray(truth)
    kinds, shares = np.array([case["data"] for case in cases]), error_shares(e, t)
    ends = np.zeros((2, len(cases)))
    for kind in np.unique(kinds):
        here, others = kinds == kind, kinds != kind
        table = quantiles(shares[:, others], kinds[others])
        below, above = (np.interp((1 + confidence) / 2, LEVELS, side) for side in table)
        ends[:, here] = e[here] - below * e[here], e[here] + above * (1 - e[here])
    holds = (ends[0] - 1e-9 <= t) & (t <= ends[1] + 1e-9)
    return {
        "interval_holds_left_out": round(float(holds.mean()), 3),
        "interval_width_left_out": round(float((ends[1] - ends[0]).mean()), 3),
        "interval_holds_by_kind": {
            str(kind): round(float(holds[kinds == kind].mean()), 3) for kind in np.unique(kinds)
        },
    }


def main() -> None:
    results = json.loads((RESULTS / "safe_adaptation.json").read_text())["results"]
    cases = results["elsewhere"]["cases"]
    tables = {}
    for method in ("agreement", "discrepancy", "atc", "difference", "average"):
        tables[method] = [case[method] for case in cases], [case["accuracy"] for case in cases], cases
    harm = results["harm"]["cases"]
    tables["safe"] = [case["estimate"] for case in harm], [case[case["decision"]] for case in harm], harm
    for side, name in enumerate(("BELOW", "ABOVE")):
        print(f"{name}: dict[str, tuple[float, ...]] = {{")
        for method, (estimates, truth, rows) in tables.items():
            found = quantiles(error_shares(estimates, truth), np.array([row["data"] for row in rows]))[side]
            print(f'    "{method}": {tuple(round(float(q), 2) for q in found)},')
        print("}")


if __name__ == "__main__":
    main()
