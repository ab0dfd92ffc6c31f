"""Pairs of domains, and adaptations between them, on which harm is looked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from _common import WITH_BOTTLENECK, data_path
from adaptation_accuracy import DOMAINS, PACS
from aligners_accuracy import amazon, office
from scipy import ndimage, sparse
from scipy.stats import special_ortho_group
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.losses import get_loss
from sktl.aligners import (
    CORALAligner,
    DomainStandardizer,
    GeodesicFlowKernel,
    LabelledOnly,
    OptimalTransportAligner,
    SubspaceAligner,
)
from sktl.reweighting import ReweightedClassifier

DOMAINS_OF = {
    "Office-Caltech": ("amazon", "caltech", "dslr", "webcam"),
    "PACS": DOMAINS,
    "Amazon": ("books", "dvd", "electronics", "kitchen"),
    "MNIST and USPS": ("mnist", "usps"),
}
PERIODS = ((0, 1), (0, 4), (0, 12), (4, 8), (5, 6), (8, 20), (10, 30), (12, 13), (20, 40), (25, 28), (30, 31), (40, 44))
TABLES = {"cancer": load_breast_cancer, "wine": load_wine}
TABLE_SHIFTS = ("none", "noise", "scale", "moved", "turned", "dropped", "picked")
MOST_ROWS = 500  # of a domain
SHIFTS: dict[str, tuple[Callable, float]] = {
    "noise 0.01": (lambda X, s: X + np.random.default_rng(1).normal(scale=s, size=X.shape), 0.01),
    "noise 0.3": (lambda X, s: X + np.random.default_rng(1).normal(scale=s, size=X.shape), 0.3),
    "noise 0.8": (lambda X, s: X + np.random.default_rng(1).normal(scale=s, size=X.shape), 0.8),
    "rotation 20": (lambda X, s: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1), 20),
    "rotation 45": (lambda X, s: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1), 45),
    "blur 0.7": (lambda X, s: ndimage.gaussian_filter(X, (0, s, s)), 0.7),
    "blur 1.2": (lambda X, s: ndimage.gaussian_filter(X, (0, s, s)), 1.2),
    "contrast 0.5": (lambda X, s: 0.5 + s * (X - 0.5), 0.5),
    "contrast 0.2": (lambda X, s: 0.5 + s * (X - 0.5), 0.2),
    "brightness 0.4": (lambda X, s: X + s, 0.4),
    "dropped 0.2": (lambda X, s: X * (np.random.default_rng(1).random(X.shape) > s), 0.2),
    "dropped 0.5": (lambda X, s: X * (np.random.default_rng(1).random(X.shape) > s), 0.5),
    "moved 0.5": (lambda X, s: ndimage.shift(X, (0, 0, s), order=1), 0.5),
    "moved 1": (lambda X, s: ndimage.shift(X, (0, 0, s), order=1), 1.0),
    "moved 1.5": (lambda X, s: ndimage.shift(X, (0, 0, s), order=1), 1.5),
    "inverted": (lambda X, s: 1 - X, 1.0),
}
RARE = 0.05  # share that is kept of the classes that are made rare


def cases() -> list[tuple[str, str, str, str, str]]:
    """Return (data, source, target, method, classes), in an order of chance; with "rare" half the classes nearly go."""
    pairs = [(data, *pair) for data, names in DOMAINS_OF.items() for pair in itertools.permutations(names, 2)]
    pairs += [("digits", "plain", shift) for shift in SHIFTS]
    pairs += [("electricity", str(first), str(second)) for first, second in PERIODS]
    pairs += [("tables", f"{table} as it is", f"{table} {shift}") for table in TABLES for shift in TABLE_SHIFTS]
    found = [(*pair, method, classes) for pair in pairs for method in methods(pair[0]) for classes in ("all", "rare")]
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def rows(data: str, source: str, target: str, classes: str) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return rows and labels of both domains."""
    (Xs, ys), (Xt, yt) = domain(data, source), domain(data, target)
    if classes == "rare":
        rng = np.random.default_rng(sum(map(ord, source + target)))
        frequent = rng.permutation(np.unique(yt))[: len(np.unique(yt)) // 2]
        kept = np.flatnonzero(np.isin(yt, frequent) | (rng.random(len(yt)) < RARE))
        Xt, yt = Xt[kept], yt[kept]
    return *some(Xs, ys, 0), *some(Xt, yt, 1)


def some(X: Any, y: np.ndarray, seed: int) -> tuple[Any, np.ndarray]:
    """Return at most as many rows as are looked at of a domain."""
    drawn = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    return X[drawn], y[drawn]


@cache
def domain(data: str, name: str) -> tuple[Any, np.ndarray]:
    """Return one domain's rows and labels."""
    if data == "Office-Caltech":
        X, y = office_rows()[name]
        return 100 * X, y.astype(int)
    if data == "Amazon":
        return amazon_rows()[name]
    if data == "electricity":
        held = np.load(data_path("electricity/electricity.npz"))
        period = slice(1000 * int(name), 1000 * int(name) + 1000)
        return held["X"][period, 1:].astype(np.float64), held["y"][period].astype(int)
    if data == "tables":
        return shifted_table(*name.split(" ", 1))
    if data == "PACS":
        X, y = pacs_rows()(name)
        return X, np.unique(y, return_inverse=True)[1]
    if data == "MNIST and USPS":
        held = np.load(data_path(f"digits/{name}.npz"))
        some = np.random.default_rng(0).permutation(len(held["x_train"]))[:2000]
        X = held["x_train"][some].astype(np.float64) / 255
        X = ndimage.zoom(X, (1, 16 / 28, 16 / 28), order=1) if X.shape[1] == 28 else X
        return X.reshape(len(X), -1), held["y_train"][some].astype(int)
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(3).permutation(len(y))
    X, y = (X[order] / 16).reshape(-1, 8, 8), y[order]
    if name == "plain":
        return X[:1000].reshape(1000, -1), y[:1000]
    shift, strength = SHIFTS[name]
    return shift(X[1000:], strength).reshape(-1, 64), y[1000:]


def shifted_table(table: str, shift: str) -> tuple[np.ndarray, np.ndarray]:
    """Return one half of a table's rows, in deviations, and of the other half a shifted copy."""
    X, y = TABLES[table](return_X_y=True)
    order = np.random.default_rng(2).permutation(len(y))
    X, y = (X[order] - X.mean(axis=0)) / X.std(axis=0), y[order]
    half, rng = len(y) // 2, np.random.default_rng(1)
    if shift == "as it is":
        return X[:half], y[:half]
    X, y = X[half:], y[half:]
    n, d = X.shape
    if shift == "noise":
        X = X + rng.normal(scale=1.5, size=(n, d))
    elif shift == "scale":
        X = X * rng.uniform(0.3, 3, d)
    elif shift == "moved":
        X = X + rng.normal(scale=1.5, size=d)
    elif shift == "turned":
        X = X @ (0.6 * np.eye(d) + 0.4 * special_ortho_group.rvs(d, random_state=3))
    elif shift == "dropped":
        X = np.where(np.isin(np.arange(d), rng.permutation(d)[: d // 2]), 0, X)
    elif shift == "picked":
        kept = X[:, 0] > np.median(X[:, 0])
        X, y = X[kept], y[kept]
    return X, y


@cache
def amazon_rows() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return 200 directions of tf-idf rows; they are those of all texts, as nothing there needs labels."""
    domains = amazon(False)
    words = TruncatedSVD(200, n_iter=2, random_state=0).fit(sparse.vstack([X for X, _ in domains.values()]))
    return {name: (20 * words.transform(X), y.astype(int)) for name, (X, y) in domains.items()}


office_rows = cache(partial(office, False))
pacs_rows = cache(partial(PACS, finetune=False, n_each=60))


def methods(data: str) -> dict[str, Any]:
    """Return the adaptations of one kind of data."""
    n = 3 if data in ("electricity", "tables") else 20
    logistic, neighbour = LogisticRegression(C=0.1, max_iter=200), LabelledOnly(KNeighborsClassifier(1))
    scaled, aligned, learner = StandardScaler(), DomainStandardizer(), LabelledOnly(logistic)
    found: dict[str, Any] = {
        "DomainStandardizer": make_pipeline(aligned, learner),
        "CORALAligner": make_pipeline(aligned, CORALAligner(), learner),
        "CORALAligner alone": make_pipeline(scaled, CORALAligner(), learner),
        "SubspaceAligner": make_pipeline(scaled, SubspaceAligner(n), neighbour),
        "GeodesicFlowKernel": make_pipeline(aligned, GeodesicFlowKernel(n), neighbour),
        "OptimalTransportAligner": make_pipeline(scaled, OptimalTransportAligner(), learner),
        "ReweightedClassifier": make_pipeline(scaled, ReweightedClassifier(logistic)),
        "ReweightedClassifier em": make_pipeline(scaled, ReweightedClassifier(logistic, weighter="em")),
    }
    for loss, factor in (("mcc", 1), ("mcc", 10), ("dann", 3)):
        term = get_loss(loss)
        term.set_params(weight=factor * term.weight)
        network = DomainAdaptedClassifier(loss=term, max_epochs=10, random_state=0, **WITH_BOTTLENECK)
        found[f"{loss} x {factor}"] = make_pipeline(scaled, network)
    return found
