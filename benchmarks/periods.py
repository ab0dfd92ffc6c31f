"""Electricity's prices, month after month: a model that is never fitted again, ones that follow, and controls.

The Elec2 set in the order of time, 31 months of 1,440 half hours; whether the price is above the mean of the last day.
Each month but the first is predicted by what was known when it began: its rows, and the labels of the months before it.

- never fitted again: on the labels of the first month alone.
- fitted again: on the labels of the last three months.
- aligned: so too, and each month's columns have mean 0 and variance 1 before the classifier.
- aligned where it is safe: `SafelyAdaptedClassifier` decides each month between the two.
- reweighted: on the last three months, their rows weighted as they occur in the new one.
- the last label again: a control that knows each label as soon as the next row comes, which nothing else here does.
- the last month's most frequent label: a control that knows what the others do.

Repeating the last label is also counted over the periods of ``benchmarks/source_free_accuracy.py``: the last ten of
twelve.

Run ``python benchmarks/periods.py``, some minutes on one thread; ``--resume`` goes on from the file. `SKTL_DATA` names
the folder of the data.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import RollingAdaptedClassifier
from sktl.aligners import DomainStandardizer, LabelledOnly
from sktl.displays import DriftDisplay
from sktl.displays._drift import FROZEN, LAST_LABEL
from sktl.reweighting import ReweightedClassifier
from sktl.safety import SafelyAdaptedClassifier

matplotlib.use("Agg")
MONTH, WINDOW = 48 * 30, 3
N_PERIODS, N_LABELLED = 12, 2  # of benchmarks/source_free_accuracy.py
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: LogisticRegression(max_iter=300),
    "gradient boosting": lambda: HistGradientBoostingClassifier(max_iter=100, random_state=0),
}


def followers(classifier: Any) -> dict[str, RollingAdaptedClassifier]:
    """Return what follows the months, by name."""
    learner = LabelledOnly(classifier)
    plain, aligned = make_pipeline(StandardScaler(), learner), make_pipeline(DomainStandardizer(), learner)
    found = {
        "fitted again": plain,
        "aligned": aligned,
        "aligned where it is safe": SafelyAdaptedClassifier(aligned, baseline=plain, random_state=0),
        "reweighted": make_pipeline(StandardScaler(), ReweightedClassifier(clone(classifier))),
    }
    return {name: RollingAdaptedClassifier(model, window=WINDOW) for name, model in found.items()}


def electricity(n_months: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, labels and each row's month."""
    held = np.load(data_path("electricity/electricity.npz"))
    X, y = held["X"][:, 1:].astype(np.float64), held["y"].astype(int)  # the date itself is left out
    month = np.arange(len(y)) // MONTH
    whole = month < (n_months or len(y) // MONTH)
    return X[whole], y[whole], month[whole]


def most_frequent(y: np.ndarray, month: np.ndarray) -> list[float]:
    """Return each month's accuracy of the label that was most frequent in the month before."""
    known = [y[month == number] for number in np.unique(month)]
    return [float(np.mean(now == np.bincount(before).argmax())) for before, now in itertools.pairwise(known)]


def last_label_in_periods() -> float:
    """Return how often a label is that of the row before, in the periods without labels."""
    y = np.load(data_path("electricity/electricity.npz"))["y"]
    later = np.flatnonzero(np.arange(len(y)) * N_PERIODS // len(y) >= N_LABELLED)
    return float(np.mean(y[later] == y[later - 1]))


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    args = options.parse_args()
    described, results = machine(), earlier_results("periods", args)
    X, y, month = electricity(4 if args.quick else None)
    results["last label, ten of twelve periods"] = round(last_label_in_periods(), 4)
    results["most frequent"] = [round(value, 4) for value in most_frequent(y, month)]
    for name, make in CLASSIFIERS.items():
        if name in results.get("months", {}):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shown = DriftDisplay.from_estimators(followers(make()), X, y, sample_domain=month)
        cells = {way: [round(float(value), 4) for value in values] for way, values in shown.accuracies.items()}
        results["last label"] = cells.pop(LAST_LABEL)
        cells = {"never fitted again": cells.pop(FROZEN)} | cells
        results.setdefault("months", {})[name] = cells
        write_results("periods", {"machine": described, "window": WINDOW, "results": results}, args)
    ways = [*next(iter(results["months"].values()))]
    mean: Callable[[list[float]], str] = lambda values: f"{100 * np.mean(values):.1f}"  # noqa: E731
    print_table(["", *ways], [[name, *(mean(cells[way]) for way in ways)] for name, cells in results["months"].items()])
    print("the last label again", mean(results["last label"]), "| most frequent", mean(results["most frequent"]))


if __name__ == "__main__":
    main()
