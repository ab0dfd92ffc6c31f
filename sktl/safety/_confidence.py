"""A target's accuracy from how sure a classifier is there, and how sure it is where its errors are known."""

from __future__ import annotations

import numpy as np

from sktl._array_api import column_or_1d
from sktl._columns import check_length


def average_thresholded_confidence(
    is_right: np.ndarray, source_confidence: np.ndarray, target_confidence: np.ndarray
) -> float:
    """Return the share of target rows that are surer than a threshold, below which lies the source's error [1]_.

    The threshold leaves as many held-out source rows below it as are wrong, whichever they are.

    Parameters
    ----------
    is_right : array-like of bool, shape (n_source,)
        Whether the classifier is right in each held-out source row.
    source_confidence : array-like of shape (n_source,)
        How sure it is there; any measure that is higher where it is surer.
    target_confidence : array-like of shape (n_target,)
        How sure it is in target rows.

    Returns
    -------
    float
        The estimated accuracy in the target.

    Raises
    ------
    ValueError
        If lengths differ, or there is no row.

    References
    ----------
    .. [1] S. Garg, S. Balakrishnan, Z. C. Lipton, B. Neyshabur and H. Sedghi, "Leveraging unlabeled data to predict
       out-of-distribution performance", ICLR, 2022.

    Examples
    --------
    >>> from sktl.safety import average_thresholded_confidence
    >>> average_thresholded_confidence([False, True, True, True], [0.6, 0.7, 0.8, 0.9], [0.6, 0.65, 0.8, 0.9])
    0.5
    """
    right, source, target = _columns(is_right, source_confidence, target_confidence)
    n_wrong = int((~right).sum())
    if n_wrong == len(source):
        return 0.0
    return float((target >= np.sort(source)[n_wrong]).mean())


def difference_of_confidences(
    is_right: np.ndarray, source_confidence: np.ndarray, target_confidence: np.ndarray
) -> float:
    """Return the source's accuracy, less what the mean confidence falls by in the target [1]_.

    Parameters
    ----------
    is_right : array-like of bool, shape (n_source,)
        Whether the classifier is right in each held-out source row.
    source_confidence, target_confidence : array-like of shape (n_source,) and (n_target,)
        Probabilities of the predicted class.

    Returns
    -------
    float
        The estimated accuracy in the target, between 0 and 1.

    Raises
    ------
    ValueError
        If lengths differ, or there is no row.

    References
    ----------
    .. [1] D. Guillory, V. Shankar, S. Ebrahimi, T. Darrell and L. Schmidt, "Predicting with confidence on unseen
       distributions", ICCV, 2021.

    Examples
    --------
    >>> from sktl.safety import difference_of_confidences
    >>> round(difference_of_confidences([False, True, True, True], [0.6, 0.7, 0.8, 0.9], [0.6, 0.6, 0.7, 0.7]), 2)
    0.65
    """
    right, source, target = _columns(is_right, source_confidence, target_confidence)
    return float(np.clip(right.mean() - (source.mean() - target.mean()), 0.0, 1.0))


def _columns(is_right: np.ndarray, source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    right = column_or_1d(is_right, input_name="is_right").astype(bool)
    source = column_or_1d(source, input_name="source_confidence")
    target = column_or_1d(target, input_name="target_confidence")
    check_length(source, len(right), "source_confidence")
    if not len(right) or not len(target):
        raise ValueError(
            f"There are {len(right)} source rows and {len(target)} target rows; at least 1 of each is needed."
        )
    return right, source, target
