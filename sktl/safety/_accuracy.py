"""A classifier's accuracy in a target without labels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sktl._array_api import n_rows, rows_on_host
from sktl._columns import class_labels
from sktl.safety._confidence import average_thresholded_confidence, difference_of_confidences
from sktl.safety._disagreement import accuracy_by_discrepancy, accuracy_lower_bound, disagreements

METHODS = {
    "discrepancy": accuracy_by_discrepancy,
    "atc": average_thresholded_confidence,
    "difference": difference_of_confidences,
    "average": lambda _, __, target: float(np.mean(target)),
}


@dataclass(frozen=True)
class AccuracyEstimate:
    """What a classifier's accuracy in a target is taken to be.

    Attributes
    ----------
    accuracy : float
        The estimate.
    interval : tuple of float
        Where the estimate lies when rows are drawn anew. It knows nothing of the method's own error.
    lower_bound : float
        By disagreement discrepancy: the accuracy is above it, if the bound's assumption holds; see
        `accuracy_lower_bound`.
    source_accuracy : float
        On the held-out rows.
    n_source, n_target : int
        Rows that it rests on.

    Examples
    --------
    >>> from sktl.safety import AccuracyEstimate
    >>> AccuracyEstimate(0.8, (0.75, 0.84), 0.6, 0.9, 500, 500).interval
    (0.75, 0.84)
    """

    accuracy: float
    interval: tuple[float, float]
    lower_bound: float
    source_accuracy: float
    n_source: int
    n_target: int


@validate_params(
    {
        "method": [StrOptions(set(METHODS))],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "n_resamples": [Interval(Integral, 2, 100_000, closed="both")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def estimate_accuracy(
    estimator: Any,
    X: Any,
    y: Any,
    X_target: Any,
    *,
    method: str = "discrepancy",
    confidence: float = 0.9,
    n_resamples: int = 200,
    random_state: int = 0,
) -> AccuracyEstimate:
    """Estimate a fitted classifier's accuracy in a target without labels.

    It rests on the classifier's probabilities, in the target and in source rows whose labels are known. So it fails
    where a classifier is as sure as ever and wrong, as in classes that did not exist before, or after an adaptation
    that has been carried too far. `lower_bound` is more careful.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``predict_proba``.
    X, y : array-like of n_source rows
        Labelled source rows that the estimator was not trained on: on those that it has seen it is too sure.
    X_target : array-like of n_target rows
        Rows of the target.
    method : {"discrepancy", "atc", "difference", "average"}, default="discrepancy"
        "discrepancy" takes from the source's accuracy by how much more a critic can disagree in the target [1]_; it was
        nearest over 84 shifts of digits in ``benchmarks/safe_adaptation.py``, and is rather too low than too high.
        "atc" counts target rows above a threshold [2]_, "difference" takes away what the mean confidence falls by [3]_,
        and "average" is the mean confidence, for calibrated classifiers.
    confidence : float, default=0.9
        Of the interval and of the lower bound.
    n_resamples : int, default=200
        Drawings with replacement for the interval.
    random_state : int, default=0
        Fixes these.

    Returns
    -------
    AccuracyEstimate

    Raises
    ------
    TypeError
        If the estimator has no ``predict_proba``.
    ValueError
        If there is no row, or probabilities are not finite.

    References
    ----------
    .. [1] E. Rosenfeld and S. Garg, "(Almost) provable error bounds under distribution shift via disagreement
       discrepancy", NeurIPS, 2023.
    .. [2] S. Garg, S. Balakrishnan, Z. C. Lipton, B. Neyshabur and H. Sedghi, "Leveraging unlabeled data to predict
       out-of-distribution performance", ICLR, 2022.
    .. [3] D. Guillory, V. Shankar, S. Ebrahimi, T. Darrell and L. Schmidt, "Predicting with confidence on unseen
       distributions", ICCV, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.safety import estimate_accuracy
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = LogisticRegression(max_iter=500).fit(X[:900], y[:900])
    >>> noisy = X[1350:] + np.random.default_rng(0).normal(scale=0.3, size=(447, 64))
    >>> found = estimate_accuracy(model, X[900:1350], y[900:1350], noisy)
    >>> abs(found.accuracy - model.score(noisy, y[1350:])) < 0.1
    True
    >>> found.lower_bound < model.score(noisy, y[1350:]) < found.source_accuracy
    True
    """
    X, X_target = rows_on_host(X), rows_on_host(X_target)
    labels = class_labels(y, n_rows(X), "estimate_accuracy")
    if not n_rows(X) or not n_rows(X_target, "X_target"):
        raise ValueError("estimate_accuracy needs at least one held-out source row, and one of the target.")
    source, target = _probabilities(estimator, X), _probabilities(estimator, X_target)
    is_right = np.asarray(estimator.predict(X)) == labels
    return estimate_of_outputs(
        is_right, source, target, method=method, confidence=confidence, n_resamples=n_resamples,
        random_state=random_state,
    )  # fmt: skip


def estimate_of_outputs(
    is_right: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    *,
    method: str = "discrepancy",
    confidence: float = 0.9,
    n_resamples: int = 200,
    random_state: int = 0,
) -> AccuracyEstimate:
    """Return what `estimate_accuracy` does, for probabilities that are there already.

    Parameters
    ----------
    is_right : ndarray of bool, shape (n_source,)
        Whether the classifier is right in each held-out source row.
    source, target : ndarray of shape (n_source, n_classes) and (n_target, n_classes)
        Its probabilities.
    method, confidence, n_resamples, random_state
        As in `estimate_accuracy`.
    """
    if method == "discrepancy":
        in_source, in_target = disagreements(source, target, random_state)
    else:
        in_source, in_target = source.max(axis=1), target.max(axis=1)
    again, rng = np.empty(n_resamples), np.random.default_rng(random_state)
    for i in range(n_resamples):
        rows, others = rng.integers(len(source), size=len(source)), rng.integers(len(target), size=len(target))
        again[i] = METHODS[method](is_right[rows], in_source[rows], in_target[others])
    low, high = np.quantile(again, [(1 - confidence) / 2, (1 + confidence) / 2])
    bound = accuracy_lower_bound(is_right, source, target, confidence=confidence, random_state=random_state)
    return AccuracyEstimate(
        accuracy=METHODS[method](is_right, in_source, in_target),
        interval=(float(low), float(high)),
        lower_bound=bound,
        source_accuracy=float(is_right.mean()),
        n_source=len(source),
        n_target=len(target),
    )


def _probabilities(estimator: Any, X: Any) -> np.ndarray:
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimate_accuracy needs class probabilities, but {type(estimator).__name__} has no predict_proba. Wrap "
            "it in CalibratedClassifierCV."
        )
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if not np.isfinite(proba).all():
        raise ValueError(f"{type(estimator).__name__} gave probabilities that are NaN or infinite.")
    return proba
