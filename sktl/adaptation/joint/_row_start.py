"""Where training on feature rows starts: each domain at its own centre, and a head solved in closed form."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import randomized_svd

from sktl._logistic import chosen_penalty, distinct, solve_logistic
from sktl._magnitudes import length_scaler, scaled
from sktl._row_scalers import column_scaler, common_scaler
from sktl.adaptation.joint._network import set_head
from sktl.adaptation.joint._row_body import RowBody
from sktl.adaptation.joint._shares import estimated_shares, shares_in_place
from sktl.metrics.distances import domain_move

FEATURES = 256  # of the body, at most, unless there are more classes
LENGTH = 16.0  # root mean square of the features' lengths: what the rate of 0.001 goes with
SEEN = 4000  # rows of each domain that give the principal directions
SEEN_FOR_SCALE, N_FOLDS = 1500, 4
RIDGES = 10.0 ** np.arange(-2, 4)  # times the number of columns
MOST_VALUES = 2**27  # of sparse rows that are made dense for the head
ABSENT = 10.0  # logits below the lowest intercept, for a class without rows
MAX_ITER = 100
FEW_TARGET_ROWS = 5
MOST_WORK = 2e9  # rows^3 times classes, for the choice of the penalty
LEAST_A_CLASS, MIDDLE = 10, 100.0
FEW_ROWS = 400  # labelled rows for which training without a target goes half its way


@dataclass
class RowStart:
    """What the data say before training.

    Attributes
    ----------
    data : array or CSR matrix
        All rows, each by the scaler of its domain.
    scaler : StandardScaler
        Of the rows that are predicted: those of the target, where there are any.
    directions : array (n_features, n_columns)
        Of the features, with their scale.
    mean, var : array (n_features,)
        Of the target's features.
    weight, bias : array (n_classes, n_features), (n_classes,)
        The solved head.
    n_labelled : int
        Rows that it was solved on.
    """

    data: Any
    scaler: StandardScaler
    directions: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    n_labelled: int

    @torch.no_grad()
    def write(self, network: Any) -> None:
        """Let the network start here."""
        body: RowBody = network.backbone
        body.put(*(torch.from_numpy(part).float() for part in (self.directions, self.mean, self.var)))
        set_head(network.classifier, *(torch.from_numpy(part).float() for part in (self.weight, self.bias)))

    @torch.no_grad()
    def go_back(self, network: Any) -> None:
        """Average the trained network's values with those here: few rows are not to lead far."""
        # w = (1 - s) w_start + s w_end,   s = n / (n + n_0)
        start = copy.deepcopy(network)
        self.write(start)
        for part in (start.backbone.up.weight, start.backbone.up.bias):  # D may stay: U = 0 there
            part.zero_()
        share = self.n_labelled / (self.n_labelled + FEW_ROWS)
        for first, last in zip(start.parameters(), network.parameters()):
            last.copy_(torch.lerp(first, last, share))


def n_features_of(n_columns: int, n_classes: int) -> int:
    """Return the number of features: enough to hold the solved head."""
    return min(n_columns, max(FEATURES, n_classes))


@dataclass
class LinearModel:
    """A head solved on rows, each at the centre and scale of its domain.

    Attributes
    ----------
    data : array or CSR matrix
        All rows, scaled.
    scaler : StandardScaler
        Of the rows that are predicted: those of the target, where there are any.
    weight, bias : array (n_classes, n_columns), (n_classes,)
        The head.
    basis : array (n_features, n_columns) or None
        Principal directions, where rows are too many and wide for a head on all columns.
    shares : array (n_classes,) or None
        Shares of the classes in the target, estimated or given; None where nothing is known of them.
    prior : array (n_classes,) or None
        Those in the source.
    shares_differ : bool
        Whether the estimate says so.
    """

    data: Any
    scaler: StandardScaler
    weight: np.ndarray
    bias: np.ndarray
    basis: np.ndarray | None = None
    shares: np.ndarray | None = None
    prior: np.ndarray | None = None
    shares_differ: bool = False


@dataclass(frozen=True)
class Part:
    """Which rows are which, and what is known of the target's classes."""

    class_numbers: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    source: np.ndarray
    target: np.ndarray  # none where the target takes no part
    labelled: np.ndarray
    is_separate: bool  # whether each domain has its own centre and scale
    shares: Any  # "auto", None or an array

    def weights_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the sample weights of some rows."""
        return None if self.weights is None else self.weights[rows]

    def batch_norm_for(self, data: Any) -> str:
        """Return whose centre rows have by default: each domain its own if the target has moved, or both one."""
        source, target = self.source, self.target
        if self.weights is not None:
            source, target = source[self.weights[source] > 0], target[self.weights[target] > 0]
        if sparse.issparse(data) or not (len(source) and len(target)):  # words have no centre
            return "separate"
        return "separate" if domain_move(data[source], self.class_numbers[source], data[target]).has_moved else "shared"


def linear_model(data: Any, part: Part) -> LinearModel:
    """Return the model that training starts from."""
    scaled_data, scaler = _scaled(data, part)
    own = part.labelled
    rows, class_numbers, counts = scaled_data[own], part.class_numbers[own], part.weights_of(own)
    if sparse.issparse(rows) and rows.shape[0] * rows.shape[1] > MOST_VALUES:
        seen = np.concatenate([_spread(part.labelled), _spread(part.target)])
        basis = principal(scaled_data[seen], n_features_of(rows.shape[1], part.n_classes))
        weight, bias = _head(rows @ basis.T, class_numbers, counts, part.n_classes)
        return LinearModel(scaled_data, scaler, weight @ basis, bias, basis)
    dense = rows.toarray() if sparse.issparse(rows) else np.asarray(rows, dtype=np.float64)
    weight, bias = _head(dense, class_numbers, counts, part.n_classes)
    model = LinearModel(scaled_data, scaler, weight, bias)
    if part.shares is not None and len(part.target) and len(part.source) and not sparse.issparse(rows):
        _find_shares(model, part)
    return model


def _find_shares(model: LinearModel, part: Part) -> None:
    """Find the classes' shares, and let the target's centre, if it has its own, lie where these put it."""
    known = part.class_numbers[part.source]
    prior = np.bincount(known, part.weights_of(part.source), minlength=part.n_classes)
    prior = prior / prior.sum()
    if not prior.all():
        return
    model.prior = prior
    if not part.is_separate:
        if isinstance(part.shares, str):
            logits = model.data[part.target] @ model.weight.T + model.bias
            model.shares, model.shares_differ = shares_in_place(logits, prior)
        else:
            model.shares = part.shares
        return
    rows = model.data[part.source]
    means = np.stack([
        np.average(rows[known == k], axis=0, weights=part.weights_of(part.source[known == k]))
        for k in range(part.n_classes)
    ])  # fmt: skip
    if isinstance(part.shares, str):
        found = estimated_shares(model.data[part.target], model.weight, model.bias, means, prior)
        model.shares, model.shares_differ = found
    else:
        model.shares = part.shares
    # mean of the target's rows = sum_c g_c mu_c
    centre = model.shares @ means - prior @ means
    model.scaler.mean_ = model.scaler.mean_ - centre * model.scaler.scale_
    model.data[part.target] += centre


def row_start(data: Any, part: Part, model: LinearModel | None = None) -> RowStart:
    """Return where training starts."""
    model = linear_model(data, part) if model is None else model
    weight, n_columns = model.weight, model.weight.shape[1]
    n_features = n_features_of(n_columns, part.n_classes)
    target = _spread(part.target)
    seen = model.data[np.concatenate([_spread(part.labelled), target])]
    basis = model.basis
    if n_features == n_columns:
        basis = np.eye(n_columns)
    elif basis is None:
        # Q = orth([W', V]): the solved head is there as it is, and the leading principal directions V
        leading = principal(seen, n_features - part.n_classes)
        basis = np.linalg.qr(np.vstack([weight, leading]).T)[0].T
    z = np.asarray(seen @ basis.T)
    scale = LENGTH / (np.sqrt(np.square(z).sum(1).mean()) or 1.0)
    last = z[-len(target) :] if len(target) else z
    return RowStart(
        model.data, model.scaler, basis * scale, last.mean(0) * scale, last.var(0) * scale**2,
        weight @ basis.T / scale, model.bias, len(part.labelled),
    )  # fmt: skip


def _scaled(data: Any, part: Part) -> tuple[Any, StandardScaler]:
    """Return all rows at their scale, and the scaler of those to come."""
    of, labelled, target = part.weights_of, part.labelled, part.target
    both = np.union1d(labelled, target)
    if sparse.issparse(data):  # words have no centre
        scaler = length_scaler(data[both], of(both))
        return scaled(data, scaler), scaler
    seen = _spread(labelled, SEEN_FOR_SCALE)
    kind = _kind(np.asarray(data[seen], dtype=np.float64), part.class_numbers[seen], of(seen))
    if not (part.is_separate and len(target) and len(part.source)):
        scaler = kind(data[both], of(both))
        return scaler.transform(data), scaler
    of_source, scaler = kind(data[part.source], of(part.source)), kind(data[target], of(target))
    _draw_near(scaler, of_source, len(target), is_common=kind is common_scaler)
    done = scaler.transform(data)
    done[part.source] = of_source.transform(data[part.source])
    return done, scaler


def _kind(rows: np.ndarray, class_numbers: np.ndarray, weights: np.ndarray | None) -> Any:
    """Return the scaler, by each column's deviation or one of all, whose rows tell more of classes held out.

    Judged by ridge regression of the classes' indicators, whose penalty leave-one-out errors choose in closed form.
    """
    hits = np.eye(class_numbers.max() + 1)[class_numbers]
    fold = np.random.default_rng(0).permutation(len(rows)) % N_FOLDS
    errors = []
    for kind in (common_scaler, column_scaler):
        error = 0.0
        for k in range(N_FOLDS if len(rows) >= N_FOLDS else 0):
            fitted = fold != k
            counts = None if weights is None else weights[fitted]
            scaler = kind(rows[fitted], counts)
            ridge = RidgeCV(RIDGES * rows.shape[1]).fit(scaler.transform(rows[fitted]), hits[fitted], counts)
            error += float(np.square(ridge.predict(scaler.transform(rows[~fitted])) - hits[~fitted]).sum())
        errors.append(error)
    return common_scaler if errors[0] < errors[1] else column_scaler


def _draw_near(scaler: StandardScaler, of_source: StandardScaler, n_target: int, *, is_common: bool) -> None:
    """Draw the target's moments to the source's, as if the target had some rows more with these."""
    # m = m_s + n / (n + n_0) (m_t - m_s), and so the deviation
    share = n_target / (n_target + FEW_TARGET_ROWS)
    here, there = (
        np.full_like(one.scale_, np.sqrt(one.var_.mean())) if is_common else np.sqrt(one.var_)
        for one in (of_source, scaler)
    )
    scale = here + share * (there - here)
    scaler.mean_ = of_source.mean_ + share * (scaler.mean_ - of_source.mean_)
    scaler.scale_ = np.where(scale > 0, scale, 1.0)


def principal(rows: Any, n_components: int) -> np.ndarray:
    """Return leading right singular vectors, (n_components, n_columns); arbitrary ones beyond the rank."""
    n = min(n_components, *rows.shape)
    found = randomized_svd(rows, n, n_iter=2, random_state=0)[2] if n else np.empty((0, rows.shape[1]))
    missing = n_components - len(found)
    if missing <= 0:
        return found
    random = np.random.default_rng(0).normal(size=(missing, rows.shape[1]))
    return np.linalg.qr(np.vstack([found, random]).T)[0].T


def _spread(rows: np.ndarray, most: int = SEEN) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)] if len(rows) else rows


def _penalty(rows: np.ndarray, class_numbers: np.ndarray, weights: np.ndarray | None) -> float | str:
    """Return "auto", a C that was chosen on a part of the rows, or a middle one where that part would be too small."""
    n, n_classes = len(rows), class_numbers.max() + 1
    most = int((MOST_WORK / n_classes) ** (1 / 3))
    if min(rows.shape) <= most:
        return "auto"
    counts = np.ones(n) if weights is None else weights / weights.mean()
    if most < LEAST_A_CLASS * n_classes:
        centred = rows - np.average(rows, axis=0, weights=counts)
        return MIDDLE / float(np.average(np.square(centred).sum(1), weights=counts))
    seen = _spread(np.argsort(class_numbers, kind="stable"), most)
    return chosen_penalty(
        *distinct(rows[seen], np.unique(class_numbers[seen], return_inverse=True)[1], counts[seen]), MAX_ITER
    ).C


def _head(
    rows: np.ndarray, class_numbers: np.ndarray, weights: np.ndarray | None, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    classes, present = np.unique(class_numbers, return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is a start, from which training goes on
        solution = solve_logistic(rows, present, weights, _penalty(rows, present, weights), MAX_ITER)
    weight, bias = solution.weight, solution.bias
    if len(weight) == 1:  # logits z of two classes are (-z/2, z/2)
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    if len(weight) == n_classes:
        return weight, bias
    all_weight, all_bias = np.zeros((n_classes, weight.shape[1])), np.full(n_classes, bias.min() - ABSENT)
    all_weight[classes], all_bias[classes] = weight, bias
    return all_weight, all_bias
