"""Defaults beside their simple baselines."""

from __future__ import annotations

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
