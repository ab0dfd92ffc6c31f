"""How low the accuracy in a target may be: as low as the rival that differs most there, and not in the source."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from sktl._array_api import check_array
from sktl._columns import check_length

LEAST = 1e-6  # of a probability, before its logarithm
STRENGTH = 1e-3  # of the critic's ridge


def accuracy_lower_bound(
    is_right: np.ndarray,
    proba_source: np.ndarray,
    proba_target: np.ndarray,
    *,
    confidence: float = 0.9,
    random_state: int = 0,
) -> float:
    """Return a lower bound of a classifier's accuracy in the target, by disagreement discrepancy [1]_.

    A critic is trained to agree with the classifier in the source and to disagree in the target. The accuracy can fall
    by no more than what the critic reaches, unless the truth is a worse rival than any critic: this is what the bound
    takes for granted. The critics are linear in the logarithms of the probabilities, as where the paper's bounds are
    tightest. It departs from the paper in one way: a critic is trained on one half of the rows and counted on the
    other, both ways.

    Parameters
    ----------
    is_right : array-like of bool, shape (n_source,)
        Whether the classifier is right in each held-out source row.
    proba_source, proba_target : array-like of shape (n_rows, n_classes)
        Its probabilities in held-out source rows and in target rows.
    confidence : float, default=0.9
        Share of the samples in which the bound holds, if its assumption does.
    random_state : int, default=0
        Draws the halves.

    Returns
    -------
    float
        Between 0 and 1; 0 says nothing.

    Raises
    ------
    ValueError
        If shapes differ.

    References
    ----------
    .. [1] E. Rosenfeld and S. Garg, "(Almost) provable error bounds under distribution shift via disagreement
       discrepancy", NeurIPS, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.safety import accuracy_lower_bound
    >>> rng = np.random.default_rng(0)
    >>> sure, unsure = (np.c_[p, 1 - p] for p in (rng.uniform(0.9, 1, 500), rng.uniform(0.4, 0.7, 500)))
    >>> is_right = rng.random(500) < 0.95
    >>> accuracy_lower_bound(is_right, sure, unsure) < accuracy_lower_bound(is_right, sure, sure)
    True
    """
    source, target = (
        check_array(proba, dtype=np.float64, input_name=name)
        for proba, name in ((proba_source, "proba_source"), (proba_target, "proba_target"))
    )
    check_length(is_right, len(source), "is_right")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"proba_source has {source.shape[1]} columns and proba_target {target.shape[1]}.")
    # accuracy_t >= accuracy_s - discrepancy - sqrt((n + 4 m) log(1 / delta) / (2 n m))
    estimate = accuracy_by_discrepancy(is_right, *disagreements(source, target, random_state))
    return max(0.0, estimate - uncertainty(len(source), len(target), confidence))


def accuracy_by_discrepancy(is_right: np.ndarray, in_source: np.ndarray, in_target: np.ndarray) -> float:
    """Return the source's accuracy, less by how much more the critics disagree in the target; 0 at least."""
    found = float(np.mean(is_right)) - max(0.0, float(in_target.mean() - in_source.mean()))
    return max(0.0, found)


def uncertainty(n: int, m: int, confidence: float) -> float:
    """Return what the bound of n source rows and m target rows allows for chance."""
    return float(np.sqrt((n + 4 * m) * np.log(1 / (1 - confidence)) / (2 * n * m)))


def disagreements(source: np.ndarray, target: np.ndarray, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Return in which source rows and target rows the critics differ from the classifier, for its probabilities.

    Each row is judged by the critic that was trained on the other half. With fewer than two rows of a domain, or one
    class, nothing is known: all target rows are taken for wrong.
    """
    if source.shape[1] < 2 or min(len(source), len(target)) < 2:
        return np.zeros(len(source), dtype=bool), np.ones(len(target), dtype=bool)
    rng = np.random.default_rng(random_state)
    halves = [rng.permutation(np.arange(len(rows)) % 2) for rows in (source, target)]
    predicted = [rows.argmax(axis=1) for rows in (source, target)]
    scaled = [np.log(rows.clip(LEAST)) for rows in (source, target)]
    scaled = [rows - rows.mean(axis=1, keepdims=True) for rows in scaled]
    unit = max(float(np.std(scaled[0])), 1e-12)
    features = [np.c_[rows / unit, np.ones(len(rows))] for rows in scaled]
    differs = [np.zeros(len(rows), dtype=bool) for rows in (source, target)]
    for half in (0, 1):
        seen = [part == half for part in halves]
        W = critic(features[0][seen[0]], predicted[0][seen[0]], features[1][seen[1]], predicted[1][seen[1]])
        for found, rows, labels, known in zip(differs, features, predicted, seen):
            found[~known] = (rows[~known] @ W).argmax(axis=1) != labels[~known]
    return differs[0], differs[1]


def critic(source: np.ndarray, of_source: np.ndarray, target: np.ndarray, of_target: np.ndarray) -> np.ndarray:
    """Return W, (n_features, n_classes), that agrees with the labels in the source and with none in the target.

    Its loss is the cross-entropy in the source, plus the mean of log(1 + exp(f_label - f_other)) in the target.
    """
    k = int(source.shape[1] - 1)
    rows, others = np.arange(len(of_source)), np.arange(len(of_target))
    right, avoided = np.eye(k)[of_source], np.eye(k)[of_target]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(-1, k)
        logs = log_softmax(source @ W, axis=1)
        scores = target @ W
        ahead = scores[others, of_target][:, None] - scores  # f_label - f_other, 0 for the label itself
        away = np.logaddexp(0, ahead) * (1 - avoided) / (k - 1)
        pull = expit(ahead) * (1 - avoided) / (k - 1)
        slope = source.T @ (np.exp(logs) - right) / len(rows)
        slope += target.T @ (avoided * pull.sum(axis=1, keepdims=True) - pull) / len(others)
        value = -logs[rows, of_source].mean() + away.sum(axis=1).mean() + STRENGTH / 2 * flat @ flat
        return float(value), (slope + STRENGTH * W).ravel()

    found = minimize(loss, np.zeros(source.shape[1] * k), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x.reshape(-1, k)
