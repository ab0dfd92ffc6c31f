"""How much more frequent a source row is in the target."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.metrics._outputs import stacked

FITTED_ROWS = 5000  # rows of a domain that a judge learns from at most


def density_ratio(
    source: Any, target: Any, *, C: float = 1.0, n_folds: int = 5, random_state: int = 0
) -> np.ndarray:  # fmt: skip
    """Return the density of the target over that of the source at each source row, by a classifier of the domains [1]_.

    The classifier is a logistic regression on standardised codes. A row's ratio comes from a fold that was not trained
    on it: in many dimensions a classifier tells the rows that it has seen apart with ease, and its ratios say nothing.

    Parameters
    ----------
    source, target : array or sparse matrix of shape (n_rows, n_codes)
        Codes of the two domains.
    C : float, default=1.0
        Inverse strength of the regularisation; small values draw the ratios to 1.
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
    >>> from sktl.metrics import density_ratio
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 1)), rng.normal(loc=1.0, size=(300, 1))
    >>> ratio = density_ratio(source, target)
    >>> bool(ratio[source[:, 0] > 1].mean() > 1 > ratio[source[:, 0] < 0].mean())
    True
    """
    n_source, n_target = source.shape[0], target.shape[0]
    n_folds = min(n_folds, n_source, n_target)
    if n_folds < 2:
        raise ValueError(
            f"The domains' densities are compared across folds, which takes at least 2 rows of each; got {n_source} "
            f"labelled and {n_target} unlabelled rows."
        )
    rows = stacked(source, target)
    rows = rows.astype(np.float64) if rows.dtype != np.float32 else rows
    is_target = np.arange(n_source + n_target) >= n_source
    rng = np.random.default_rng(random_state)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    ratio = np.empty(n_source)
    for train, test in folds.split(np.zeros(len(is_target)), is_target):
        fitted = _at_most(train, is_target, rng)
        judge = make_pipeline(
            StandardScaler(with_mean=not sparse.issparse(rows)), LogisticRegression(C=C, max_iter=500)
        )
        judge.fit(rows[fitted], is_target[fitted])
        held_out = test[test < n_source]
        # w(x) = p(target | x) / p(source | x) * n_source / n_target, with the rows that the judge has learned from
        n_fitted = np.bincount(is_target[fitted].astype(int), minlength=2)
        ratio[held_out] = np.exp(judge.decision_function(rows[held_out]).clip(-30, 30)) * n_fitted[0] / n_fitted[1]
    return ratio


def _at_most(rows: np.ndarray, is_target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    parts = (rows[~is_target[rows]], rows[is_target[rows]])
    return np.concatenate([np.sort(rng.permutation(part)[:FITTED_ROWS]) for part in parts])
