"""Defaults beside their simple baselines."""

from __future__ import annotations

from collections import Counter

import numpy as np

from measured_tables._write import read, table


def table_defaults() -> str:
    """Return wins, ties and losses of each default against its baseline, of cases with two repeats or more."""
    rows = [
        [ours, base, metric.removeprefix("-"), *map(str, counts), f"{mean:+.2f}", _oldest(ours, base, metric)]
        for ours, base, metric, *counts, mean, _ in read("defaults")["summary"]
    ]
    header = ["default", "baseline", "measure", "wins", "ties", "losses", "mean gain", "measured from"]
    return table(header, rows, left=3)


def _oldest(ours: str, base: str, metric: str) -> str:
    """Return the earliest date of the last draws of a row's cases."""
    dates = read("defaults")["dates"]
    return min(date for key, date in dates.items() if key.startswith(f"{ours} | {base} | ") and key.endswith(metric))


def processors() -> str:
    """Return on which processors how many comparisons were measured last."""
    names = Counter(read("defaults")["processors"].values())
    return ", ".join(f"{name} ({n} comparisons)" for name, n in names.most_common())


def table_moves() -> str:
    """Return, for each kind of target, what one centre, centres of their own and `domain_move` lead to."""
    rows = [
        [kind, str(n), str(moved), *(f"{mean:.1f}" for mean in means), f"{worst:+.1f}"]
        for kind, n, moved, *means, worst in read("domain_move")["results"]["table"]
    ]
    header = ["target", "pairs", "said to have moved", "one centre", "own centre", "`domain_move`", "left out", "worst"]
    return table(header, rows, left=1)


def lost_defaults() -> str:
    """Return which cases are lost, in a sentence."""
    lost = [
        f"{ours}, {metric.removeprefix('-')}: {cases}"
        for ours, _, metric, *_, cases in read("defaults")["summary"]
        if cases
    ]
    return f"Lost: {'; '.join(lost)}." if lost else "No case is lost."


def table_signs() -> str:
    """Return how well signs tell that shares differ, and what a choice by them would decide between."""
    header = ["domains", "pairs", "target", "in place", "own centre", "in place, EM", "own centre, EM", "agreement",
              "equal shares, in place / own", "this target, in place / own"]  # fmt: skip
    rows = [
        [group, str(n), shares, *(f"{value:.2f}" for value in values[:5]), *_pairs(values[5:])]
        for group, n, shares, *values in read("share_signs")["results"]
    ]
    return table(header, rows, left=1)


def _pairs(values: list[float]) -> list[str]:
    return [f"{a:.1f} / {b:.1f}" for a, b in zip(values[::2], values[1::2])]


def sign_range(group: str, shares: str) -> str:
    """Return the least and the largest AUROC of all signs."""
    values = next(row[3:8] for row in read("share_signs")["results"] if row[0] == group and row[2] == shares)
    return f"{min(values):.2f} to {max(values):.2f}"


def difference(ours: str, case: str) -> float:
    """Return by how many points of accuracy one case is ahead of its baseline."""
    found = read("defaults")["results"]
    draws = next(
        each for key, each in found.items() if key.startswith(f"{ours} | ") and key.endswith(f"| {case} | accuracy")
    )
    return float(np.mean([a - b for a, b in draws]))


def gain_of(ours: str) -> float:
    """Return the mean gain in accuracy of a default over its cases."""
    return next(row[-2] for row in read("defaults")["summary"] if row[0] == ours and row[2] == "accuracy")


def table_lengths() -> str:
    """Return what the head, short and long training reach, of draws that the rule shortens and of the others."""
    rows = []
    for decision, is_short in (("3 epochs", True), ("10 epochs", False)):
        draws = _draws(is_short)
        cells = [_mean(draws, length, "accuracy", 100, 1) for length in ("head", "short", "long")]
        cells += [_mean(draws, length, "log_loss", 1, 3) for length in ("head", "short", "long")]
        cells += [_mean(draws, length, "seconds", 1, 1) for length in ("head", "short", "long")]
        rows.append([decision, str(len(draws)), *cells])
    header = ["decided", "draws", "head, %", "3 epochs, %", "10 epochs, %", "head, log-loss", "3 epochs, log-loss",
              "10 epochs, log-loss", "head, s", "3 epochs, s", "10 epochs, s"]  # fmt: skip
    return table(header, rows, left=1)


def _draws(is_short: bool) -> list[dict]:
    results = read("tuning_length")["results"]
    return [draw for draws in results.values() for draw in draws if draw["is_short"] == is_short]


def _mean(draws: list[dict], length: str, what: str, factor: float, digits: int) -> str:
    return f"{factor * np.mean([draw[length][what] for draw in draws]):.{digits}f}" if draws else ""


def shortened_cases() -> str:
    """Return the cases of which all or some draws are shortened, with how many."""
    found = []
    for case, draws in read("tuning_length")["results"].items():
        n = sum(draw["is_short"] for draw in draws)
        if n:
            found.append(f"{case} ({n} of {len(draws)})")
    return ", ".join(found)
