"""RuLSIF and uLSIF: a ratio fitted by least squares, in closed form."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import linalg
from sklearn.utils._param_validation import Interval, StrOptions

from sktl.density_ratios._base import DensityRatio, in_one_unit
from sktl.density_ratios._kernels import WIDTHS, drawn, folds_of, gaussian, median_distance, squared_distances

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the regularisation, that cross-validation tries


class RuLSIF(DensityRatio):
    """RuLSIF: the relative ratio p_t / (a p_t + (1 - a) p_s), fitted by least squares in closed form [1]_.

    No relative ratio is above 1 / alpha, so that no row can outweigh all others, at the price of a bias.
    ``alpha=0`` is uLSIF, the plain ratio [2]_. Widths and strengths are chosen by cross-validation.

    Parameters
    ----------
    alpha : float, default=0.1
        The target's share in the denominator, below 1.
    sigma : float or "auto", default="auto"
        Width of the Gaussian kernels on target rows; "auto" tries seven, from a tenth of the median distance to five
        times it.
    regularization : float or "auto", default="auto"
        What is added to the diagonal; "auto" tries 0.001, 0.01, ..., 10.
    n_centres : int, default=100
        Target rows on which kernels stand.
    n_folds : int, default=5
        Folds of the choice.
    random_state : int, default=0
        Draws centres and folds.

    References
    ----------
    .. [1] M. Yamada, T. Suzuki, T. Kanamori, H. Hachiya and M. Sugiyama, "Relative density-ratio estimation for robust
       distribution comparison", Neural Computation, 2013.
    .. [2] T. Kanamori, S. Hido and M. Sugiyama, "A least-squares approach to direct importance estimation", JMLR, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.density_ratios import RuLSIF
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(200, 1)), rng.normal(loc=1.0, size=(200, 1))
    >>> ratio = RuLSIF().estimate(source, target)
    >>> bool(ratio[source[:, 0] > 1].mean() > 1 > ratio[source[:, 0] < 0].mean())
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "alpha": [Interval(Real, 0, 1, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "regularization": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "n_centres": [Interval(Integral, 1, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        sigma: float | str = "auto",
        regularization: float | str = "auto",
        n_centres: int = 100,
        n_folds: int = 5,
        random_state: int = 0,
    ):
        self.alpha = alpha
        self.sigma = sigma
        self.regularization = regularization
        self.n_centres = n_centres
        self.n_folds = n_folds
        self.random_state = random_state

    def _estimate(self, source: Any, target: Any) -> np.ndarray:
        rng = np.random.default_rng(self.random_state)
        source, target, unit = in_one_unit(source, target)
        median = median_distance(source, target, rng)
        if median == 0:  # all rows are alike
            return np.ones(source.shape[0])
        centres = drawn(target, self.n_centres, rng)
        of_source, of_target = squared_distances(source, centres), squared_distances(target, centres)
        widths = [width * median for width in WIDTHS] if isinstance(self.sigma, str) else [self.sigma / unit]
        strengths = STRENGTHS if isinstance(self.regularization, str) else (self.regularization,)
        n_folds = min(self.n_folds, source.shape[0], target.shape[0])
        folds = [folds_of(len(rows), n_folds, rng) for rows in (of_source, of_target)]
        best: tuple[float, float, float] = (np.inf, median, strengths[-1])
        if len(widths) * len(strengths) == 1:
            best = (0.0, widths[0], strengths[0])
        elif n_folds > 1:
            for sigma in widths:
                losses = self._losses(gaussian(of_source, sigma), gaussian(of_target, sigma), folds, strengths)
                best = min(best, *((loss, sigma, strength) for loss, strength in zip(losses, strengths)))
        _, sigma, strength = best
        at_source, at_target = gaussian(of_source, sigma), gaussian(of_target, sigma)
        return (at_source @ coefficients(at_source, at_target, self.alpha, [strength])[0]).clip(0)

    def _losses(self, at_source: np.ndarray, at_target: np.ndarray, folds: list, strengths: Any) -> np.ndarray:
        """Return the mean loss on held-out rows of each strength: the squared error, less what no choice changes."""
        losses = np.zeros(len(strengths))
        for fold in np.unique(folds[0]):
            out_source, out_target = folds[0] == fold, folds[1] == fold
            found = coefficients(at_source[~out_source], at_target[~out_target], self.alpha, strengths)
            w_source = (at_source[out_source] @ found.T).clip(0)  # (n_out, n_strengths)
            w_target = (at_target[out_target] @ found.T).clip(0)
            # J(w) = a/2 E_t[w^2] + (1 - a)/2 E_s[w^2] - E_t[w]
            losses += self.alpha / 2 * (w_target**2).mean(axis=0) - w_target.mean(axis=0)
            losses += (1 - self.alpha) / 2 * (w_source**2).mean(axis=0)
        return losses


def coefficients(at_source: np.ndarray, at_target: np.ndarray, alpha: float, strengths: Any) -> np.ndarray:
    """Return (H + r I)^-1 h for each strength r, shape (n_strengths, n_centres).

    H = alpha E_t[k k^T] + (1 - alpha) E_s[k k^T] and h = E_t[k], for kernels of shape (n_rows, n_centres).
    """
    H = alpha / len(at_target) * at_target.T @ at_target + (1 - alpha) / len(at_source) * at_source.T @ at_source
    values, vectors = linalg.eigh(H)
    along = vectors.T @ at_target.mean(axis=0)
    return np.array([vectors @ (along / (values.clip(0) + strength)) for strength in strengths])
