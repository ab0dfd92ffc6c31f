"""Logistic regression, a random forest, a support vector machine, and means of them, on tables of few labels.

Protocol: the tables and draws of `forests_on_rows.py`, with 8, 24, 50 and 100 rows a class; the linear classifier is
the library's, on standardised columns (of 64 columns and more it chooses their scale), the support vector machine has a
Gaussian kernel and calibrated probabilities, the forest is scikit-learn's. Means are of probabilities. Accuracy and
log-loss on up to 600 other rows.

Results are written after each draw; ``--resume`` goes on from the file. Run ``python benchmarks/linear_and_forest.py``.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch
from _common import earlier_results, machine, parser, print_table, write_results
from forests_on_rows import OF_R, OF_SKLEARN, OTHERS, draws, load, split
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktl.advisor._linear_models import linear_classifier

SIZES = (8, 24, 50, 100)
FOLDS = 3
MEANS = (("linear", "forest"), ("linear", "SVM"), ("linear", "SVM", "forest"))


def one(name: str, n_each: int, seed: int) -> dict[str, list[float]]:
    """Return accuracy and log-loss of each on one draw."""
    X, y, others, z = split(*load(name), n_each, seed)
    classes, sizes = np.unique(y, return_counts=True)
    machine_ = CalibratedClassifierCV(SVC(random_state=0), cv=min(FOLDS, int(sizes.min())), ensemble=False)
    models: dict[str, Any] = {
        "linear": linear_classifier(X, len(classes), "cpu"), "forest": RandomForestClassifier(random_state=0),
        "SVM": make_pipeline(StandardScaler(), machine_),
    }  # fmt: skip
    proba = {title: model.fit(X, y).predict_proba(others) for title, model in models.items()}
    proba |= {" + ".join(members): np.mean([proba[one] for one in members], axis=0) for members in MEANS}
    number = np.searchsorted(classes, z)
    found = {}
    for title, shares in proba.items():
        right, true = shares.argmax(1) == number, np.clip(shares[np.arange(len(z)), number], 1e-4, 1)
        found[title] = [round(float(right.mean()), 4), round(float(-np.log(true).mean()), 4)]
    return found


def report(results: dict[str, Any]) -> None:
    """Print the mean gains over the linear classifier, over tables."""
    rows = []
    for n_each in SIZES:
        cells = [(key.split(", ")[0], cell) for key, cell in results.items() if f", {n_each} a" in key]
        tables = sorted({table for table, _ in cells})
        for title in list(cells[0][1])[1:] if len(tables) > 1 else ():
            gains = np.array([
                np.mean([np.subtract(of[title], of["linear"]) for table, of in cells if table == name], axis=0)
                for name in tables
            ])  # fmt: skip
            errors = gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
            rows.append([n_each, title, len(tables), len(cells), f"{100 * gains[:, 0].mean():+.2f}",
                         f"{100 * errors[0]:.2f}", f"{gains[:, 1].mean():+.3f}", f"{errors[1]:.3f}"])  # fmt: skip
    print_table(["rows a class", "what", "tables", "draws", "points", "error", "log-loss", "error"], rows)


def main() -> None:
    options = parser(__doc__, rounds=4)
    options.add_argument("--tables", nargs="*", default=[*OTHERS, *OF_SKLEARN, *OF_R])
    options.add_argument("--minutes", type=float, default=60.0, help="no draw is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    sizes = SIZES
    if args.quick:
        args.tables, args.rounds, sizes = ["iris"], 1, SIZES[:1]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start, results, described = time.monotonic(), earlier_results("linear_and_forest", args), machine()
    for key, name, n_each, seed in draws(args, sizes, results, start):
        results[key] = one(name, n_each, seed)
        write_results("linear_and_forest", {"machine": described, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
