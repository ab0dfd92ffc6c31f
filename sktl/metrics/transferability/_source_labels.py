"""What the source's own labels, or clusters, say of the target's labels."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from sktl._columns import class_labels
from sktl.metrics.transferability._labelled_codes import labelled_codes, matrix

COMPONENTS_A_CLASS = 5  # as in the paper
VARIANCE_KEPT = 0.8  # by the principal components, as in the paper


def nce(source_labels: Any, y: Any) -> float:
    """Return the negative conditional entropy of labels given those of a source model [1]_.

    Parameters
    ----------
    source_labels : array-like of shape (n,)
        The class of its own that the source's classifier sees in each row.
    y : array-like of shape (n,)
        The rows' labels.

    Returns
    -------
    float
        In nats, at most 0, where each source class holds rows of one label only; higher is better.

    Raises
    ------
    TypeError, ValueError
        If either has missing labels, or their lengths differ.

    References
    ----------
    .. [1] A. T. Tran, C. V. Nguyen and T. Hassner, "Transferability and hardness of supervised classification tasks",
       ICCV, 2019.

    Examples
    --------
    >>> from sktl.metrics.transferability import nce
    >>> round(nce(["ant", "ant", "bee", "bee"], [0, 0, 0, 1]), 3)  # half the rows are a toss-up: -log(2) / 2
    -0.347
    """
    source = class_labels(source_labels, None, "nce")
    labels = class_labels(y, len(source), "nce")
    sources, columns = (np.unique(values, return_inverse=True)[1] for values in (source, labels))
    joint = np.zeros((sources.max() + 1, columns.max() + 1))
    np.add.at(joint, (sources, columns), 1 / len(source))
    # -H(Y | Z) = sum_{z, y} p(z, y) log(p(z, y) / p(z))
    return float((xlogy(joint, joint) - xlogy(joint, joint.sum(axis=1, keepdims=True))).sum())


def leep(source_proba: Any, y: Any) -> float:
    """Return LEEP: the mean log-probability of labels, guessed from a source model's probabilities alone [1]_.

    Parameters
    ----------
    source_proba : array-like of shape (n, n_source_classes)
        Probabilities of the source's own classes; each row sums to 1.
    y : array-like of shape (n,)
        The rows' labels.

    Returns
    -------
    float
        At most 0; higher is better.

    Raises
    ------
    TypeError, ValueError
        If rows are no probabilities, or y does not fit them or holds one class.

    References
    ----------
    .. [1] C. V. Nguyen, T. Hassner, M. Seeger and C. Archambeau, "LEEP: a new measure to evaluate transferability of
       learned representations", ICML, 2020.

    Examples
    --------
    >>> from sktl.metrics.transferability import leep
    >>> round(leep([[1, 0], [1, 0], [0, 1], [0, 1]], ["a", "a", "a", "b"]), 3)  # certain source labels: NCE
    -0.347
    """
    proba = matrix(source_proba, "source_proba")
    off = np.flatnonzero((proba < -1e-6).any(axis=1) | (np.abs(proba.sum(axis=1) - 1) > 1e-3))
    if len(off):
        raise ValueError(
            f"source_proba must hold probabilities, each row with the sum 1; {len(off)} rows do not, the first of them "
            f"row {off[0]} with the sum {proba[off[0]].sum():.4g}. Of logits take scipy.special.softmax(axis=1)."
        )
    rows = labelled_codes(proba, y, "leep")
    # p(y | z) = sum_{i: y_i = y} p(z | x_i) / sum_i p(z | x_i)
    joint = rows.one_hot().T @ rows.codes  # (n_classes, n_source_classes)
    total = joint.sum(axis=0)
    given = joint / np.where(total > 0, total, 1.0)
    # LEEP = mean_i log sum_z p(y_i | z) p(z | x_i)
    return float(np.log((given[rows.number] * rows.codes).sum(axis=1).clip(np.finfo(float).tiny)).mean())


def n_leep(codes: Any, y: Any, *, n_components: int | None = None, random_state: int = 0) -> float:
    """Return N-LEEP: LEEP with clusters of the codes in place of the source's classes [1]_.

    It needs no classifier of the source: a mixture of Gaussians is fitted to the principal components of the codes, and
    its components take the part of classes.

    Parameters
    ----------
    codes : array-like of shape (n, n_codes)
        Codes of labelled rows.
    y : array-like of shape (n,)
        Labels of any type.
    n_components : int or None, default=None
        Gaussians; None takes five a class as in the paper, but at most a fifth of the rows.
    random_state : int, default=0
        Fixes the mixture.

    Returns
    -------
    float
        At most 0; higher is better.

    Raises
    ------
    TypeError, ValueError
        If codes are no table of finite numbers, y does not fit them or holds one class, or `n_components` is wrong.

    References
    ----------
    .. [1] Y. Li et al., "Ranking neural checkpoints", CVPR, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics.transferability import n_leep
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> telling = rng.normal(size=(100, 4)) + 5 * y[:, None]
    >>> bool(n_leep(telling, y) > n_leep(rng.normal(size=(100, 4)), y))
    True
    """
    rows = labelled_codes(codes, y, "n_leep")
    n = len(rows.codes)
    if n_components is None:
        n_components = max(2, min(COMPONENTS_A_CLASS * len(rows.classes), n // 5))
    if not isinstance(n_components, Integral) or isinstance(n_components, bool) or not 1 <= n_components <= n:
        raise ValueError(f"n_components must be an integer from 1 to the number of rows, {n}; got {n_components!r}.")
    points = rows.codes
    if min(points.shape) > 1 and np.ptp(points, axis=0).any():
        points = PCA(VARIANCE_KEPT, svd_solver="full").fit_transform(points)
    points = points / (points.std() or 1.0)
    mixture = GaussianMixture(
        int(min(n_components, len(np.unique(points, axis=0)))), covariance_type="diag", reg_covar=1e-4,
        random_state=random_state,
    )  # fmt: skip
    return leep(mixture.fit(points).predict_proba(points), y)
