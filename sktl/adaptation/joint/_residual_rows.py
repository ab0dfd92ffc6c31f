"""The network for feature rows of a regression: it starts as ridge regression, and learns what goes beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from sktl._ridge import chosen_ridge
from sktl.density_ratios import density_ratio

HELD_OUT = 0.25  # of the labelled rows, those that are most frequent in the target
LEAST_FOR_RATIOS = 10  # rows of each domain
BETTER = 0.95  # what bends must bring the error down to
LEAST_SPREAD = 0.01  # of a column among labelled rows; 1 among all rows
RIDGES = np.logspace(-4, 1, 11)  # penalties to choose from, by the row


class ResidualRows(nn.Module):
    """Rows (n, n_columns) to features (n, n_columns + n_hidden): ``X + second(h)``, which starts as X, and h.

    ``h = tanh(first(X))`` stands beside the sum so that the last layer, which starts at zero there, learns from it at
    once: through the sum alone nothing would flow where the linear model has found nothing. Bounded units do not run
    away where the target lies beyond the source. Columns that do not vary among the labelled rows are left out
    (``known`` is 0): nothing says what they mean.
    """

    known: Tensor

    def __init__(self, n_columns: int, n_hidden: int):
        super().__init__()
        self.first = nn.Linear(n_columns, n_hidden)
        self.second = nn.Linear(n_hidden, n_columns)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)
        self.register_buffer("known", torch.ones(n_columns))

    def forward(self, X: Tensor) -> Tensor:
        """Return the features."""
        X = X * self.known
        hidden = torch.tanh(self.first(X))
        return torch.cat([X + self.second(hidden), hidden], dim=1)


def start_solved(
    body: ResidualRows,
    layer: nn.Linear,
    rows: Any,
    values: np.ndarray,
    weights: np.ndarray | None,
    ratio: np.ndarray | None,
) -> float:
    """Set the last layer to ridge regression of labelled rows: on the rows alone, or on the hidden units too.

    Leave-one-out errors choose the penalty. Which of the two it is, the quarter of the rows that is most frequent in
    the target says, by errors of what the other rows teach: that is the step that the target asks for. Hidden units,
    drawn at random, find what bends where there is some; else the network starts as the linear model.

    Parameters
    ----------
    body : ResidualRows
        What comes before the layer.
    layer : Linear
        Is written to.
    rows : array or sparse matrix of shape (n, n_columns)
        Standardised.
    values : array of shape (n, n_outputs)
        Standardised numbers.
    weights : array of shape (n,) or None
        Of the rows.
    ratio : array of shape (n,) or None
        Density of the target over that of the source at each row; None takes leave-one-out errors throughout.

    Returns
    -------
    float
        The decay of weights that is the chosen penalty: the start is the minimum, over the last layer's weights, of the
        mean squared error with this decay.
    """
    rows = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    rows, values = rows.astype(np.float64, copy=False), np.asarray(values, dtype=np.float64)
    with torch.no_grad():
        body.known.copy_(torch.from_numpy(rows.std(0) > LEAST_SPREAD))
        features = body.double()(torch.from_numpy(rows)).numpy()
        body.float()
    total = len(rows) if weights is None else float(weights.sum())
    fits = [(X, *chosen_ridge(X, values, weights, RIDGES)) for X in (rows, features)]
    linear, bent = (_error_near_target(*fit, values, weights, ratio) for fit in fits)
    X, penalty, _ = fits[bent < BETTER * linear]
    best = Ridge(penalty).fit(X, values, sample_weight=weights)
    coef = np.atleast_2d(best.coef_)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, : coef.shape[1]] = torch.from_numpy(coef)
        layer.bias.copy_(torch.from_numpy(np.atleast_1d(best.intercept_)))
    # min ||y - Xw||^2 / (n k) + (alpha / (n k)) ||w||^2,  and decay d adds d ||w||^2 / 2
    return 2 * penalty / (total * values.shape[1])


def target_ratio(data: Any, rows: np.ndarray, others: np.ndarray) -> np.ndarray | None:
    """Return how much more frequent the rows are among the others, the target's, where that can be told."""
    if min(len(rows), len(others)) < LEAST_FOR_RATIOS:
        return None
    return density_ratio(data[rows], data[others])


def _error_near_target(
    X: np.ndarray,
    penalty: float,
    score: float,
    values: np.ndarray,
    weights: np.ndarray | None,
    ratio: np.ndarray | None,
) -> float:
    """Return the mean squared error on the rows most frequent in the target of a fit to the others."""
    if ratio is None:
        return -score
    is_near = ratio >= np.quantile(ratio, 1 - HELD_OUT)
    if is_near.all():
        return -score
    others = None if weights is None else weights[~is_near]
    model = Ridge(penalty * (1 - HELD_OUT)).fit(X[~is_near], values[~is_near], sample_weight=others)
    squares = (model.predict(X[is_near]).reshape(values[is_near].shape) - values[is_near]) ** 2
    return float(np.average(squares.mean(1), weights=None if weights is None else weights[is_near]))
