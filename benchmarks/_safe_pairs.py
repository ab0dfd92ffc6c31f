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
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
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
    SubspaceAligner,
    TransferComponentAnalysis,
)
from sktl.reweighting import ReweightedClassifier

DOMAINS_OF = {
    "Office-Caltech": ("amazon", "caltech", "dslr", "webcam"),
    "PACS": DOMAINS,
    "Amazon": ("books", "dvd", "electronics", "kitchen"),
    "MNIST and USPS": ("mnist", "usps"),
}
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
    return Xs, ys, Xt, yt


@cache
def domain(data: str, name: str) -> tuple[Any, np.ndarray]:
    """Return one domain's rows and labels."""
    if data == "Office-Caltech":
        X, y = office_rows()[name]
        return 100 * X, y.astype(int)
    if data == "Amazon":
        return amazon_rows()[name]
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


office_rows, amazon_rows = cache(partial(office, False)), cache(partial(amazon, False))
pacs_rows = cache(partial(PACS, finetune=False, n_each=None))


def methods(data: str) -> dict[str, Any]:
    """Return the adaptations of one kind of data."""
    logistic, neighbour = LogisticRegression(max_iter=300), LabelledOnly(KNeighborsClassifier(1))
    strong = LogisticRegression(C=0.01, max_iter=300)
    scaled, aligned = StandardScaler(), DomainStandardizer()
    first: list[Any] = [scaled]
    found: dict[str, Any] = {
        "SubspaceAligner": make_pipeline(scaled, SubspaceAligner(20), neighbour),
        "GeodesicFlowKernel": make_pipeline(aligned, GeodesicFlowKernel(20), neighbour),
        "TransferComponentAnalysis": make_pipeline(aligned, TransferComponentAnalysis(30), neighbour),
    }
    if data == "Amazon":
        words = TruncatedSVD(200, random_state=0)
        found, first, strong = {}, [words, scaled], LogisticRegression(C=0.1, max_iter=300)
    if data == "PACS":
        found, first = {}, [PCA(200, svd_solver="randomized", random_state=0), scaled]
    found |= {
        "DomainStandardizer": make_pipeline(*first[:-1], aligned, LabelledOnly(strong)),
        "CORALAligner": make_pipeline(*first[:-1], aligned, CORALAligner(), LabelledOnly(strong)),
        "ReweightedClassifier": make_pipeline(*first, ReweightedClassifier(logistic)),
        "ReweightedClassifier em": make_pipeline(*first, ReweightedClassifier(logistic, weighter="em")),
    }
    for loss, factor in (("cdan+e", 1), ("mcc", 1), ("mcc", 10), ("dann", 3)):
        term = get_loss(loss)
        term.set_params(weight=factor * term.weight)
        network = DomainAdaptedClassifier(loss=term, max_epochs=10, random_state=0, **WITH_BOTTLENECK)
        found[f"{loss} x {factor}"] = make_pipeline(*first, network)
    return found
