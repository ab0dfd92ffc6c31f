"""Whether a target without labels has classes that the source does not know.

Two observations, neither of which asks how a class's rows have moved:

- Rows of an unknown class are as unsure as those of a class that a model has not seen. Each class of the source is left
  out in turn, and the target rows that the whole model gives it show how unsure these are under this very shift.
- The source has no unknown row. As in reverse validation (E. Zhong et al., "Cross validation framework to choose
  amongst models and datasets for transfer learning", ECML PKDD, 2010), a classifier learns the target's answers, the
  most unsure rows being "unknown", and is asked about the source. Where nothing is unknown, it takes many rows of some
  class for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS, ROUNDS = 10, 2
SEEN = 4000  # target rows among which neighbours are looked for, at most
MOST_SOURCE, MOST_TARGET, MOST_CLASSES = 1000, 2000, 10  # that the test looks at
SHARE = 0.25  # of the target that is taken for unknown
STRENGTH = 10.0  # C, times the mean squared length of rows
MAX_ITER, TOLERANCE = 300, 1e-3
FEWEST = 4  # rows of a class left out, of which a mean is taken
# A line between open and closed sets, drawn by eye through the pairs of ``benchmarks/partial_open_sets.py`` with two
# draws of the classes, scikit-learn's digits turned, blurred and as they are, and made clusters
CLAIMED, THRESHOLD = 2.0, 0.1


class OpenSigns(NamedTuple):
    """What speaks for an open set."""

    unsure: float  # of the most unsure rows, in that of rows whose class is left out
    claimed: float  # share of the source class that is most taken for unknown


def seems_open(source: np.ndarray, class_numbers: np.ndarray, target: np.ndarray) -> bool:
    """Tell whether some target rows seem to be of no class of the source; yes where there are too few classes to tell.

    Parameters
    ----------
    source, target : array of shape (n_source, n_columns) and (n_target, n_columns)
        Rows, each at the centre and scale of its domain.
    class_numbers : array of shape (n_source,)
        The source's classes.
    """
    signs = open_signs(source, class_numbers, target)
    return signs is None or signs.unsure - CLAIMED * signs.claimed > THRESHOLD


def open_signs(source: np.ndarray, class_numbers: np.ndarray, target: np.ndarray) -> OpenSigns | None:
    """Return what tells an open set, or None where fewer than three classes can be left out."""
    some, others = _spread(len(source), MOST_SOURCE), _spread(len(target), MOST_TARGET)
    source, class_numbers, target = source[some], class_numbers[some], target[others]
    classes = np.unique(class_numbers)
    if len(classes) < 3:
        return None
    scale = np.concatenate([source, target]).std(axis=0)
    source, target = (rows / np.where(scale > 0, scale, 1.0) for rows in (source, target))
    square = float(np.square(target).sum(1).mean())
    learner = LogisticRegression(C=STRENGTH / (square or 1.0), max_iter=MAX_ITER, tol=TOLERANCE)
    near = _nearest(target)
    logits = learner.fit(source, class_numbers).decision_function(target)
    answers, unsure = classes[logits.argmax(1)], _means(entropies(logits), near)
    left_out = []
    for c in classes[_spread(len(classes), MOST_CLASSES)]:
        of_class = answers == c
        if of_class.sum() < FEWEST:
            continue
        kept = class_numbers != c
        logits = learner.fit(source[kept], class_numbers[kept]).decision_function(target)
        logits = logits if logits.ndim == 2 else np.stack([-logits, logits], axis=1) / 2
        left_out.append(_means(entropies(logits), near)[of_class].mean())
    n_unknown = int(SHARE * len(target))
    if not left_out or not n_unknown:
        return None
    most = np.argsort(-unsure)[:n_unknown]
    learned = answers.copy()
    learned[most] = unknown = int(classes.max()) + 1
    claims = learner.fit(target, learned).predict(source) == unknown
    shares = [claims[class_numbers == c].mean() for c in classes]
    return OpenSigns(float(unsure[most].mean() / max(np.mean(left_out), 1e-12)), float(max(shares)))


def entropies(logits: np.ndarray) -> np.ndarray:
    """Return the entropy of each prediction, between 0 and 1."""
    # H = -sum_k p_k log p_k / log K
    log_proba = log_softmax(logits, axis=1)
    return -(np.exp(log_proba) * log_proba).sum(1) / np.log(logits.shape[1])


def smoothed(rows: Any, scores: np.ndarray) -> np.ndarray:
    """Return the mean score of each row and the rows nearest to it by cosine, taken twice."""
    return _means(scores, _nearest(rows))


def _nearest(rows: Any) -> np.ndarray:
    """Return the numbers of the rows nearest to each by cosine, (n, n_neighbours)."""
    seen = _spread(rows.shape[0], SEEN)
    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(seen)), metric="cosine", algorithm="brute")
    return seen[nearest.fit(rows[seen]).kneighbors(rows, return_distance=False)]


def _means(scores: np.ndarray, near: np.ndarray) -> np.ndarray:
    for _ in range(ROUNDS):
        scores = (scores + scores[near].sum(1)) / (1 + near.shape[1])
    return scores


def _spread(n: int, most: int) -> np.ndarray:
    return np.linspace(0, n - 1, min(n, most)).astype(int)
