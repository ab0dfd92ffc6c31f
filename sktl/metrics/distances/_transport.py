"""Distances by optimal transport, of rows and of whole data sets with labels; POT computes them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from sktl.metrics.distances._two_samples import bures, deviations, two_samples
from sktl.metrics.transferability._labelled_codes import LabelledCodes, labelled_codes

MOST_STEPS = 1_000_000  # of the exact solver


def sliced_wasserstein_distance(source: Any, target: Any, *, n_projections: int = 200, random_state: int = 0) -> float:
    """Return the sliced 2-Wasserstein distance: that of the projections on random lines, averaged [1]_.

    Needs POT (``pip install "sktl[aligners]"``).

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_codes)
        Codes of the two domains.
    n_projections : int, default=200
        Lines.
    random_state : int, default=0
        Fixes them.

    Returns
    -------
    float
        0 for the same rows; in the codes' unit.

    Raises
    ------
    ImportError
        If POT is not installed.
    TypeError, ValueError
        If either is no table of finite numbers, is empty or has other columns than the other, or `n_projections` is
        wrong.

    References
    ----------
    .. [1] N. Bonneel, J. Rabin, G. Peyré and H. Pfister, "Sliced and Radon Wasserstein barycenters of measures",
       Journal of Mathematical Imaging and Vision 51, 2015.

    Examples
    --------
    >>> from sktl.metrics.distances import sliced_wasserstein_distance
    >>> try:
    ...     print(round(sliced_wasserstein_distance([[0.0], [1.0]], [[2.0], [3.0]]), 3))  # a line: each moves by 2
    ... except ImportError:  # POT is not installed
    ...     print(2.0)
    2.0
    """
    if not isinstance(n_projections, Integral) or isinstance(n_projections, bool) or n_projections < 1:
        raise ValueError(f"n_projections must be an integer, at least 1; got {n_projections!r}.")
    first, second = two_samples(source, target, min_rows=1)
    lines = np.random.default_rng(random_state).normal(size=(first.shape[1], int(n_projections)))
    lines /= np.linalg.norm(lines, axis=0)
    found = _pot("sliced_wasserstein_distance").sliced_wasserstein_distance(first, second, projections=lines)
    return float(found)


def otdd(
    source: Any, source_y: Any, target: Any, target_y: Any, *, max_rows: int | None = 2000, random_state: int = 0
) -> float:
    """Return the optimal transport data set distance: how far two labelled data sets are apart [1]_.

    Rows are carried from one set to the other. Carrying a row costs its squared distance, plus the squared
    2-Wasserstein distance between the Gaussians of the two rows' classes: labels need not be the same, nor as many.
    Needs POT (``pip install "sktl[aligners]"``).

    Parameters
    ----------
    source, target : array-like of shape (n_rows, n_codes)
        Codes of the two data sets.
    source_y, target_y : array-like of shape (n_rows,)
        Their labels.
    max_rows : int or None, default=2000
        Rows of each set that are carried, drawn at random; classes are described by all their rows. The exact plan
        takes time in the cube of it. None takes all.
    random_state : int, default=0
        Fixes the draw.

    Returns
    -------
    float
        The root of the least mean cost: 0 for the same set, in the codes' unit.

    Raises
    ------
    ImportError
        If POT is not installed.
    TypeError, ValueError
        If codes are no tables of finite numbers or have other columns than each other, labels do not fit them or are
        of one class, or `max_rows` is wrong.

    References
    ----------
    .. [1] D. Alvarez-Melis and N. Fusi, "Geometric dataset distances via optimal transport", NeurIPS, 2020.

    Examples
    --------
    >>> from sktl.metrics.distances import otdd
    >>> codes, y = [[0.0], [0.0], [9.0], [9.0]], ["a", "a", "b", "b"]
    >>> try:
    ...     print(round(otdd(codes, y, codes, [7, 7, 3, 3]), 3))  # other names for the same classes
    ... except ImportError:  # POT is not installed
    ...     print(0.0)
    0.0
    """
    if max_rows is not None and (not isinstance(max_rows, Integral) or isinstance(max_rows, bool) or max_rows < 1):
        raise ValueError(f"max_rows must be an integer, at least 1, or None; got {max_rows!r}.")
    two_samples(source, target)
    first, second = labelled_codes(source, source_y, "otdd"), labelled_codes(target, target_y, "otdd")
    ot = _pot("otdd")
    rng = np.random.default_rng(random_state)
    rows, others = (_some(len(part.codes), max_rows, rng) for part in (first, second))
    # d((x, y), (x', y'))^2 = |x - x'|^2 + W_2(class of y, class of y')^2
    cost = cdist(first.codes[rows], second.codes[others], "sqeuclidean")
    cost += _class_distances(first, second)[np.ix_(first.number[rows], second.number[others])]
    even = np.full(len(rows), 1 / len(rows)), np.full(len(others), 1 / len(others))
    return float(np.sqrt(max(0.0, float(ot.emd2(*even, cost, numItermax=MOST_STEPS)))))


def _class_distances(first: LabelledCodes, second: LabelledCodes) -> np.ndarray:
    """Return the squared 2-Wasserstein distance of the Gaussians of each two classes, (n_classes, n_other_classes)."""
    parts = [[part.codes[part.number == c] for c in range(len(part.classes))] for part in (first, second)]
    means = [np.stack([rows.mean(axis=0) for rows in part]) for part in parts]
    factors = [[deviations(rows) for rows in part] for part in parts]
    spreads = [[bures(factor, other) for other in factors[1]] for factor in factors[0]]
    return cdist(*means, "sqeuclidean") + np.array(spreads)


def _some(n: int, most: int | None, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n) if most is None or n <= most else np.sort(rng.permutation(n)[: int(most)])


def _pot(name: str) -> Any:
    try:
        import ot
    except ImportError as error:
        raise ImportError(
            f'{name} needs POT, which is not installed. Install it by `pip install "sktl[aligners]"`, or '
            "`pip install pot`."
        ) from error
    return ot
