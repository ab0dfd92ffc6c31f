"""How frequent each class is in the target: estimated with the source's linear model, and what follows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from sktl._warn_once import warn_user

PRIOR = 1.0  # how much the source's shares count for beside all target rows
ROUNDS, STEPS = 8, 100
TOLERANCE = 1e-6
MUCH = 0.3  # half the sum of differences between predicted and source's shares, from which they are said to differ
COLLAPSED = 0.36  # the same of an estimate that draws ever more rows to one class: it is not to be believed
SPREAD_ROWS = 20  # a source row is drawn for so many places at most


class Estimate(NamedTuple):
    """Shares of the classes in the target, the source's where no other could be told, and whether they differ."""

    shares: np.ndarray  # (n_classes,)
    differ: bool


def estimated_shares(
    rows: np.ndarray, weight: np.ndarray, bias: np.ndarray, means: np.ndarray, prior: np.ndarray
) -> Estimate:
    """Return the classes' shares in the target.

    The shares say where the centre of the target's rows lies, and the centre decides what is predicted: both are found
    in turns. Within a turn it is expectation and maximisation (Saerens et al. 2002), drawn half-way to the source's
    shares: a model that the shift misleads is not to be believed. Where predictions with equal shares are not far from
    these, nothing is changed.

    Parameters
    ----------
    rows : array (n, n_columns)
        Target rows, their mean about 0.
    weight, bias : array (n_classes, n_columns), (n_classes,)
        The source's linear model, of rows with mean ``prior @ means``.
    means : array (n_classes, n_columns)
        Of the source's classes.
    prior : array (n_classes,)
        The source's shares, none 0.
    """
    logits = rows @ weight.T + bias
    predicted = np.bincount(logits.argmax(1), minlength=len(prior)) / len(rows)
    if distance(predicted, prior) <= MUCH:
        return Estimate(prior, False)
    # x_t + sum_c (g_c - p_c) mu_c is where a target row lies among the source's
    g, of_means = prior, means @ weight.T
    logits = logits - np.log(prior)
    for _ in range(ROUNDS):
        before, moved = g, logits + (g - prior) @ of_means
        for _ in range(STEPS):
            # g <- (sum_i p(c | x_i; g) + a n p_c) / (n + a n)
            new = (softmax(moved + np.log(np.maximum(g, 1e-12)), axis=1).mean(0) + PRIOR * prior) / (1 + PRIOR)
            done, g = np.abs(new - g).sum() < TOLERANCE, new
            if done:
                break
        if np.abs(g - before).sum() < TOLERANCE:
            break
    return Estimate(prior if distance(g, prior) > COLLAPSED else g, True)


def shares_in_place(logits: np.ndarray, prior: np.ndarray) -> Estimate:
    """Return the classes' shares in a target whose rows lie where the source's do.

    Expectation and maximisation over the source model's probabilities (Saerens et al. 2002); the source's shares count
    as one row more.

    Parameters
    ----------
    logits : array (n, n_classes)
        The source model's, of target rows.
    prior : array (n_classes,)
        The source's shares, none 0.
    """
    g, of_rows = prior, logits - np.log(prior)
    for _ in range(STEPS):
        # g <- (sum_i p(c | x_i; g) + p_c) / (n + 1)
        new = (softmax(of_rows + np.log(np.maximum(g, 1e-12)), axis=1).sum(0) + prior) / (len(logits) + 1)
        done, g = np.abs(new - g).sum() < TOLERANCE, new
        if done:
            break
    return Estimate(g, distance(g, prior) > MUCH)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return half the sum of the differences between shares, 0 to 1."""
    return float(np.abs(one - other).sum() / 2)


def given_shares(value: Any, classes: np.ndarray) -> Any:
    """Return shares as the user gave them, (n_classes,), or the word or None.

    Raises
    ------
    ValueError
        If they are no shares of the classes.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        known = classes.tolist()
        unknown = [label for label in value if label not in known]
        if unknown:
            raise ValueError(f"target_shares names {unknown[:5]}, which are no classes in y; these are {known[:10]}.")
        value = [value.get(label, 0.0) for label in known]
    found = np.asarray(value, dtype=np.float64)
    if found.shape != classes.shape or not np.isfinite(found).all() or (found < 0).any() or found.sum() <= 0:
        raise ValueError(
            f"target_shares must hold a share of 0 or more for each of the {len(classes)} classes in sorted order, not "
            f"all 0; got {str(value)[:80]}. A dict may name the classes."
        )
    return found / found.sum()


def warn_of_shares(shares: np.ndarray, prior: np.ndarray, classes: np.ndarray, uses_target: bool) -> None:
    """Say that the classes' shares seem to differ, and what follows."""
    gain = shares - prior
    order = np.argsort(gain)
    rare = [str(classes[i]) for i in order[:3] if gain[i] < 0]
    frequent = [str(classes[i]) for i in order[::-1][:3] if gain[i] > 0]
    if np.array_equal(shares, prior):
        what = "How, cannot be told: the model is misled too much, and the source's shares are taken."
    else:
        done = "Classes are weighed by the estimate in target_shares_, a cautious one."
        if not uses_target:
            done = "Nothing else seems to: the source's model is left as it is (loss='mcc' would adapt it)."
        what = f"There seem to be more of {', '.join(frequent)}, less of {', '.join(rare)}. {done}"
    warn_user(
        f"Classes seem to have other shares in the target than in the source. {what} Pass target_shares if you know "
        "them, or None to take them as equal.",
    )


def drawn_by(rows: np.ndarray, class_numbers: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return source rows so often that their classes have these shares, each at least once where its share is not 0."""
    counts = np.bincount(class_numbers[rows], minlength=len(shares))
    ratio = np.divide(shares, counts / len(rows), out=np.zeros(len(shares)), where=counts > 0)
    largest = ratio.max()
    if largest <= 0:
        return rows
    places = np.ceil(SPREAD_ROWS * ratio / largest).astype(int)[class_numbers[rows]]
    return np.repeat(rows, places)
