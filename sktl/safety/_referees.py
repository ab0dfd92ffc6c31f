"""Other classifiers that have learned the source, and say what they take target rows for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sktl._array_api import n_rows
from sktl._magnitudes import fitted_scaler

MOST_COLUMNS = 50  # leading directions in which neighbours are looked for
N_TREES = 100
NEIGHBOURS = 5
FARTHEST = 20  # deviations of the source that a column counts for
FOLDS = 3


def verdicts(source: Any, y: np.ndarray, target: Any, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each target row's label by a forest in the rows as they are, and by neighbours in aligned ones.

    Parameters
    ----------
    source, y : array or sparse matrix of shape (n_source, n_features), and ndarray of shape (n_source,)
        Labelled rows.
    target : array or sparse matrix of shape (n_target, n_features)
        Rows of the target.
    random_state : int
        Of the forest.
    """
    if sparse.issparse(source):
        both = leading(sparse.vstack([source, target]))
        source, target = both[: n_rows(source)], both[n_rows(source) :]
    source, target = (np.asarray(rows, dtype=np.float64) for rows in (source, target))
    forest = RandomForestClassifier(N_TREES, random_state=random_state).fit(source, y)
    return forest.predict(target), nearest_aligned(source, y, target)


def nearest_aligned(source: np.ndarray, y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return each target row's label by its neighbours in the source, once each domain has mean 0 and variance 1."""
    aligned = np.concatenate([_standardised(rows) for rows in (source, target)])
    aligned = _in_leading_directions(aligned)
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(y))).fit(aligned[: len(y)], y)
    return nearest.predict(aligned[len(y) :])


def overlap(source: Any, target: Any) -> float:
    """Return 1 where a linear classifier cannot tell two domains' rows apart, 0 where it always can.

    Its area under the curve is of rows that it has not learned.
    """
    if sparse.issparse(source):
        both = leading(sparse.vstack([source, target]))
    else:
        scale = fitted_scaler(StandardScaler(), np.asarray(source, dtype=np.float64))
        both = np.concatenate([scale.transform(np.asarray(rows, dtype=np.float64)) for rows in (source, target)])
        both = _in_leading_directions(np.nan_to_num(both).clip(-FARTHEST, FARTHEST))
    is_target = np.arange(len(both)) >= n_rows(source)
    if min(is_target.sum(), (~is_target).sum()) < FOLDS:
        return 0.0
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    told = cross_val_predict(LogisticRegression(C=0.1, max_iter=200), both, is_target, cv=folds,
                             method="decision_function")  # fmt: skip
    # o = 2 (1 - AUC)
    return float(np.clip(2 * (1 - roc_auc_score(is_target, told)), 0, 1))


def is_table(X: Any) -> bool:
    """Tell whether rows are numbers in columns: a referee can learn them as they are."""
    return sparse.issparse(X) or (getattr(X, "ndim", 0) == 2 and getattr(X, "dtype", np.dtype("O")).kind in "biuf")


def leading(rows: Any) -> np.ndarray:
    """Return rows in their leading directions, their columns brought to one scale; sparse ones as they are."""
    if sparse.issparse(rows):
        n = min(MOST_COLUMNS, rows.shape[1] - 1)
        return TruncatedSVD(n, random_state=0).fit_transform(rows) if n > 0 else rows.toarray()
    return _in_leading_directions(_standardised(np.asarray(rows, dtype=np.float64)))


def _standardised(rows: np.ndarray) -> np.ndarray:
    return np.nan_to_num(fitted_scaler(StandardScaler(), rows).transform(rows))  # missing: the mean


def _in_leading_directions(rows: np.ndarray) -> np.ndarray:
    n = min(MOST_COLUMNS, *rows.shape)
    return PCA(n, svd_solver="randomized", random_state=0).fit_transform(rows) if n < rows.shape[1] else rows
