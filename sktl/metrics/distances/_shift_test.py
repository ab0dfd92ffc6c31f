"""Whether two domains differ, in which columns, and which target rows are unlike the source."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control, ks_2samp, mannwhitneyu
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.density_ratios import held_out_log_ratios
from sktl.metrics.distances._two_samples import two_samples

STRENGTHS = (1e-4, 1e-2, 1.0)
LEAST_ROWS = 8  # of a domain
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
        Logarithm of each target row's density ratio: the higher, the more unlike the source's rows.

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

    A logistic regression learns the domains on one half of the rows, and is tested on the other, whose rows it has not
    seen: so the p-value is right whatever the classifier. It sees shifts of means first. `mmd` sees shifts of any kind,
    in fewer columns; the p-values of single columns see them where they are a column's own.

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
    source, target = two_samples(source, target)
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
    scores = _judge(rows[is_seen], is_target[is_seen], int(random_state)).decision_function(rows[~is_seen])
    of_target, of_source = scores[is_target[~is_seen]], scores[~is_target[~is_seen]]
    # U / (n m) is the area under the ROC curve
    test = mannwhitneyu(of_target, of_source, alternative="greater")
    columns = [ks_2samp(a, b).pvalue for a, b in zip(source.T, target.T)]
    log_ratios, _ = held_out_log_ratios(source, target, C="auto", n_folds=5, random_state=int(random_state))
    return DomainShift(
        statistic=float(test.statistic / (len(of_target) * len(of_source))),
        pvalue=float(test.pvalue),
        feature_pvalues=false_discovery_control(columns),
        row_scores=log_ratios[n:],
    )


def _judge(rows: np.ndarray, is_target: np.ndarray, random_state: int) -> Any:
    n_folds = int(min(5, is_target.sum(), (~is_target).sum()))
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    judge = LogisticRegressionCV(
        Cs=STRENGTHS, cv=folds, scoring="neg_log_loss", max_iter=500, l1_ratios=(0.0,), use_legacy_attributes=False
    )
    return make_pipeline(StandardScaler(), judge).fit(rows, is_target)
