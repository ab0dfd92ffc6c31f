"""A classifier's accuracy in a target without labels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params

from sktl._array_api import n_rows, rows_on_host
from sktl._codes import codes
from sktl._columns import class_labels
from sktl._unlabelled import MARK
from sktl._validation import shorten
from sktl.safety._agreement import accuracy_by_agreement, agreements
from sktl.safety._confidence import average_thresholded_confidence, difference_of_confidences
from sktl.safety._disagreement import accuracy_by_discrepancy, accuracy_lower_bound, disagreements
from sktl.safety._errors import widened
from sktl.safety._referees import is_table, overlap

METHODS = {
    "agreement": accuracy_by_agreement,
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
        Where the accuracy is in `confidence` of all cases, if its method errs no more than on the hardest of the kinds
        of data on which its errors were measured. It is wide.
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
        "referee": [HasMethods("predict"), None],
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
    method: str = "agreement",
    referee: Any = None,
    confidence: float = 0.9,
    n_resamples: int = 200,
    random_state: int = 0,
) -> AccuracyEstimate:
    """Estimate a fitted classifier's accuracy in a target without labels.

    By default it rests on how often another classifier, which has learned the held-out rows, gives the same label in
    the target. It fails where both are wrong alike. The other methods rest on the classifier's probabilities, and fail
    where it is as sure as ever and wrong: in classes that did not exist before, or after an adaptation that has been
    carried too far. `lower_bound` is more careful.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``predict_proba``.
    X, y : array-like of n_source rows
        Labelled source rows that the estimator was not trained on: on those that it has seen it is too sure.
    X_target : array-like of n_target rows
        Rows of the target.
    method : {"agreement", "discrepancy", "atc", "difference", "average"}, default="agreement"
        "agreement" takes from the source's accuracy what share of its agreement with a forest is lost in the target
        [1]_ [2]_, or, where the domains differ much, with the nearest source rows once both are standardised. It was
        nearest over shifts of six kinds of data in ``benchmarks/safe_adaptation.py``. It looks at the rows
        themselves, or at what the estimator's ``features`` or ``transform`` makes of them.
        "discrepancy" takes from it by how much more a critic can disagree in the target [3]_, and is rather too low
        than too high. "atc" counts target rows above a threshold [4]_, "difference" takes away what the mean
        confidence falls by [5]_, and "average" is the mean confidence, for calibrated classifiers.
    referee : classifier or None, default=None
        Of "agreement": fitted to source rows other than these, and of another kind than the estimator. None trains a
        forest on the held-out rows; a referee that has learned all the estimator's rows is nearer by some points.
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
        If there is no row, probabilities are not finite, or y holds marks of unlabelled rows or no label that the
        estimator knows.

    References
    ----------
    .. [1] O. Madani, D. M. Pennock and G. W. Flake, "Co-validation: using model disagreement on unlabeled data to
       validate classification algorithms", NeurIPS, 2004.
    .. [2] C. Baek, Y. Jiang, A. Raghunathan and J. Z. Kolter, "Agreement-on-the-line: predicting the performance of
       neural networks under distribution shift", NeurIPS, 2022.
    .. [3] E. Rosenfeld and S. Garg, "(Almost) provable error bounds under distribution shift via disagreement
       discrepancy", NeurIPS, 2023.
    .. [4] S. Garg, S. Balakrishnan, Z. C. Lipton, B. Neyshabur and H. Sedghi, "Leveraging unlabeled data to predict
       out-of-distribution performance", ICLR, 2022.
    .. [5] D. Guillory, V. Shankar, S. Ebrahimi, T. Darrell and L. Schmidt, "Predicting with confidence on unseen
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
    _check_known(estimator, labels)
    source, target = _probabilities(estimator, X), _probabilities(estimator, X_target)
    predicted = np.asarray(estimator.predict(X))
    agreed = None
    if method == "agreement" and referee is not None:
        there = np.asarray(estimator.predict(X_target))
        agreed = np.asarray(referee.predict(X)) == predicted, np.asarray(referee.predict(X_target)) == there
    elif method == "agreement":
        rows = [part if is_table(part) else codes(estimator, part, "estimate_accuracy") for part in (X, X_target)]
        there = np.asarray(estimator.predict(X_target))
        agreed = agreements(rows[0], labels, predicted, rows[1], there, random_state, overlap(*rows))
    return estimate_of_outputs(
        predicted == labels, source, target, agreed=agreed, method=method,
        confidence=confidence, n_resamples=n_resamples, random_state=random_state,
    )  # fmt: skip


def estimate_of_outputs(
    is_right: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    *,
    agreed: tuple[np.ndarray, np.ndarray] | None = None,
    method: str = "agreement",
    errors: str | None = None,
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
    agreed : tuple of ndarray of bool, shape (n_source,) and (n_target,), default=None
        Whether a referee gives its labels; "agreement" needs it.
    errors : str or None, default=None
        Whose errors the interval allows for; None for the method's.
    method, confidence, n_resamples, random_state
        As in `estimate_accuracy`.
    """
    if agreed is not None:
        in_source, in_target = agreed
    elif method == "discrepancy":
        in_source, in_target = disagreements(source, target, random_state)
    else:
        in_source, in_target = source.max(axis=1), target.max(axis=1)
    again, rng = np.empty(n_resamples), np.random.default_rng(random_state)
    for i in range(n_resamples):
        rows, others = rng.integers(len(source), size=len(source)), rng.integers(len(target), size=len(target))
        again[i] = METHODS[method](is_right[rows], in_source[rows], in_target[others])
    low, high = np.quantile(again, [(1 - confidence) / 2, (1 + confidence) / 2])
    bound = accuracy_lower_bound(is_right, source, target, confidence=confidence, random_state=random_state)
    accuracy = float(METHODS[method](is_right, in_source, in_target))
    return AccuracyEstimate(
        accuracy=accuracy,
        interval=widened(errors or method, accuracy, float(low), float(high), confidence),
        lower_bound=bound,
        source_accuracy=float(is_right.mean()),
        n_source=len(source),
        n_target=len(target),
    )


def _check_known(estimator: Any, labels: np.ndarray) -> None:
    """Raise a ValueError if labels are marks, or of another kind than the classifier's."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return
    given, known = _different(labels), _different(np.asarray(classes))
    held = given - known
    if held == given:
        raise ValueError(
            f"No label of y is a class of the estimator: y holds {shorten(sorted(map(repr, held)))}, and classes_ "
            f"{shorten(sorted(map(repr, known)))}. Give labels as it has learned them."
        )
    marks = [label for label in (MARK, str(MARK)) if label in held]
    if marks:
        raise ValueError(
            f"y holds {marks[0]!r}, which marks unlabelled rows. The held-out source rows need labels: leave the "
            "others out."
        )


def _different(labels: np.ndarray) -> set[Any]:
    return set((labels.astype("M8[us]") if labels.dtype.kind == "M" else labels).tolist())


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
