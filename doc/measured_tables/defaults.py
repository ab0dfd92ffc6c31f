"""Defaults beside their simple baselines."""

from __future__ import annotations

from collections import Counter

import numpy as np

from measured_tables._write import read, table

LENGTHS = ("head", "short", "long")


def table_defaults(*, peers: bool = False) -> str:
    """Return wins, ties and losses of defaults against baselines, or peers, of cases with two repeats or more."""
    rows = [
        [ours, base, metric.removeprefix("-"), *map(str, counts), f"{mean:+.2f}", _oldest(ours, base, metric)]
        for ours, base, metric, *counts, mean, _ in read("defaults")["summary"]
        if peers == _is_peer(base)
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


def _is_peer(base: str) -> bool:
    return base.startswith(("skada", "easyfsl", "fastai"))


def gain_where_moved(base: str) -> float:
    """Return the mean gain in points over a peer on pairs whose target has moved: all but scikit-learn's small sets."""
    found = read("defaults")["results"]
    start = f"DomainAdaptedClassifier, default | {base} | "
    gains = [
        np.subtract(*np.mean(draws, axis=0))
        for key, draws in found.items()
        if key.startswith(start) and "_low" not in key
    ]
    return float(np.mean(gains))


def lost_defaults(*, peers: bool = False) -> str:
    """Return which cases are lost, to baselines or to peers, in a sentence."""
    lost = [
        f"{ours}, {f'to {base}' if peers else metric.removeprefix('-')}: {cases}"
        for ours, base, metric, *_, cases in read("defaults")["summary"]
        if cases and peers == _is_peer(base)
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
    """Return what the head, 3 and 10 epochs reach by case, and how many draws the rule makes short."""
    rows = []
    for case, draws in read("tuning_length")["results"].items():
        cells = [_mean(draws, length, "accuracy", 100, 1) for length in LENGTHS]
        cells += [_mean(draws, length, "log_loss", 1, 2) for length in LENGTHS]
        cells += [_mean(draws, length, "seconds", 1, 1) for length in LENGTHS]
        error = f"{100 * np.mean([draw['error'] for draw in draws]):.0f}"
        short = f"{sum(draw['is_short'] for draw in draws)} of {len(draws)}"
        rows.append([case, str(draws[0]["rows"]), error, *cells, short])
    header = ["pictures", "n", "error left out, %", "head, %", "3 epochs, %", "10 epochs, %", "head, log-loss",
              "3 epochs, log-loss", "10 epochs, log-loss", "head, s", "3 epochs, s", "10 epochs, s",
              "short"]  # fmt: skip
    return table(header, rows, left=1)


def length_gain(what: str, first: str, second: str, *, is_short: bool) -> str:
    """Return the mean difference of two lengths over draws, in points or log-loss, with its 95 % interval."""
    draws = [draw for of in read("tuning_length")["results"].values() for draw in of if draw["is_short"] == is_short]
    factor, digits = (100, 1) if what == "accuracy" else (1, 3)
    gains = factor * np.array([draw[first][what] - draw[second][what] for draw in draws])
    half = 1.96 * gains.std(ddof=1) / np.sqrt(len(gains))
    return f"{gains.mean():+.{digits}f} ± {half:.{digits}f}"


def n_short() -> str:
    """Return how many draws are short, and how many there are."""
    draws = [draw for of in read("tuning_length")["results"].values() for draw in of]
    return f"{sum(draw['is_short'] for draw in draws)} of {len(draws)}"


def _mean(draws: list[dict], length: str, what: str, factor: float, digits: int) -> str:
    return f"{factor * np.mean([draw[length][what] for draw in draws]):.{digits}f}"
