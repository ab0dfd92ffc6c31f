"""Ridge regression of codes whose penalty and scale are chosen by exact leave-one-out losses."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from sktl._logistic import LOWEST, distinct, is_gain
from sktl.fewshot.heads import RidgeHead

PENALTIES = np.array([0.1, 0.3, 1.0, 3.0, 10.0, 30.0])  # in units of the codes' mean squared length
SCALES = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 50.0])
SCALE_UNTOLD = 7.0  # where each class has one row
MOST_ROWS = 2000  # beyond which what is chosen hardly matters


def calibrated_ridge(codes: np.ndarray, target: np.ndarray) -> RidgeHead:
    """Return the head for codes (n, d) of classes 0, 1, ...

    Each penalty takes the scale with the lowest loss. From the weakest penalty it goes on as long as the loss falls by
    more than its standard error. As in Platt's scaling, a label is taken to be another one in one of
    n + 2 cases: a few rows that are all right do not make any scale right. A class's only row tells nothing. Rows
    that are alike are left out together: a copy that stays would give the other away.
    """
    codes, target, _ = distinct(codes, target, np.ones(len(codes)))
    told = np.bincount(target)[target] > 1
    if not told.any() or len(codes) > MOST_ROWS:
        return RidgeHead(scale=RidgeHead().scale.item() if told.any() else SCALE_UNTOLD)
    outputs = leave_one_out_outputs(codes, target, PENALTIES)
    found = [_best_scale(values[told], target[told], 1 / (len(codes) + 2)) for values in outputs]
    best, weight = 0, np.ones(told.sum())
    while best + 1 < len(found) and is_gain(found[best][1] - found[best + 1][1], weight):
        best += 1
    return RidgeHead(alpha=float(PENALTIES[best]), scale=found[best][0])


def leave_one_out_outputs(codes: np.ndarray, target: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Return what the regression of zeros and ones says of each row without it, (n_penalties, n, n_classes).

    The unit of the penalty stays that of all rows.
    """
    n, labels = len(codes), np.eye(target.max() + 1)[target]
    u, s, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    along, squares = u.T @ labels, np.square(s)
    length = squares.sum() / n or 1.0
    found = np.empty((len(penalties), *labels.shape))
    for values, penalty in zip(found, penalties):
        # H = 1 1' / n + X (X'X + a I)^-1 X',   y_i - f_{-i}(x_i) = (y_i - f(x_i)) / (1 - H_ii)
        shrunk = squares / (squares + penalty * length)
        fitted = labels.mean(0) + (u * shrunk) @ along
        kept = 1 - 1 / n - np.square(u) @ shrunk
        values[:] = labels - (labels - fitted) / kept[:, None]
    return found


def _best_scale(outputs: np.ndarray, target: np.ndarray, smoothing: float) -> tuple[float, np.ndarray]:
    """Return the scale with the lowest log-loss of smoothed labels, and each row's loss."""
    losses = []
    for scale in SCALES:
        each = -np.maximum(log_softmax(scale * outputs, axis=1), LOWEST)  # (n, n_classes)
        of_label = each[np.arange(len(target)), target]
        losses.append((1 - smoothing) * of_label + smoothing * each.mean(1))
    best = int(np.argmin([loss.mean() for loss in losses]))
    return float(SCALES[best]), losses[best]
