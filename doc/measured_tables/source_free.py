"""Adaptation without source rows, at test time, and by and by; choices without target labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from measured_tables._write import read, spread, table

DOMAINS = ["photo", "art_painting", "cartoon", "sketch"]
KINDS = ["noise", "blur", "contrast"]


def _values(section: str, setting: str, method: str) -> list[float]:
    return [seed[method] for seed in read("source_free_accuracy")["results"][section][setting].values()]


def source_free(section: str, setting: str, method: str) -> str:
    """Return accuracy, mean and spread over seeds."""
    return spread(_values(section, setting, method))


def table_shot() -> str:
    """Return what SHOT reaches on digits, beside its paper."""
    papers = read("source_free_accuracy")["papers"]
    rows = []
    for pair, title in (("mnist->usps", "MNIST to USPS"), ("usps->mnist", "USPS to MNIST")):
        paper = papers[f"shot {pair}"]
        cells = [source_free("shot", pair, method) for method in ("source", "adabn", "shot")]
        rows.append([title, *cells, f"{paper['source']} / {paper['shot']}"])
    return table(["", "source alone", "AdaBN", "SHOT", "paper: source / SHOT"], rows)


def _error(kind: str, method: str) -> np.ndarray:
    """Return the mean error over strengths of each seed, in percent."""
    settings = [s for s in read("source_free_accuracy")["results"]["corruptions"] if s.startswith(kind)]
    return 100 * (1 - np.mean([_values("corruptions", setting, method) for setting in settings], axis=0))


def table_corruptions() -> str:
    """Return errors on corrupted digits, and by how much adaptation cuts them."""
    methods = {"adabn": "AdaBN", "tent": "TENT", "adabn, online": "AdaBN, online", "tent, online": "TENT, online"}
    rows = []
    for kind in KINDS:
        before = _error(kind, "source")
        row = [kind, f"{before.mean():.1f} ± {before.std():.1f}"]
        for method in methods:
            after = _error(kind, method)
            row.append(f"{after.mean():.1f} ± {after.std():.1f} (-{cut(kind, method):.0f} %)")
        rows.append(row)
    return table(["error, mean of five strengths", "no adaptation", *methods.values()], rows)


def cut(kind: str, method: str) -> float:
    """Return by how many percent a method cuts the error on one kind of corruption."""
    return 100 * (1 - _error(kind, method).mean() / _error(kind, "source").mean())


def _pacs(source: str | None, method: str) -> float:
    pairs = [p for p in read("source_free_accuracy")["results"]["pacs"] if source is None or p.startswith(source)]
    return 100 * float(np.mean([np.mean(_values("pacs", pair, method)) for pair in pairs]))


def pacs_of_12(method: str) -> float:
    """Return the mean accuracy over PACS' twelve pairs."""
    return _pacs(None, method)


def table_pacs_source_free() -> str:
    """Return accuracy on PACS without source rows."""
    methods = {"source": "source alone", "adabn": "AdaBN", "tent": "TENT", "shot": "SHOT"}
    rows = [[f"{source} to the others", *(f"{_pacs(source, m):.1f}" for m in methods)] for source in DOMAINS]
    rows.append(["mean of 12", *(f"{_pacs(None, m):.1f}" for m in methods)])
    return table(["PACS codes", *methods.values()], rows)


def table_electricity() -> str:
    """Return accuracy on data that drift, in one leap and by steps."""
    methods = {"source": "no adaptation", "direct": "one leap", "gradual": "gradually",
               "direct, all": "one leap, all rows kept", "gradual, all": "gradually, all rows kept"}  # fmt: skip
    settings = read("source_free_accuracy")["results"]["electricity"]
    rows = [[name, *(source_free("electricity", name, method) for method in methods)] for name in settings]
    return table(["electricity", *methods.values()], rows)


def electricity_gains() -> list[float]:
    """Return the points that adaptation gains on the electricity data, over models and ways, in order."""
    settings = read("source_free_accuracy")["results"]["electricity"]
    mean: Callable[[str, str], Any] = lambda name, method: np.mean(_values("electricity", name, method))  # noqa: E731
    ways = ("direct", "gradual", "direct, all", "gradual, all")
    return sorted(100 * (mean(name, way) - mean(name, "source")) for name in settings for way in ways)


def last_label_in_periods() -> float:
    """Return the accuracy of repeating the last label, over the periods of these runs."""
    return 100 * float(read("periods")["results"]["last label, ten of twelve periods"])


def n_months() -> int:
    """Return how many months of electricity's prices are predicted."""
    return len(read("periods")["results"]["last label"])


def in_periods(classifier: str, way: str) -> float:
    """Return the mean accuracy over the months."""
    return 100 * float(np.mean(read("periods")["results"]["months"][classifier][way]))


def months_worse(classifier: str, way: str) -> int:
    """Return in how many months a way loses more than a point against only fitting again."""
    cells = read("periods")["results"]["months"][classifier]
    return int(np.sum(np.array(cells[way]) - np.array(cells["fitted again"]) < -0.01))


def months_worst(classifier: str, way: str) -> float:
    """Return how many points a way loses at most in a month against only fitting again."""
    cells = read("periods")["results"]["months"][classifier]
    return -100 * float(np.min(np.array(cells[way]) - np.array(cells["fitted again"])))


def table_periods() -> str:
    """Return mean accuracy over the months, what follows them beside two controls."""
    results = read("periods")["results"]
    ways = [*next(iter(results["months"].values()))]
    controls = [f"{100 * np.mean(results[name]):.1f}" for name in ("most frequent", "last label")]
    rows = [[name, *(f"{in_periods(name, way):.1f}" for way in ways), *controls] for name in results["months"]]
    return table(["", *ways, "the last month's most frequent label", "the last label again"], rows)


def table_scorers() -> str:
    """Return the points that each scorer's pick loses to an oracle."""
    rows = []
    for row in read("unsupervised_selection")["scorers"]:
        columns = ("mean", "median", "worst", "digits", "PACS codes", "Office-Caltech SURF")
        rows.append([f"`{row['scorer']}`", *(f"{row[k]:.1f}" for k in columns), f"{row['rank_correlation']:.2f}"])
    header = ["scorer", "mean", "median", "worst", "digits", "PACS codes", "Office-Caltech SURF", "rank correlation"]
    return table(header, rows)


def scorer(name: str, column: str = "mean") -> float:
    """Return one figure of a scorer."""
    return next(row[column] for row in read("unsupervised_selection")["scorers"] if row["scorer"] == name)


def lost_on_pacs(name: str, *, anew: bool) -> float:
    """Return the mean loss of a scorer over PACS' pairs with the first seed, measured anew or as in the table."""
    new = read("unsupervised_selection_pacs")["results"]
    losses = _lost(name, "unsupervised_selection_pacs" if anew else "unsupervised_selection")
    return float(np.mean([value for (pair, seed), value in losses.items() if pair in new and seed == "0"]))


def moved_on_pacs() -> tuple[float, float]:
    """Return by how many points the last epochs of these trainings moved: on average, and all of them together."""
    old = read("unsupervised_selection")["results"]
    moved = [
        100 * (cell["epochs"][-1]["target"] - old[pair]["0"][name]["epochs"][-1]["target"])
        for pair, seeds in read("unsupervised_selection_pacs")["results"].items()
        for name, cell in seeds["0"].items()
    ]
    return float(np.abs(moved).mean()), float(np.mean(moved))


def table_choices() -> str:
    """Return accuracy of the last epoch, of the choice without labels, and of an oracle's."""
    rows = [
        [row["data"], f"`{row['method']}`", *(f"{row[k]:.1f}" for k in ("last", "unsupervised", "oracle"))]
        for row in read("unsupervised_selection")["methods"]
    ]
    return table(["data", "method", "last epoch", "unsupervised choice", "oracle"], rows, left=2)


def choice(method: str, data: str, column: str = "unsupervised", file: str = "unsupervised_selection") -> float:
    """Return one figure of a method on one family of pairs."""
    return next(r[column] for r in read(file)["methods"] if r["method"] == method and r["data"] == data)


def over_all_pairs(method: str, column: str = "unsupervised") -> float:
    """Return the mean over all 26 pairs: 2 of digits, 12 of PACS, 12 of Office-Caltech."""
    weights = {"digits": 2, "PACS codes": 12, "Office-Caltech SURF": 12}
    return sum(n * choice(method, data, column) for data, n in weights.items()) / sum(weights.values())


def _lost(name: str, file: str = "unsupervised_selection") -> dict[tuple[str, str], float]:
    """Return, for each pair and seed, the points that a scorer's pick loses to an oracle."""
    found = {}
    for pair, seeds in read(file)["results"].items():
        for seed, cells in seeds.items():
            grid = [epoch for cell in cells.values() for epoch in cell["epochs"]]
            best = max(point["target"] for point in grid)
            pick = max(grid, key=lambda point: point["scores"][name])
            found[pair, seed] = 100 * (best - pick["target"])
    return found


def lost_with_other_seeds(name: str) -> float:
    """Return the mean loss over all seeds but the first."""
    return float(np.mean([value for (_, seed), value in _lost(name).items() if seed != "0"]))


def lost_without_the_worst_pair(name: str) -> float:
    """Return the mean loss over all pairs but the one with the largest."""
    losses = _lost(name)
    worst = max(losses, key=lambda run: losses[run])[0]
    return float(np.mean([value for (pair, _), value in losses.items() if pair != worst]))


def one_of_the_losses(pick: str) -> float:
    """Return the mean loss against the best of all losses, each with its last epoch and default weight.

    `pick` is a scorer, whose choice it is, or a loss that is always taken.
    """
    found = []
    for seeds in read("unsupervised_selection")["results"].values():
        for cells in seeds.values():
            last = {cell["method"]: cell["epochs"][-1] for cell in cells.values() if cell["factor"] == 1.0}
            best = max(epoch["target"] for epoch in last.values())
            taken = last.get(pick) or max(last.values(), key=lambda epoch: epoch["scores"][pick])
            found.append(100 * (best - taken["target"]))
    return float(np.mean(found))


SURF_DOMAINS = ("amazon", "caltech", "dslr", "webcam")


def first_seed(method: str, data: str) -> float:
    """Return the mean accuracy of the choice by the default scorer with the first seed alone."""
    found = []
    for pair, seeds in read("unsupervised_selection")["results"].items():
        family = (
            "Office-Caltech SURF" if pair.startswith(SURF_DOMAINS) else "digits" if "mnist" in pair else "PACS codes"
        )
        if family == data:
            points = [epoch for cell in seeds["0"].values() if cell["method"] == method for epoch in cell["epochs"]]
            found.append(max(points, key=lambda point: point["scores"]["source_target"])["target"])
    return 100 * float(np.mean(found))


def picked_target(pair: str, seed: str, name: str = "source_target") -> float:
    """Return the target accuracy of what a scorer picks on one pair with one seed."""
    cells = read("unsupervised_selection")["results"][pair][seed].values()
    points = [epoch for cell in cells for epoch in cell["epochs"]]
    return 100 * max(points, key=lambda point: point["scores"][name])["target"]
