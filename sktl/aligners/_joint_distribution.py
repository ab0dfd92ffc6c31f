"""Joint distribution adaptation: components along which the domains' means agree, over all rows and class by class."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sktl._columns import check_classes
from sktl._domains import Domains
from sktl._unlabelled import is_labelled, known_labels
from sktl._warn_once import warn_user
from sktl.aligners._base import Aligner, warn_of_few
from sktl.aligners._components import Space, components, fitted_kernel


class JointDistributionAligner(Aligner):
    """Joint distribution adaptation (JDA): the means of the domains agree, and those of each class [1]_.

    As in `TransferComponentAnalysis`, rows become coordinates along components that keep much variance and bring the
    domains' means together. A classifier, learned from the source rows in these, then labels the target's rows; the
    means of each class are brought together too, and so on, `max_rounds` times. Labels that the target has are used as
    they are. Bring columns to one scale before (`DomainStandardizer`). The paper classifies by one nearest neighbour,
    of rows brought to length 1 after the mapping (``Normalizer``).

    It departs from the paper in three ways. Rows are divided by their root mean squared length, so that
    `regularization` means the same on any scale. The matrix of means is not divided by its norm. The variance of a
    component falls as its eigenvalue does, and is 1 for the first.

    Parameters
    ----------
    n_components : int, default=30
        Components; fewer where there are fewer.
    kernel : {"linear", "rbf"}, default="linear"
        "linear": components are weighted sums of columns. "rbf": weighted sums of the likeness to rows of `fit`.
    gamma : float or "scale", default="scale"
        Of "rbf"; "scale" is 1 / (n_features * variance of X).
    regularization : float, default=0.1
        Lambda in the paper: smaller values bring the means closer together.
    max_rounds : int, default=10
        How often the target's rows are labelled at most. It ends where labels come that were there before.
    estimator : classifier or None, default=None
        What labels the target's rows; a clone of it is fitted to the mapped rows of length 1. None: the nearest source
        row.
    max_rows : int, default=2000
        Rows that components are made of, drawn at random where there are more: all components of "rbf" are sums over
        them, and those of "linear" too where there are more columns than this.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, which are the target; so do NaN and None. None: only `sample_domain` says.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState or None, default=None
        Draws the rows, where there are more than `max_rows`.

    Attributes
    ----------
    n_components_ : int
        Components that there are.
    gamma_ : float
        What "scale" became.
    pseudo_labels_ : ndarray of shape (n_target,)
        Labels of the target's rows in the last round, given ones included.
    n_rounds_ : int
        Rounds.
    domains_ : ndarray of str
        The domains' names.
    is_aligned_ : bool
        Whether there were rows of both domains. One domain alone is left as it is.
    n_features_in_ : int
        Columns of X.

    References
    ----------
    .. [1] M. Long et al., "Transfer feature learning with joint distribution adaptation", ICCV, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.aligners import JointDistributionAligner
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> X[50:] += 1   # the target is elsewhere
    >>> y[50:] = -1   # and has no labels
    >>> model = JointDistributionAligner(n_components=2)
    >>> model.fit_transform(X, y).shape, model.pseudo_labels_.shape
    ((100, 2), (50,))
    """

    _takes_sparse = True
    _parameter_constraints: ClassVar[dict] = {
        **Aligner._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "kernel": [StrOptions({"linear", "rbf"})],
        "gamma": [Interval(Real, 0, None, closed="neither"), StrOptions({"scale"})],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "max_rounds": [Interval(Integral, 1, None, closed="left")],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "max_rows": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 30,
        *,
        kernel: str = "linear",
        gamma: Any = "scale",
        regularization: float = 0.1,
        max_rounds: int = 10,
        estimator: Any = None,
        max_rows: int = 2000,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.regularization = regularization
        self.max_rounds = max_rounds
        self.estimator = estimator
        self.max_rows = max_rows
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int:
        is_target = domains.is_target
        n, n_target = X.shape[0], int(is_target.sum())
        warn_of_few("JointDistributionAligner", n - n_target, n_target, 2, "its only row stands for its mean")
        codes, classes = _codes(y, is_labelled(y, self.unlabelled))
        kernel, rows = fitted_kernel(X, self.kernel, self.gamma, self.max_rows, self.random_state)
        self.gamma_ = kernel.gamma / kernel.unit**2
        space = Space(rows, kernel, is_primal=True)
        known = codes >= 0
        learned, asked = known & ~is_target, is_target & ~known
        if not learned.any():
            _warn_of_no_label()
        seen: set[bytes] = set()
        self.n_rounds_ = 0
        while True:
            apart = space.means(_differences(codes, is_target, len(classes)))
            W = components(space.scatter, apart, self.regularization, self.n_components)
            W *= np.sqrt(n)  # the first column has variance 1
            projection = space.projection(W)
            if self.n_rounds_ == self.max_rounds or not (learned.any() and asked.any()):
                break
            Z = _of_length_one(space.mapped(projection))
            labels = self._labels(Z[learned], codes[learned], Z[asked])
            self.n_rounds_ += 1
            codes[asked] = labels
            if labels.tobytes() in seen:  # as they were, or in a circle
                break
            seen.add(labels.tobytes())
        self._projection, self.n_components_ = projection, W.shape[1]
        self.pseudo_labels_ = classes[codes[is_target]] if learned.any() else y[is_target]
        return self.n_components_

    def _labels(self, rows: np.ndarray, codes: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if self.estimator is None:
            return codes[pairwise_distances_argmin(asked, rows)]
        return np.asarray(clone(self.estimator).fit(rows, codes).predict(asked)).astype(np.intp)

    def _map(self, X: Any, domains: Domains) -> np.ndarray:
        return self._projection(X)


def _codes(y: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's class as a number, -1 where it is not known, and the classes."""
    known = known_labels(y, labelled)
    if len(known):
        check_classes(known)
    classes, numbers = np.unique(known, return_inverse=True)
    codes = np.full(len(y), -1, dtype=np.intp)
    codes[labelled] = numbers
    return codes, classes


def _differences(codes: np.ndarray, is_target: np.ndarray, n_classes: int) -> np.ndarray:
    """Return weights of rows (n, r): their sums are the differences of the domains' means, over all and by class.

    Products of a column with itself are the matrices M_0 and M_c of the paper. Classes in one domain alone are left
    out.
    """
    columns = [np.where(is_target, -1 / is_target.sum(), 1 / (~is_target).sum())]
    for c in range(n_classes):
        source, target = (codes == c) & ~is_target, (codes == c) & is_target
        if source.any() and target.any():
            columns.append(source / source.sum() - target / target.sum())
    return np.stack(columns, axis=1)


def _of_length_one(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def _warn_of_no_label() -> None:
    warn_user(
        "No source row has a label: JointDistributionAligner brings the means of the domains together, and not those "
        "of classes. Give labels of source rows."
    )
