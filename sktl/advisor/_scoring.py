"""Every layer scored on the labelled rows, and which is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from sktl._validation import did_you_mean
from sktl._warn_once import warn_user
from sktl.advisor._codes import AS_THEY_ARE, PIXELS, LayerCodes
from sktl.advisor._linear_models import linear_and_forest, suits_forest
from sktl.advisor._problem import stratified
from sktl.metrics.transferability import (
    gbc,
    h_score,
    knn_leave_one_out,
    log_me,
    n_leep,
    ridge_leave_one_out,
    trans_rate,
)

NORMAL = NormalDist()
NAMES = {"linear": "linear probe", "knn": "k-NN", "logme": "LogME", "h_score": "H-score", "gbc": "GBC"}
ACCURACIES = ("linear", "knn")  # in the order in which they decide
FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "logme": log_me,
    "h_score": h_score,
    "gbc": gbc,
    "trans_rate": trans_rate,
    "n_leep": n_leep,
}
SCORES = (*ACCURACIES, *FORMULAS)
GOOD_ENOUGH = 0.99  # accuracy of codes, beyond which what is dearer can win next to nothing
NEIGHBOURS = 5  # scikit-learn's default
BOOSTED_FOLDS = 3
FEWEST_BOOSTED = 50  # rows
MOST_BOOSTED = 150_000  # rows times columns times trees an iteration, which take a second or two
MOST_BOOSTED_CLASSES = 10

OfTrees = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # rows; of these, what two models are right about


@dataclass(frozen=True)
class ScoredLayer:
    """A layer's scores.

    Attributes
    ----------
    part : LayerCodes
        The layer.
    scores : dict of str to float
        By name; higher is better.
    right : dict of str to ndarray of bool
        Which rows an accuracy is right about, each predicted without itself.
    """

    part: LayerCodes
    scores: dict[str, float]
    right: dict[str, np.ndarray]

    def light(self) -> ScoredLayer:
        """Return the names and scores alone, to be kept."""
        item = self.part.backbone if self.part.is_pretrained else None
        return ScoredLayer(replace(self.part, item=item, codes=np.empty((0, 0))), self.scores, {})


@dataclass(frozen=True)
class Lead:
    """How far one layer is ahead of another.

    Attributes
    ----------
    difference : float
        Of the score that decides.
    low, high : float
        A 95 % interval of it, from rows that one is right about and the other is not; NaN where the score is no
        accuracy.
    probability : float
        That the difference is above 0.
    """

    difference: float
    low: float
    high: float
    probability: float

    def as_mapping(self) -> dict[str, float]:
        """Return it under the names of `TransferAdvisor.confidence_`."""
        return {"lead": self.difference, "low": self.low, "high": self.high, "probability": self.probability}


def checked_scores(scores: Sequence[str]) -> list[str]:
    """Return the scores asked for.

    Raises
    ------
    ValueError
        If one is unknown, or there is none.
    """
    asked = [str(name) for name in scores]
    odd = [name for name in asked if name not in SCORES]
    if odd or not asked:
        hint = did_you_mean(odd[0], SCORES) if odd else ""
        raise ValueError(f"scores must be one or more of {', '.join(map(repr, SCORES))}; got {tuple(scores)!r}.{hint}")
    return asked


def possible_cv(cv: int | None, number: np.ndarray) -> int | None:
    """Return the folds asked for, or None for leave-one-out where a class has too few rows."""
    smallest = int(np.unique(number, return_counts=True)[1].min())
    if cv is None or smallest >= cv:
        return cv
    warn_user(
        f"The smallest class has {smallest} rows, too few for cv={cv}: scores are by exact leave-one-out instead."
    )
    return None


def how_scored(cv: int | None, n: int) -> str:
    """Return in words how accuracies were made."""
    return f"{'exact leave-one-out' if cv is None else f'{cv}-fold cross-validation'} on {n} rows"


def deciding(scores: Sequence[str]) -> str:
    """Return the score by which layers are ranked: an accuracy, the linear one first, or else the first named."""
    return next((name for name in ACCURACIES if name in scores), scores[0])


def score_layers(
    layers: Sequence[LayerCodes], number: np.ndarray, scores: Sequence[str], cv: int | None, seed: int
) -> list[ScoredLayer]:
    """Return every layer with its scores on labelled rows; `number` is their classes, as integers."""
    n = len(number)
    return [_scored(part, part.codes[:n], number, scores, cv, seed) for part in layers]


def _scored(
    part: LayerCodes, codes: np.ndarray, number: np.ndarray, scores: Sequence[str], cv: int | None, seed: int
) -> ScoredLayer:
    right: dict[str, np.ndarray] = {}
    if "knn" in scores:
        metric = "euclidean" if part.layer in (AS_THEY_ARE, PIXELS) else "cosine"
        right["knn"] = knn_leave_one_out(codes, number, n_neighbors=n_neighbours(number), metric=metric) == number
    if "linear" in scores and cv is None:
        right["linear"] = ridge_leave_one_out(codes, number).labels == number
    elif "linear" in scores:
        folds = StratifiedKFold(cv, shuffle=True, random_state=seed)
        C = 1.0 if part.layer in (AS_THEY_ARE, PIXELS) else 100.0
        model = LogisticRegression(C=C, max_iter=1000)
        right["linear"] = cross_val_predict(model, codes, number, cv=folds) == number
    values = {name: float(right[name].mean()) if name in right else FORMULAS[name](codes, number) for name in scores}
    return ScoredLayer(part, values, right)


def n_neighbours(number: np.ndarray) -> int:
    """Return how many neighbours say the class of a row: one, where most classes have few rows."""
    return NEIGHBOURS if np.median(np.bincount(number)) > NEIGHBOURS else 1


def boosted(layers: Sequence[ScoredLayer], number: np.ndarray, seed: int) -> OfTrees | None:
    """Return which of the feature rows (a sample, by class) models of trees are right about, fitted without them.

    Boosted trees, and the mean of a linear classifier and a forest where rows suit it. They have no closed form and are
    fitted in three folds. None where rows are too few, or classes too many for it.
    """
    part = next((one.part for one in layers if one.part.layer == AS_THEY_ARE), None)
    sizes = np.bincount(number)
    if part is None or sizes.min() < BOOSTED_FOLDS or len(sizes) > MOST_BOOSTED_CLASSES:
        return None
    most = MOST_BOOSTED // (part.codes.shape[1] * (len(sizes) if len(sizes) > 2 else 1))
    rows = stratified(number, sizes, max(most, FEWEST_BOOSTED), np.random.default_rng(seed))
    if len(rows) < FEWEST_BOOSTED:
        return None
    folds = StratifiedKFold(BOOSTED_FOLDS, shuffle=True, random_state=seed)
    X, labels = part.codes[rows], number[rows]
    right = cross_val_predict(HistGradientBoostingClassifier(random_state=seed), X, labels, cv=folds) == labels
    if not suits_forest(part.codes):
        return rows, right, None
    mean = linear_and_forest(X, len(sizes), random_state=seed)
    return rows, right, cross_val_predict(mean, X, labels, cv=folds) == labels


def lead(one: ScoredLayer, other: ScoredLayer, score: str) -> Lead:
    """Return how far `one` is ahead of `other`."""
    difference = one.scores[score] - other.scores[score]
    if score not in one.right:
        return Lead(difference, math.nan, math.nan, math.nan)
    gains = one.right[score].astype(float) - other.right[score]
    error = standard_error(gains)
    sure = 0.5 if difference == 0 else float(difference > 0)
    probability = NORMAL.cdf(difference / error) if error > 0 else sure
    return Lead(difference, difference - 1.96 * error, difference + 1.96 * error, probability)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def interval(accuracy: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n rows."""
    z2 = 1.96**2
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 / (1 + z2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def ranking(layers: Sequence[ScoredLayer], scores: Sequence[str], n: int) -> Any:
    """Return a row a layer, the best first; a pandas DataFrame if pandas is there, else a list of dicts."""
    score = deciding(scores)
    rows = []
    for scored in sorted(layers, key=lambda s: s.scores[score], reverse=True):
        part = scored.part
        row: dict[str, Any] = {"backbone": part.backbone, "layer": part.layer, "depth": round(part.depth, 2)}
        row |= scored.scores
        if score in ACCURACIES:
            row["low"], row["high"] = interval(scored.scores[score], n)
        rows.append(row)
    try:
        import pandas as pd
    except ImportError:
        return rows
    return pd.DataFrame(rows)


def name_of(score: str) -> str:
    """Return a score as readers know it."""
    return NAMES.get(score, score)
