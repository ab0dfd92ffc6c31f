"""KLIEP: the ratio under which the target's rows are likeliest."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sktl._mixture import shares
from sktl.density_ratios._base import DensityRatio, in_one_unit
from sktl.density_ratios._kernels import WIDTHS, drawn, folds_of, gaussian, median_distance, squared_distances


class KLIEP(DensityRatio):
    """KLIEP: a sum of Gaussian kernels on target rows, under which the target's rows are likeliest [1]_.

    The ratio's mean over the source is 1, and no kernel counts below 0, which makes the problem convex. It is solved as
    that of a mixture's shares are, by expectation and maximisation, until the likelihood is known to be within `tol` of
    the best one; the paper climbs gradients with steps of chosen lengths.

    Parameters
    ----------
    sigma : float or "auto", default="auto"
        Width of the kernels; "auto" takes the one of seven, from a tenth of the median distance to five times it, under
        which held-out target rows are likeliest.
    n_centres : int, default=100
        Target rows on which kernels stand.
    n_folds : int, default=5
        Folds of the choice.
    tol : float, default=0.001
        How far the mean log-likelihood may be from the best one.
    random_state : int, default=0
        Draws centres and folds.

    References
    ----------
    .. [1] M. Sugiyama, S. Nakajima, H. Kashima, P. von Bünau and M. Kawanabe, "Direct importance estimation with model
       selection and its application to covariate shift adaptation", NeurIPS, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import KLIEP
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(200, 1)), rng.normal(loc=1.0, size=(200, 1))
    >>> ratio = KLIEP().estimate(source, target)
    >>> round(float(ratio.mean()), 6)
    1.0
    >>> bool(ratio[source[:, 0] > 1].mean() > 1 > ratio[source[:, 0] < 0].mean())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "sigma": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "n_centres": [Interval(Integral, 1, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        sigma: float | str = "auto",
        *,
        n_centres: int = 100,
        n_folds: int = 5,
        tol: float = 1e-3,
        random_state: int = 0,
    ):
        self.sigma = sigma
        self.n_centres = n_centres
        self.n_folds = n_folds
        self.tol = tol
        self.random_state = random_state

    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        rng = np.random.default_rng(self.random_state)
        source, target, unit = in_one_unit(source, target)
        median = median_distance(source, target, rng)
        if median == 0:  # all rows are alike
            return np.ones(source.shape[0])
        centres = drawn(target, self.n_centres, rng)
        of_source, of_target = squared_distances(source, centres), squared_distances(target, centres)
        if isinstance(self.sigma, str):
            folds = folds_of(target.shape[0], min(self.n_folds, target.shape[0]), rng)
            widths = [width * median for width in WIDTHS]
            scores = [_likelihood(of_source, of_target, width, folds, 10 * self.tol) for width in widths]
            sigma = widths[int(np.argmax(scores))] if np.isfinite(scores).any() else float(np.sqrt(of_source.max()))
        else:
            sigma = self.sigma / unit
        basis_source, basis_target = _basis(of_source, of_target, sigma)
        if basis_source.shape[1] == 0:
            raise ValueError(
                f"With sigma={self.sigma}, no kernel on a target row reaches a source row: the domains lie too far "
                "apart for it. Raise sigma, or leave it at 'auto'."
            )
        return basis_source @ shares(basis_target, self.tol)


def _basis(of_source: np.ndarray, of_target: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernels at source and target rows, each divided by its mean over the source."""
    at_source = gaussian(of_source, sigma)
    means = at_source.mean(axis=0)
    kept = means > 1e-100
    return at_source[:, kept] / means[kept], gaussian(of_target[:, kept], sigma) / means[kept]


def _likelihood(of_source: np.ndarray, of_target: np.ndarray, sigma: float, folds: np.ndarray, tol: float) -> float:
    """Return the mean log ratio at target rows that were held out."""
    _, A = _basis(of_source, of_target, sigma)
    if A.shape[1] == 0:
        return -np.inf
    logs = np.empty(len(A))
    for fold in np.unique(folds):
        out = folds == fold
        seen = A if out.all() else A[~out]
        logs[out] = np.log(A[out] @ shares(seen, tol))
    return float(logs.mean())
