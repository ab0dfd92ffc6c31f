"""Codes, trainings and weighted means of both: which weights AutoTransferClassifier gives to what it has fitted.

Protocol: draws of few labelled pictures, 8 (letters) or 20 rows a class, and a test of up to 200 others. The best
shallow model that AutoTransferClassifier finds on codes, LP-FT and the training of all layers, the latter two at the
sizes that it takes (128 pixels for small pictures, growing ones for the others), all fitted to all labelled rows; then
means of their probabilities. "2:1:1" are the weights of codes, LP-FT and all layers. The draws are not those of
`auto_transfer.py` and `auto_transfer_held_out.py`.

Results are written after each draw; ``--resume`` goes on from the file and ``--minutes`` bounds the run. Run
``python benchmarks/training_means.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from _advisor_cases import alphabet, paths_of
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from auto_transfer import split

from sktl import AutoTransferClassifier, FineTunedClassifier

DRAWS = (
    "sketch, 3", "art_painting, 4", "usps, 2", "Korean, 0", "art_painting, 3", "sketch, 4", "Hebrew, 1", "usps, 3",
    "photo, 1", "mnist, 2",
)  # fmt: skip
WEIGHTS = {
    "codes": (1, 0, 0), "LP-FT": (0, 1, 0), "all layers": (0, 0, 1), "1:1:0": (1, 1, 0), "2:1:0": (2, 1, 0),
    "1:0:1": (1, 0, 1), "2:0:1": (2, 0, 1), "0:1:1": (0, 1, 1), "1:2:2": (1, 2, 2), "1:1:1": (1, 1, 1),
    "2:1:1": (2, 1, 1),
}  # fmt: skip
SECONDS_OF_CODES = 60.0


def load(draw: str) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return training rows and labels, and those of the test."""
    name, seed = draw.split(", ")
    if name in ("sketch", "photo", "art_painting"):
        return split(*paths_of(f"pacs/{name}"), 20, int(seed))
    if name in ("usps", "mnist"):
        found = np.load(data_path(f"digits/{name}.npz"))
        return split(found["x_train"], found["y_train"], 20, int(seed))
    return split(*alphabet(name), 8, int(seed))


def one_draw(draw: str) -> dict[str, Any]:
    """Return accuracies and log-losses of all on one draw."""
    X, y, others, z = load(draw)
    size = {"image_size": 128} if isinstance(X, np.ndarray) else {"progressive_resizing": 0.5}
    models = [AutoTransferClassifier("codes", time_budget=SECONDS_OF_CODES)]
    models += [FineTunedClassifier(strategy=strategy, random_state=0, **size) for strategy in ("lp-ft", "full")]
    return of_probabilities([model.fit(X, y).predict_proba(others) for model in models], np.unique(y), z)


def of_probabilities(members: list[np.ndarray], classes: np.ndarray, z: np.ndarray) -> dict[str, Any]:
    """Return accuracies and log-losses of weighted means of the three."""
    number, found = np.searchsorted(classes, z), {}
    for name, weights in WEIGHTS.items():
        mean = np.average(members, axis=0, weights=weights)
        right, true = mean.argmax(1) == number, np.clip(mean[np.arange(len(z)), number], 1e-4, 1)
        found[name] = [round(float(right.mean()), 4), round(float(-np.log(true).mean()), 4)]
    return found


def report(results: dict[str, Any]) -> None:
    """Print accuracies by draw, and the means."""
    rows = [[draw, *(f"{100 * cell[name][0]:.1f}" for name in WEIGHTS)] for draw, cell in results.items()]
    for title, i, scale in (("mean", 0, 100), ("log-loss", 1, 1)):
        rows.append([title, *(f"{scale * np.mean([c[name][i] for c in results.values()]):.2f}" for name in WEIGHTS)])
    print_table(["draw", *WEIGHTS], rows)


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--draws", nargs="*", default=list(DRAWS))
    options.add_argument("--minutes", type=float, default=60.0, help="no draw is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    torch.set_num_threads(1)
    if args.quick:
        args.draws = ["usps, 2"]
    start, results, described = time.monotonic(), earlier_results("training_means", args), machine()
    for draw in args.draws:
        if draw not in results and time.monotonic() - start < 60 * args.minutes:
            results[draw] = one_draw(draw)
            print(draw, results[draw], flush=True)
            write_results("training_means", {"machine": described, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
