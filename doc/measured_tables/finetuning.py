"""How much to retrain, and what it costs."""

from __future__ import annotations

import statistics

import numpy as np

from measured_tables._write import bold_best, read, table

STRATEGIES = ["head", "earlier head", "last", "lp-ft", "full", "scratch"]


def table_strategies() -> str:
    """Return accuracy by network, data set and strategy."""
    rows = []
    for network, sets in read("finetune_accuracy")["results"].items():
        for data, cells in sets.items():
            means = [float(np.mean(cells[name]["accuracy"])) for name in STRATEGIES]
            rows.append([network, data, *bold_best([f"{mean:.3f}" for mean in means], means, 3)])
    return table(["network", "data", *STRATEGIES], rows, left=2)


def elsewhere(network: str, strategy: str) -> str:
    """Return mean accuracy on domains that training did not see, at 5, 20 and 80 labels a class."""
    found = read("finetune_accuracy")["results"][network]
    cells = [found[f"PACS photo, {n} a class"][strategy]["elsewhere"].values() for n in (5, 20, 80)]
    return " / ".join(f"{np.mean(list(cell)):.3f}" for cell in cells)


def table_finetuning_speed() -> str:
    """Return seconds of training against fastai and a plain skorch net."""
    names = {"head": "head (solved)", "last": "the last layers, from a depth of 0.73", "full": "all layers"}
    rows = []
    for mode, title in names.items():
        cell = read("finetune_speed")["results"]["files, CPU"][mode]
        seconds = {who: statistics.median(values) for who, values in cell["seconds"].items()}
        texts = [f"{seconds[who]:.1f} ({cell['accuracy'][who][0]:.3f})" for who in ("sktl", "fastai", "skorch")]
        rows.append([title, *texts, ", ".join(f"{_times(cell, who)}x {who}" for who in ("fastai", "skorch"))])
        if "sktl progressive" in seconds:
            own = f"{seconds['sktl progressive']:.1f} ({cell['accuracy']['sktl progressive'][0]:.3f})"
            faster = [f"{_progressive_times(cell, who)}x {who}" for who in ("fastai", "skorch")]
            rows.append([f"{title}, small pictures first", own, *texts[1:], ", ".join(faster)])
    return table(["what trains", "sktl", "fastai", "plain skorch net", "sktl is as fast as"], rows)


def _times(cell: dict, who: str) -> str:
    times = cell["times_as_fast"][who]["of_medians"]
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


def _progressive_times(cell: dict, who: str) -> str:
    return f"{cell['progressive_times_as_fast'][who]['of_medians']:.1f}"


def progressive_times(who: str) -> str:
    """Return how many times as fast as another training of all layers is with small pictures first."""
    return _progressive_times(read("finetune_speed")["results"]["files, CPU"]["full"], who)


def finetuning_times(mode: str, who: str) -> str:
    """Return how many times as fast as a peer sktl trains."""
    return _times(read("finetune_speed")["results"]["files, CPU"][mode], who)


def table_progressive_resizing() -> str:
    """Return what small pictures first cost and save, by size and strategy."""
    rows = [
        [size, *label.split(", "), cell["fits"], f"{cell['accuracy']:.1f}", f"{cell['of_the_seconds']:.2f}"]
        for size, found in read("progressive_resizing")["summary"].items()
        for label, cell in found.items()
    ]
    return table(["size", "strategy", "pictures", "fits", "accuracy, %", "of the seconds"], rows, left=3)


def table_strategy_grid() -> str:
    """Return what a grid over freeze points costs with and without a store of codes."""
    found = read("strategy_grid")
    rows = []
    for depth, cell in found["results"].items():
        cuts = found["depths"][depth]
        for who, title in (("sktl", '`cache="memory"`'), ("skorch", "plain skorch net")):
            seconds = f"{statistics.median(cell['seconds'][who]):.1f}"
            first = f"{cuts['early']} and {cuts['middle']}" if who == "sktl" else ""
            if who == "sktl":
                title = f"sktl, {title}"
            else:
                seconds += f" ({cell['times_as_fast']['of_medians']:.1f}x)"
            seen = [f"{cell['seen'][who][part]:,}" for part in ("early", "middle", "late")]
            rows.append([first, title, seconds, *seen, f"{cell['best_score'][who]:.3f}"])
    header = ["freeze points, of 19 blocks", "what runs the grid", "seconds", "through the early part",
              "through the middle", "through the late part", "best accuracy"]  # fmt: skip
    return table(header, rows, left=2)


def table_cached_grid() -> str:
    """Return what a grid over a classifier behind codes costs."""
    found = read("cached_grid")
    floor = found["median_seconds"]["one extraction + linear fits"]
    rows = [
        [name, f"{seconds:.1f}", found["pictures_computed"][name][-1], f"{seconds / floor:.2f}"]
        for name, seconds in found["median_seconds"].items()
    ]
    return table(["what runs the grid", "seconds", "pictures through the network", "times the floor"], rows)


def table_loop() -> str:
    """Return the time of a training step against a bare loop."""
    rows = [
        [case["case"], case["optimizer"],
         *(f"{case['times_the_bare_loop'][who]['of_medians']:.2f}x" for who in ("sktl", "skorch"))]
        for case in read("loop_overhead")["cases"]
    ]  # fmt: skip
    return table(["case", "optimizer", "sktl", "skorch"], rows, left=2)


def grid_times(name: str) -> float:
    """Return how many times the floor a grid takes."""
    found = read("cached_grid")["median_seconds"]
    return found[name] / found["one extraction + linear fits"]
