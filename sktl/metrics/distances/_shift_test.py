"""Whether two domains differ, in which columns, and which target rows are unlike the source."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control, ks_2samp, mannwhitneyu
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.metrics.distances._two_samples import two_samples

STRENGTHS = (1e-4, 1e-2, 1.0)
N_COMPONENTS = 10  # whose products are looked at
FARTHEST = 4.0  # deviations that a square or a product counts for
LEAST_ROWS = 8  # of a domain
FOLDS = 3
SMALL = -300  # exponent of 2


@dataclass(frozen=True)
class DomainShift:
    """What a test of two domains has found.

    Attributes
    ----------
    statistic : float
        How well a classifier tells held-out rows of the domains apart: the area under its ROC curve, 0.5 for domains
        alike and 1 for domains that share nothing.
    pvalue : float
        How often domains that are alike give as much. Small means that the domains differ.
    feature_pvalues : ndarray of shape (n_features,)
        Of each column on its own, by the Kolmogorov-Smirnov test; adjusted for their number (Benjamini-Hochberg).
    row_scores : ndarray of shape (n_target,)
        Logarithm of each target row's density ratio, by a classifier that has not learned the row: the higher, the more
        unlike the source's rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import DomainShift
    >>> int(DomainShift(0.9, 0.01, np.array([0.2, 0.01]), np.zeros(5)).feature_pvalues.argmin())
    1
    """

    statistic: float
    pvalue: float
    feature_pvalues: np.ndarray
    row_scores: np.ndarray


def domain_shift_test(source: Any, target: Any, *, random_state: int = 0) -> DomainShift:
    """Test whether two domains differ, by a classifier that tells them apart [1]_.

    A classifier learns the domains on one half of the rows, and is tested on the other, whose rows it has not seen: so
    the p-value is right whatever the classifier. It is the sum of three logistic regressions: of the columns, which see
    shifts of means; of their squares, which see scales; and of products of their leading components, which see
    covariances. Each has a strength of its own, chosen by cross-validation, so that what says nothing costs little.
    `mmd` sees shifts of any kind, in fewer columns; the p-values of single columns see them where they are a column's
    own.

    With many rows, small shifts that harm no model become certain: look at `statistic` too.

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_features)
        Rows of the two domains, at least 8 of each.
    random_state : int, default=0
        Draws the halves, and the folds in which the strength is chosen.

    Returns
    -------
    DomainShift

    Raises
    ------
    TypeError, ValueError
        If either is no table of finite numbers, has too few rows, or other columns than the other.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Oquab, "Revisiting classifier two-sample tests", ICLR, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.distances import domain_shift_test
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(200, 3)), rng.normal(loc=[0, 1, 0], size=(200, 3))
    >>> found = domain_shift_test(source, target)
    >>> found.pvalue < 0.001, int(found.feature_pvalues.argmin())
    (True, 1)
    """
    if not isinstance(random_state, Integral) or isinstance(random_state, bool) or random_state < 0:
        raise ValueError(f"random_state must be an integer, at least 0; got {random_state!r}.")
    source, target = two_samples(source, target, may_vanish=True)
    # columns whose squares would vanish, in units of a power of two
    _, unit = np.frexp(np.maximum(np.abs(source).max(axis=0), np.abs(target).max(axis=0)))
    source, target = (np.ldexp(rows, -np.where(unit < SMALL, unit, 0)) for rows in (source, target))
    n, m = len(source), len(target)
    if min(n, m) < LEAST_ROWS:
        raise ValueError(
            f"domain_shift_test needs at least {LEAST_ROWS} rows of each domain, half to learn and half to test; got "
            f"{n} and {m}."
        )
    rows, is_target = np.concatenate([source, target]), np.arange(n + m) >= n
    rng = np.random.default_rng(random_state)
    is_seen = np.concatenate([rng.permutation(np.arange(size) % 2 == 0) for size in (n, m)])
    scores = np.empty(n + m)
    for learned in (is_seen, ~is_seen):
        scores[~learned] = _Judge(rows[learned], is_target[learned], int(random_state)).scores(rows[~learned])
    of_target, of_source = scores[~is_seen & is_target], scores[~is_seen & ~is_target]
    # U / (n m) is the area under the ROC curve
    test = mannwhitneyu(of_target, of_source, alternative="greater")
    columns = [ks_2samp(a, b).pvalue for a, b in zip(source.T, target.T)]
    return DomainShift(
        statistic=float(test.statistic / (len(of_target) * len(of_source))),
        pvalue=float(test.pvalue),
        feature_pvalues=false_discovery_control(columns),
        row_scores=_log_ratios(scores, is_target)[n:],
    )


class _Squares(TransformerMixin, BaseEstimator):
    """The square of each standardised column: it tells scales."""

    def fit(self, X: np.ndarray, y: Any = None) -> _Squares:
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return np.square(X.clip(-FARTHEST, FARTHEST))


class _Products(TransformerMixin, BaseEstimator):
    """Products of two standardised columns; of many, all those of their leading components: they tell covariances."""

    def fit(self, X: np.ndarray, y: Any = None) -> _Products:
        n = min(N_COMPONENTS, *X.shape)
        narrow = [PCA(n, svd_solver="randomized", random_state=0)] if n < X.shape[1] else []
        self.components_ = make_pipeline(*narrow, StandardScaler()).fit(X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        parts = self.components_.transform(X).clip(-FARTHEST, FARTHEST)
        first, second = np.triu_indices(parts.shape[1], 1 if parts.shape[1] == X.shape[1] else 0)
        return parts[:, first] * parts[:, second]


class _Judge:
    """Tells domains apart by columns, by their squares, and by products of components; each has a say of its own.

    What says nothing of rows that it has not learned is drawn to 0 by its own strength, and leaves the others alone.

    Parameters
    ----------
    rows : ndarray of shape (n, n_columns)
        Rows that it learns.
    is_target : ndarray of bool, shape (n,)
        Whose they are.
    random_state : int
        Of the folds in which strengths are chosen.
    """

    def __init__(self, rows: np.ndarray, is_target: np.ndarray, random_state: int):
        n_folds = int(min(FOLDS, is_target.sum(), (~is_target).sum()))
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
        known = signature(LogisticRegressionCV).parameters  # before scikit-learn 1.8 these are the defaults
        new = {"l1_ratios": (0.0,), "use_legacy_attributes": False} if "use_legacy_attributes" in known else {}
        judge = LogisticRegressionCV(Cs=STRENGTHS, cv=folds, scoring="neg_log_loss", max_iter=500, **new)
        several = rows.shape[1] > 1  # else there are no products
        self.parts = [
            make_pipeline(*steps, StandardScaler(), clone(judge)).fit(rows, is_target)
            for steps in ((), (StandardScaler(), _Squares()), (StandardScaler(), _Products()))[: 3 if several else 2]
        ]

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return how much rows look like the target's: the sum of what the parts say."""
        return sum(part.decision_function(rows) for part in self.parts)


def _log_ratios(scores: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """Return log density ratios from scores of rows that were not learned; what two parts say counts once."""
    # log r = a s + b - log n_target / n_source,   a >= 0
    found = LogisticRegression().fit(scores[:, None], is_target)
    if found.coef_[0, 0] <= 0:
        return np.zeros(len(scores))
    return found.decision_function(scores[:, None]) - np.log(is_target.sum() / (~is_target).sum())
