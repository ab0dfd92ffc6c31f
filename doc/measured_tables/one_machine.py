"""What one machine gives: 8 bits, scores in one pass, memory."""

from __future__ import annotations

import statistics

import numpy as np

from measured_tables._write import read, table

MEMORY_CALLS = {"fit": "fit", "then": "predict, transform or score"}


def table_int8_speed() -> str:
    """Return pictures a second by road, and how many times as fast 8 bits are."""
    found = read("int8_codes")["results"]["speed"]
    rows = []
    for road, rate in found["images_per_second"].items():
        times, processor = (found[key].get(road) for key in ("int8_is_faster", "int8_takes_less_of_the_processor"))
        span = times and f"{times['smallest_of_a_round']:.2f} to {times['largest_of_a_round']:.2f}"
        faster = times and f"{times['of_medians']:.2f}x ({span})"
        rows.append([road, f"{rate:.0f}", faster, processor and f"{processor['of_medians']:.2f}x"])
    return table(["road", "pictures a second", "8 bits are faster by", "and take less of the processor by"], rows)


def int8_faster(than: str) -> float:
    """Return how many times as fast 8 bits are."""
    return read("int8_codes")["results"]["speed"]["int8_is_faster"][than]["of_medians"]


def table_int8_accuracy() -> str:
    """Return accuracies of linear classifiers of codes, by data, road and pictures a class."""
    found = read("int8_codes")["results"]["accuracy"]
    rows = []
    for name, cells in found.items():
        for road, cell in cells.items():
            means = [f"{np.mean(values):.1f}" for values in cell["accuracy"].values()]
            rows.append([name, road, *means, f"{100 * cell['distance']:.0f} %"])
    shots = next(iter(next(iter(found.values())).values()))["accuracy"]
    return table(["data", "road", *(f"{n} a class" for n in shots), "distance of codes"], rows, left=2)


def int8_points(calibration: str, what: str = "mean") -> float:
    """Return by how many points 8 bits are above float32, on average or at worst."""
    return read("int8_codes")["points_above_float32"][f"int8, {calibration}"][what]


def table_distilled() -> str:
    """Return by how much codes of a network move in 8 bits, with photographs alone and as shipped."""
    found = read("distilled_calibration")["results"]
    data = list(next(iter(found.values())))
    rows = [
        [network, *(" / ".join(map(_share, (cells[d]["photographs alone"], cells[d]["as shipped"]))) for d in data)]
        for network, cells in found.items()
    ]
    return table(["photographs alone / as shipped", *data], rows)


def moved_as_shipped() -> list[float]:
    """Return by what percentage of their length codes move in 8 bits as shipped, over networks and data, in order."""
    found = read("distilled_calibration")["results"].values()
    return sorted(100 * one["as shipped"] for cells in found for one in cells.values() if one["as shipped"] is not None)


def _share(value: float | None) -> str:
    return "refused" if value is None else f"{100 * value:.0f} %"


def table_scorer_cost() -> str:
    """Return what scores cost, in predictions of the same rows."""
    rows = []
    for case, cell in read("scorer_cost")["results"].items():
        for name, times in cell["predictions"].items():
            seconds = statistics.median(cell["seconds"][name])
            rows.append([case, name, f"{seconds:.2f}", f"{times['of_medians']:.2f}"])
    return table(["network", "what", "seconds", "predictions"], rows, left=2)


def scorer_predictions(what: str) -> float:
    """Return what a score costs, in predictions of the same rows."""
    (cell,) = read("scorer_cost")["results"].values()
    return cell["predictions"][what]["of_medians"]


def table_memory() -> str:
    """Return the peaks of memory by family and number of rows, in megabytes."""
    results = read("memory")["results"]
    counts = sorted({int(n) for by_rows in results.values() for n in by_rows})
    rows = []
    for family, by_rows in results.items():
        for call in MEMORY_CALLS:
            cells = [by_rows.get(str(n), {}) for n in counts]
            shown = [None if not cell else f"{cell[call]:.0f}" if call in cell else "-" for cell in cells]
            rows.append([family, MEMORY_CALLS[call], *shown])
    return table(["", "call", *(f"{n:,} rows" for n in counts)], rows, left=2)
