"""How much more frequent a source row is in the target, by a classifier of the domains."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._array_api import check_array
from sktl._columns import check_same_columns
from sktl._magnitudes import fitted_scaler
from sktl.density_ratios._base import DensityRatio, stacked

FITTED_ROWS = 5000  # rows of a domain that a judge learns from at most
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LARGEST = 30.0  # of the ratios' logarithms


def density_ratio(
    source: Any, target: Any, *, C: float | str = "auto", n_folds: int = 5, random_state: int = 0
) -> np.ndarray:
    """Return the density of the target over that of the source at each source row, by a classifier of the domains [1]_.

    The classifier is a logistic regression on standardised codes. A row's ratio comes from a fold that was not trained
    on it: in many dimensions a classifier tells the rows that it has seen apart with ease, and its ratios say nothing.

    Parameters
    ----------
    source, target : array or sparse matrix of shape (n_rows, n_codes)
        Codes of the two domains.
    C : float or "auto", default="auto"
        Inverse strength of the regularisation; small values draw the ratios to 1. "auto" takes the one of
        0.0001, 0.001, ..., 1 that tells held-out rows apart best, by their likelihood.
    n_folds : int, default=5
        Folds, fewer if a domain has fewer rows.
    random_state : int, default=0
        Fixes the folds.

    Returns
    -------
    ndarray of shape (n_source,)
        Ratios, above 0.

    Raises
    ------
    ValueError
        If a domain has fewer than two rows.

    References
    ----------
    .. [1] S. Bickel, M. Bruckner and T. Scheffer, "Discriminative learning for differing training and test
       distributions", ICML, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import density_ratio
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 1)), rng.normal(loc=1.0, size=(300, 1))
    >>> ratio = density_ratio(source, target)
    >>> bool(ratio[source[:, 0] > 1].mean() > 1 > ratio[source[:, 0] < 0].mean())
    True
    """
    log_ratios, is_target = held_out_log_ratios(source, target, C=C, n_folds=n_folds, random_state=random_state)
    return np.exp(log_ratios[~is_target])


def held_out_log_ratios(
    source: Any, target: Any, *, C: float | str, n_folds: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log density ratio at all rows, source first, by a classifier of the domains that has not seen them.

    Returns
    -------
    log_ratios : ndarray of shape (n_source + n_target,)
        Above 0 where a row is more frequent in the target.
    is_target : ndarray of bool, shape (n_source + n_target,)
    """
    check_same_columns(source, target)
    source, target = (
        check_array(rows, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_min_samples=0, input_name=name)
        for name, rows in (("source", source), ("target", target))
    )
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source has {source.shape[1]} columns and target {target.shape[1]}: codes of one kind are compared."
        )
    n_source, n_target = source.shape[0], target.shape[0]
    n_folds = min(n_folds, n_source, n_target)
    if n_folds < 2:
        raise ValueError(
            f"The domains' densities are compared across folds, which takes at least 2 rows of each; got {n_source} "
            f"labelled and {n_target} unlabelled rows."
        )
    rows = stacked(source, target)
    is_target = np.arange(n_source + n_target) >= n_source
    strengths = STRENGTHS if isinstance(C, str) else (float(C),)
    log_ratios = _held_out(rows, is_target, strengths, n_folds, random_state)
    # -log p(domain | x) of a row, with log p(target | x) / p(source | x) = log w(x) + log(n_target / n_source)
    sign = np.where(is_target, -1.0, 1.0)
    surprises = np.logaddexp(0, sign * (log_ratios + np.log(n_target / n_source))).mean(axis=1)
    return log_ratios[surprises.argmin()], is_target


class DiscriminativeRatio(DensityRatio):
    """A logistic regression of the domains tells how much more frequent a row is in the target [1]_.

    The choice to start with: it takes sparse rows, and its strength is chosen on held-out rows, so that rows of many
    columns or alike domains give ratios near 1 rather than wild ones. It is `density_ratio`, as an object.

    Parameters
    ----------
    C : float or "auto", default="auto"
        Inverse strength of the regularisation; "auto" takes the one of 0.0001, 0.001, ..., 1 that tells held-out rows
        apart best.
    n_folds : int, default=5
        A row's ratio comes from a fold that has not seen it.
    random_state : int, default=0
        Fixes the folds.

    References
    ----------
    .. [1] S. Bickel, M. Bruckner and T. Scheffer, "Discriminative learning for differing training and test
       distributions", ICML, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import DiscriminativeRatio
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 1)), rng.normal(loc=1.0, size=(300, 1))
    >>> ratio = DiscriminativeRatio().estimate(source, target)
    >>> bool(ratio[source[:, 0] > 1].mean() > 1 > ratio[source[:, 0] < 0].mean())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, C: float | str = "auto", *, n_folds: int = 5, random_state: int = 0):
        self.C = C
        self.n_folds = n_folds
        self.random_state = random_state

    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        return density_ratio(source, target, C=self.C, n_folds=self.n_folds, random_state=self.random_state)


def _held_out(
    rows: Any, is_target: np.ndarray, strengths: Sequence[float], n_folds: int, random_state: int
) -> np.ndarray:
    """Return log w(x) of every row by judges that have not seen it, shape (n_strengths, n)."""
    rng = np.random.default_rng(random_state)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    log_ratios = np.empty((len(strengths), len(is_target)))
    for train, test in folds.split(np.zeros(len(is_target)), is_target):
        fitted = _at_most(train, is_target, rng)
        scaler = fitted_scaler(StandardScaler(with_mean=not sparse.issparse(rows)), rows[fitted])
        seen, unseen = scaler.transform(rows[fitted]), scaler.transform(rows[test])
        # w(x) = p(target | x) / p(source | x) * n_source / n_target, with the rows that the judge has learned from
        prior = np.log((~is_target[fitted]).sum() / is_target[fitted].sum())
        for number, strength in enumerate(strengths):
            judge = LogisticRegression(C=strength, max_iter=500).fit(seen, is_target[fitted])
            log_ratios[number, test] = (judge.decision_function(unseen) + prior).clip(-LARGEST, LARGEST)
    return log_ratios


def _at_most(rows: np.ndarray, is_target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    parts = (rows[~is_target[rows]], rows[is_target[rows]])
    return np.concatenate([np.sort(rng.permutation(part)[:FITTED_ROWS]) for part in parts])
