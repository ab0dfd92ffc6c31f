"""Multinomial logistic regression with a penalty chosen by leave-one-out losses that need no second fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, qr, solve_triangular
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktl._deadline import check_deadline

MAX_ITER = 1000
TOLERANCE, TOLERANCE_OF_TRIALS = 1e-6, 1e-4  # of the solver
STRENGTHS = 10.0 ** np.arange(-1, 4.5, 0.5)  # C times the mean squared length of the centred rows
FIRST = 6  # the strength to begin with, 100: with few rows of networks' codes there is none better
SAME = 1e-5  # of a column's range: rows that are nearer than that in every column are one
INTERCEPT_VARIANCE = 1e4  # in place of an infinite one
LEAST_CURVATURE = 1e-12
MOST_WORK = 2e10  # rows^3 times classes, or rows^2 times columns, for the choice of the penalty
TURNED = 200  # rows a class, beyond which it takes longer to turn them than to solve as they are
N_FOLDS = 5
LOWEST = -25.0  # of a log-probability: one row alone must not decide


class LogisticFit(NamedTuple):
    """Logits = rows @ weight.T + bias; for two classes one row of logits, of the second class."""

    weight: np.ndarray  # (n_classes, n_columns), or (1, n_columns)
    bias: np.ndarray  # (n_classes,), or (1,)
    n_iter: int
    C: float
    loss: float  # the mean leave-one-out log-loss; NaN where C was given
    error: float = float("nan")  # the share of rows that is wrong when left out; NaN where C was given


class ChosenPenalty(NamedTuple):
    """A strength, and what rows that are left out lose with it; NaN where there are too few."""

    C: float
    loss: float  # the mean log-loss
    error: float  # the share of rows that is wrong


class _Rows(NamedTuple):
    """Centred rows in a space of no more columns than rows: x = centre + basis @ row."""

    scores: np.ndarray  # (n, r)
    centre: np.ndarray  # (n_columns,)
    basis: np.ndarray | None  # (n_columns, r); None where nothing was turned
    target: np.ndarray  # (n,), 0, 1, ...
    weight: np.ndarray  # (n,)

    @classmethod
    def of(cls, rows: np.ndarray, target: np.ndarray, weight: np.ndarray, most: float = np.inf) -> _Rows:
        """Return the rows, turned where they are fewer than columns, and than `most`."""
        centre = np.average(rows, axis=0, weights=weight)
        scores, basis = rows - centre, None
        if len(rows) < min(rows.shape[1], most):  # the penalty sees no rotations: the solution is in the rows' span
            basis, upper = qr(scores.T, mode="economic", check_finite=False)
            scores = np.ascontiguousarray(upper.T)
        return cls(scores, centre, basis, target, weight)


def solve_logistic(
    rows: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, C: float | str, max_iter: int = MAX_ITER
) -> LogisticFit:
    """Return the solution of min_W sum_i w_i loss(y_i, W x_i + b) + ||W||^2 / (2 C).

    Parameters
    ----------
    rows : float64 array of shape (n, n_columns)
        They are taken as they are: bring them to a scale first.
    target : int array of shape (n,)
        0, ..., n_classes - 1, each of them there.
    sample_weight : array of shape (n,) or None
        Positive.
    C : float or "auto"
        "auto" takes the one with the lowest leave-one-out log-loss. Rows that are alike and of one class are left out
        together, so that a row of weight 2 is the same as two rows.
    """
    weight = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    rows, target, weight = distinct(rows, target, weight)
    if isinstance(C, str):
        chosen = chosen_penalty(rows, target, weight, max_iter)
    else:
        chosen = ChosenPenalty(float(C), float("nan"), float("nan"))
    data = _Rows.of(rows, target, weight, TURNED * (target[-1] + 1))
    solution = _unturned(_solved(data, chosen.C, max_iter), data)
    return solution._replace(loss=chosen.loss, error=chosen.error)


def chosen_penalty(rows: np.ndarray, target: np.ndarray, weight: np.ndarray, max_iter: int = MAX_ITER) -> ChosenPenalty:
    """Return the C with the lowest leave-one-out log-loss of rows that differ, sorted by class.

    The scale of all weights means nothing: C goes against it, as the penalty is measured against the mean weight.
    From a middle strength it goes on in the direction in which the loss falls by more than its standard error: a few
    rows tell too little to leave it. A class's only row tells nothing: without it the class is unknown, and the
    strongest penalty would look best. Where rows are very many, as many as the work allows are looked at, each class
    in proportion.
    """
    unit = float(weight.mean())
    data = _Rows.of(*looked_at(rows, target, weight / unit))
    length = float(np.average(np.square(data.scores).sum(1), weights=data.weight))
    told = np.bincount(data.target)[data.target] > 1
    if length == 0 or len(data.scores) < 3 or not told.any():
        return ChosenPenalty(float(STRENGTHS[FIRST] / (length or 1.0) / unit), float("nan"), float("nan"))
    found: dict[int, np.ndarray] = {}

    def losses(i: int) -> np.ndarray:
        if i not in found:
            C = STRENGTHS[i] / length
            found[i] = leave_one_out_logits(data, _solved(data, C, max_iter, TOLERANCE_OF_TRIALS), C)
        return _log_losses(found[i], data.target)[told]

    best = FIRST
    for step in (-1, 1):
        while 0 <= best + step < len(STRENGTHS) and is_gain(losses(best) - losses(best + step), data.weight[told]):
            best += step
        if best != FIRST:
            break
    loss = float(np.average(losses(best), weights=data.weight[told]))
    is_wrong = ~told | (_classes(found[best]) != data.target)
    error = float(np.average(is_wrong, weights=data.weight))
    return ChosenPenalty(float(STRENGTHS[best] / length / unit), loss, error)


def held_out_losses(
    rows: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    scaler_of: Callable[[np.ndarray, np.ndarray], StandardScaler],
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-losses and weights of rows that neither scaler nor fit has seen, by folds of each class in proportion.

    The rows are distinct and sorted by class; which of them count is the same for all scalers. Leaving one out in
    closed form would not do here: a scaler that has seen the row gives it away where few rows have values in a column.
    """
    scaler = scaler_of(rows, weight)
    penalty = chosen_penalty(scaler.transform(rows), target, weight).C
    folds, losses, weights = np.arange(len(rows)) % N_FOLDS, [], []
    for fold in range(min(N_FOLDS, len(rows))):
        fitted = folds != fold
        known = np.unique(target[fitted])
        tested = ~fitted & np.isin(target, known)
        if len(known) < 2 or not tested.any():
            continue
        scaler = scaler_of(rows[fitted], weight[fitted])
        present, asked = (np.searchsorted(known, target[part]) for part in (fitted, tested))
        solution = solve_logistic(scaler.transform(rows[fitted]), present, weight[fitted], penalty)
        logits = scaler.transform(rows[tested]) @ solution.weight.T + solution.bias
        losses.append(_log_losses(logits, asked))
        weights.append(weight[tested])
    return np.concatenate([np.empty(0), *losses]), np.concatenate([np.empty(0), *weights])


def leave_one_out_logits(data: _Rows, solution: LogisticFit, C: float) -> np.ndarray:
    """Return each row's logits by the fit without it, (n, n_classes) or (n, 1).

    One step of Newton's method from the fit with all rows leaves a row out; of the Hessian, each class takes its own
    part alone.
    """
    logits = data.scores @ solution.weight.T + solution.bias
    p, hits = _probabilities(logits, data.target)
    out = np.empty_like(logits)
    for k in range(logits.shape[1]):
        check_deadline()
        # z_{-i} = z_i + h_i w_i (p_i - y_i) / m_i,   m_i = 1 - d_i h_i,   d = w p (1 - p)
        # h_i = x_i' (X'DX + I / C)^-1 x_i
        curvature = np.maximum(data.weight * p[:, k] * (1 - p[:, k]), LEAST_CURVATURE)
        influence = _influences(data.scores, curvature, C)
        out[:, k] = logits[:, k] + influence * data.weight * (p[:, k] - hits[:, k])
    return out


def _influences(scores: np.ndarray, curvature: np.ndarray, C: float) -> np.ndarray:
    """Return h_i / (1 - d_i h_i), (n,), by the smaller of two systems."""
    n, n_columns = scores.shape
    if n_columns + 1 < n:
        rows = np.hstack([scores, np.ones((n, 1))])
        hessian = (rows * curvature[:, None]).T @ rows
        hessian[np.diag_indices_from(hessian)] += np.r_[np.full(n_columns, 1 / C), 1 / INTERCEPT_VARIANCE]
        h = np.einsum("ij,ji->i", rows, np.linalg.solve(hessian, rows.T))
        return h / np.maximum(1 - curvature * h, LEAST_CURVATURE)
    # m_i = [(I + D^1/2 (C X X' + v 1 1') D^1/2)^-1]_ii
    root = np.sqrt(curvature)
    matrix = (C * (scores @ scores.T) + INTERCEPT_VARIANCE) * root[:, None] * root
    matrix[np.diag_indices_from(matrix)] += 1
    inverse = solve_triangular(cholesky(matrix, lower=True), np.eye(n), lower=True)
    m = np.square(inverse).sum(0)
    return (1 - m) / (m * curvature)


def is_gain(gains: np.ndarray, weight: np.ndarray, times: float = 1.0) -> bool:
    """Whether the weighted mean of the gains is above so many times its standard error."""
    mean = float(np.average(gains, weights=weight))
    spread = float(np.average(np.square(gains - mean), weights=weight))
    return mean > times * np.sqrt(spread * np.square(weight).sum()) / weight.sum()


def distinct(rows: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows that differ, or are of differing classes, each with the sum of its weights."""
    # Rows that are alike lie side by side on any line.
    extent = np.ptp(rows, axis=0)
    along = rows @ (np.random.default_rng(0).normal(size=rows.shape[1]) / np.where(extent > 0, extent, np.inf))
    order = np.lexsort((along, target))
    rows, target, weight = rows[order], target[order], weight[order]
    nearest = SAME * extent
    first = [0]
    for i in range(1, len(rows)):
        last = first[-1]
        if target[i] != target[last] or (np.abs(rows[i] - rows[last]) > nearest).any():
            first.append(i)
    return rows[first], target[first], np.add.reduceat(weight, first)


def looked_at(rows: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return as many rows as the work allows; they come sorted by class."""
    most = int(min((MOST_WORK / (target[-1] + 1)) ** (1 / 3), (MOST_WORK / rows.shape[1]) ** 0.5))
    if len(rows) <= most:
        return rows, target, weight
    kept = np.unique(np.concatenate([np.linspace(0, len(rows) - 1, most).astype(int), _first_of_each(target)]))
    return rows[kept], target[kept], weight[kept]


def _first_of_each(target: np.ndarray) -> np.ndarray:
    return np.unique(target, return_index=True)[1]


def _solved(data: _Rows, C: float, max_iter: int, tolerance: float = TOLERANCE) -> LogisticFit:
    check_deadline()
    model = LogisticRegression(C=C, max_iter=max_iter, tol=tolerance)
    model.fit(data.scores, data.target, sample_weight=data.weight)
    return LogisticFit(model.coef_, model.intercept_, int(np.max(model.n_iter_)), C, float("nan"))


def _unturned(solution: LogisticFit, data: _Rows) -> LogisticFit:
    weight = solution.weight if data.basis is None else solution.weight @ data.basis.T
    return solution._replace(weight=weight, bias=solution.bias - weight @ data.centre)


def _probabilities(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities, and ones where they should be 1; of the second class alone where there are two."""
    if logits.shape[1] == 1:
        return softmax(np.hstack([np.zeros_like(logits), logits]), axis=1)[:, 1:], target[:, None] == 1
    return softmax(logits, axis=1), target[:, None] == np.arange(logits.shape[1])


def _classes(logits: np.ndarray) -> np.ndarray:
    return (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)


def _log_losses(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    return -np.maximum(log_softmax(logits, axis=1)[np.arange(len(target)), target], LOWEST)
