"""Pictures a second, many at once and one at a time."""

from __future__ import annotations

from typing import Any

from measured_tables._write import read, table

ROADS = ["sktl torch", "sktl torch bfloat16", "sktl openvino", "thingsvision", "img2vec", "embetter"]


def table_extraction() -> str:
    """Return pictures a second by network, road and library."""
    rows = []
    for cell in read("extraction")["cells"]:
        plain = f"{cell['images_per_second'][cell['plain']]:.0f}"
        rows.append([cell["network"], cell["road"], cell["pictures"], plain, *(_road(cell, road) for road in ROADS)])
    return table(["network", "road", "pictures", "plain loop", *ROADS], rows, left=2)


def _road(cell: dict[str, Any], road: str) -> str | None:
    if road not in cell["images_per_second"]:
        return None
    times = cell["times_the_plain_loop"][road]
    smallest, largest = times["smallest_of_a_round"], times["largest_of_a_round"]
    return f"{cell['images_per_second'][road]:.0f} ({times['of_medians']:.2f}x; {smallest:.2f} to {largest:.2f})"


def kept_memory(road: str, digits: int = 1) -> str:
    """Return how many times as fast as the plain loop a road is when the loop keeps its memory, by network."""
    cells = read("extraction_kept_memory")["cells"]
    times = [f"{cell['times_the_plain_loop'][road]['of_medians']:.{digits}f}x" for cell in cells]
    return f"{', '.join(times[:-1])} and {times[-1]}"


def kept_memory_plain() -> str:
    """Return the pictures a second of the plain loop that keeps its memory, by network."""
    found = [f"{cell['images_per_second'][cell['plain']]:.0f}" for cell in read("extraction_kept_memory")["cells"]]
    return f"{', '.join(found[:-1])} and {found[-1]}"


def table_single_picture() -> str:
    """Return the time of one picture, as times the bare network's."""
    names = {
        "CNNCodesTransformer": "`CNNCodesTransformer`",
        "CNNCodesTransformer, a module": "the same, a module",
        "CNNCodesTransformer, OpenVINO": "the same, OpenVINO",
        "FineTunedClassifier, full": "fine-tuned, all layers",
        "DomainAdaptedClassifier": "adapted",
        "timm's transform and forward": "timm's own road",
    }
    by_network: dict[str, list[dict[str, Any]]] = {}
    for cell in read("single_picture")["cells"]:
        by_network.setdefault(cell["network"], []).append(cell)
    rows = []
    for network, cells in by_network.items():
        found = [" / ".join(f"{cell['times_the_bare_network'][name]['of_medians']:.1f}" for cell in cells)
                 for name in names]  # fmt: skip
        rows.append([network, " / ".join(str(cell["size"]) for cell in cells), *found])
    return table(["network", "pixels", *names.values()], rows)


def extraction_times(network: str) -> list[float]:
    """Return how many times the plain loop sktl's roads are on a network, in order."""
    cells = [cell for cell in read("extraction")["cells"] if cell["network"] == network]
    ours = [cell["times_the_plain_loop"][road]["of_medians"] for cell in cells for road in ROADS[:3]]
    return sorted(ours)


def single_rounds() -> tuple[int, int]:
    """Return the fewest and the most rounds of a network and size."""
    rounds = [cell["rounds"] for cell in read("single_picture")["cells"]]
    return min(rounds), max(rounds)


def single_milliseconds(name: str) -> list[float]:
    """Return the milliseconds of one picture, over networks and sizes, in order."""
    return sorted(cell["milliseconds"][name] for cell in read("single_picture")["cells"])


def single_added(name: str, bare: str) -> tuple[float, float]:
    """Return the fewest and the most milliseconds that a road adds to the bare network."""
    added = [cell["milliseconds"][name] - cell["milliseconds"][bare] for cell in read("single_picture")["cells"]]
    return min(added), max(added)


def single_times(name: str) -> list[float]:
    """Return how many times the bare network's time one picture takes, over networks and sizes, in order."""
    return sorted(cell["times_the_bare_network"][name]["of_medians"] for cell in read("single_picture")["cells"])
