"""Classes whose shares differ between the domains, and classes that one domain lacks."""

from __future__ import annotations

import numpy as np

from measured_tables._write import bold_best, read, table

WEIGHTERS = ("unweighted", "bbse", "em", "rlls", "true weights")


def _accuracies(shift: str, method: str) -> list[float]:
    return [100 * run[method]["accuracy"] for run in read("label_shift")["results"][shift]]


def table_label_shift() -> str:
    """Return accuracy in the target, and the errors of the weights, by shift and method."""
    found, rows = read("label_shift")["results"], []
    for shift, runs in found.items():
        means = [f"{np.mean(_accuracies(shift, method)):.1f}" for method in WEIGHTERS]
        errors = [f"{np.mean([run[method]['error'] for run in runs]):.4f}" for method in WEIGHTERS[1:4]]
        rows.append([shift, str(len(runs)), *means, *errors])
    header = ["shift", "draws", *WEIGHTERS, *(f"error, {method}" for method in WEIGHTERS[1:4])]
    return table(header, rows)


def most_behind_truth(method: str) -> float:
    """Return by how many points a method is behind the true weights, in the shift where it is most."""
    return max(
        float(np.mean(_accuracies(shift, "true weights")) - np.mean(_accuracies(shift, method)))
        for shift in read("label_shift")["results"]
    )


def _is_of_pictures(pair: str) -> bool:
    return pair.startswith("pacs")


def without_classes(condition: str, method: str, figure: str, of_pictures: bool | None = None) -> float:
    """Return a figure's mean over the pairs that were measured, of pictures, of digits, or of both."""
    cells = read("partial_open_sets")["results"][condition][method]
    return float(
        np.mean([c[figure] for pair, c in cells.items() if of_pictures is None or of_pictures == _is_of_pictures(pair)])
    )


def table_without_classes(*conditions: str) -> str:
    """Return figures by condition and method: pictures and digits."""
    results, rows = read("partial_open_sets")["results"], []
    held = [next(iter(next(iter(results[condition].values())).values())) for condition in conditions]
    figures = [name for name in ("OS*", "UNK", "H") if all(name in cell for cell in held)] or ["accuracy"]
    last = figures[-1]
    for condition in conditions:
        names = [name for name, cells in results[condition].items() if cells]
        columns = []
        for of_pictures in (True, False):
            for figure in figures:
                means = [without_classes(condition, name, figure, of_pictures) for name in names]
                cells = [f"{mean:.1f}" for mean in means]
                columns.append(bold_best(cells, means, 1) if figure == last and len(names) > 1 else cells)
        for name, *cells in zip(names, *columns):
            rows.append([f"`{name}`" if "=" in name or "_" in name else name, *cells])
            if len(conditions) > 1:
                rows[-1].insert(0, condition)
    header = [f"{domain}, {name}" for domain in ("PACS", "digits") for name in figures]
    return table(
        [*(["target"] if len(conditions) > 1 else []), "method", *header], rows, left=1 + (len(conditions) > 1)
    )


def found_open(judge: str, condition: str) -> float:
    """Return in what share of the sets of a condition something unknown is found, in percent."""
    return 100 * read("partial_open_sets")["results"]["signs"]["found"][judge][condition]


def n_sets(condition: str) -> int:
    """Return how many sets of a condition the test has seen."""
    return sum(case["condition"] == condition for case in read("partial_open_sets")["results"]["signs"]["cases"])


def n_pairs_without_classes() -> int:
    """Return of how many pairs the figures are."""
    return len(next(iter(read("partial_open_sets")["results"]["open"].values())))
