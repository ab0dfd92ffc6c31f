"""Which layer, and how codes are scaled."""

from __future__ import annotations

import numpy as np

from measured_tables._write import bold_best, read, table

OURS = 5  # the first columns are settings of sktl; others choose among them or are peers


def layers(data: str, setting: str, scaling: str = "unit length") -> float:
    """Return the mean accuracy of one setting on one data set."""
    return read("codes_accuracy")["results"][scaling][data][setting]["mean"]


def table_layers() -> str:
    """Return accuracy by data set and layers."""
    found = read("codes_accuracy")
    columns = found["columns"]
    rows = []
    for data, cells in found["results"]["unit length"].items():
        means = [cells[name]["mean"] for name in columns]
        texts = bold_best([f"{mean:.3f}" for mean in means[:OURS]], means[:OURS], 3) + [
            f"{m:.3f}" for m in means[OURS:]
        ]
        spreads = [f" ± {cells[name]['std']:.3f}" if cells[name]["repeats"] > 1 else "" for name in columns]
        rows.append([data, *(f"{text}{more}" for text, more in zip(texts, spreads))])
    return table(["data", *columns], rows)


def table_scaling() -> str:
    """Return accuracy by the way in which codes are scaled."""
    found = read("codes_scaling")["results"]
    names = ["unit length", "unit variance", "as they are"]
    rows = [[data, *(f"{cells[name]:.3f}" for name in names)] for data, cells in found.items()]
    return table(["data, layers, labels", *names], rows)


def unit_length_gain(scaled: str = "unit variance") -> list[float]:
    """Return by how many points unit length is ahead of another scaling, for each row of digits and glyphs."""
    found = read("codes_scaling")["results"]
    return [100 * (cells["unit length"] - cells[scaled]) for cells in found.values()]


def unit_length_mean_gain() -> float:
    """Return by how many points unit length is ahead of unit variance on average over all pictures' tasks."""
    found = read("codes_accuracy")["results"]
    setting = read("codes_accuracy")["columns"][0]
    gains = [found["unit length"][row][setting]["mean"] - found["standardised"][row][setting]["mean"]
             for row in found["unit length"]]  # fmt: skip
    return 100 * float(np.mean(gains))


def embedded_mean(network: str, shots: str) -> float:
    """Return the mean accuracy in percent of an embedded network over all sets at so many labels a class."""
    found = read("embedded_networks")["results"]
    return float(np.mean([np.mean(cells[network][shots]) for cells in found.values()]))


def table_embedded() -> str:
    """Return accuracy and cost by data set and embedded network."""
    found = read("embedded_networks")["results"]
    networks = list(next(iter(found.values())))
    rows = []
    for data, cells in found.items():
        for shots in ("5", "20"):
            values = [cells[name][shots] for name in networks]
            texts = [f"{np.mean(each):.1f} ± {np.std(each):.1f}" for each in values]
            rows.append([f"{data}, {shots} a class", *bold_best(texts, [float(np.mean(each)) for each in values], 1)])
    seconds = [np.mean([cells[name]["seconds_per_100"] for cells in found.values()]) for name in networks]
    rows.append(["seconds of 100 pictures, one thread", *(f"{each:.1f}" for each in seconds)])
    return table(["data", *networks], rows)
