"""
====================================================
Data that drift: last year's model, and what follows
====================================================

A model is trained once, and the world goes on. Here electricity prices come in periods of a month, and the question is
whether the price is above the average of the last day. Labels of a month are known when it is over. Three roads: never
fit again, fit again on the last months (`RollingAdaptedClassifier`), and adapt to the new month's rows on top, before
any of its labels are known; the last of these with a guard (`SafelyAdaptedClassifier`), which adapts only where that is
not likely to do harm.

Beside them stands a control that no table of a stream should lack: repeat the last label. It knows each label as soon
as the next row comes, which a forecast for a month cannot. On electricity it is hard to beat, for prices stay high or
low for hours. What adaptation without labels can follow is where the rows lie; what it cannot follow is a change in
what the rows mean.

The data are the Elec2 set where the variable ``SKTL_DATA`` names a folder that has it, and a stream made here
otherwise.
"""

# %%
# A stream in periods.

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sktl.adaptation import RollingAdaptedClassifier
from sktl.aligners import DomainStandardizer, LabelledOnly
from sktl.displays import DriftDisplay
from sktl.safety import SafelyAdaptedClassifier

ELECTRICITY = Path(os.environ.get("SKTL_DATA", "nowhere")) / "electricity" / "electricity.npz"
MONTH = 48 * 30  # rows of half an hour


def electricity() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, labels (price up or down) and each row's month."""
    held = np.load(ELECTRICITY)
    X, y = held["X"][:, 1:].astype(np.float64), held["y"]  # without the date
    n = len(X) // MONTH * MONTH
    return X[:n], y[:n], np.arange(n) // MONTH


def made(n_months: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a stream whose labels come in runs, and whose rows move with the season and the years."""
    rng = np.random.default_rng(0)
    y = np.zeros(n_months * n, dtype=int)
    for i in range(1, len(y)):
        y[i] = y[i - 1] if rng.random() < 0.85 else 1 - y[i - 1]
    time = np.arange(len(y)) / n
    season = np.c_[np.sin(time / 2), np.cos(time / 2), 0.12 * time, np.zeros(len(y))]
    X = rng.normal(size=(len(y), 4)) + 1.6 * y[:, None] * [1, 0.5, 0.5, 0] + 1.5 * season
    return X, y, time.astype(int)


# %%
# What follows the stream, each as a classifier.


def followers(window: int) -> dict[str, RollingAdaptedClassifier]:
    learner = LabelledOnly(LogisticRegression(max_iter=300))
    plain = make_pipeline(StandardScaler(), learner)
    aligned = make_pipeline(DomainStandardizer(), learner)
    return {
        "fitted again each month": RollingAdaptedClassifier(plain, window=window),
        "and aligned": RollingAdaptedClassifier(aligned, window=window),
        "aligned where it is safe": RollingAdaptedClassifier(
            SafelyAdaptedClassifier(aligned, baseline=plain, random_state=0), window=window
        ),
    }


# %%
# The figure.


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy from month to month.")
    parser.add_argument("--output", type=Path, default=Path("drift.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="fewer months")
    args = parser.parse_args()

    X, y, month = electricity() if ELECTRICITY.exists() else made(24, 300)
    if args.quick:
        X, y, month = X[month < 5], y[month < 5], month[month < 5]
    with threadpool_limits(1):
        display = DriftDisplay.from_estimators(followers(3), X, y, sample_domain=month)
    for name, accuracy in display.mean_accuracy.items():
        print(f"{name:26} {accuracy:.3f}")
    data = "Electricity prices" if ELECTRICITY.exists() else "A made stream"
    display.axes_["accuracy"].set_title(f"{data}, month after month: accuracy on what was not known yet", fontsize=11)
    display.axes_["distance"].set_xlabel("month")
    display.figure_.set_size_inches(10, 6)
    display.figure_.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
