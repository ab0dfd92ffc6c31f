"""What a look at the codes tells about the data: repeated rows, labels that are doubtful, what pictures there are."""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from sktl._array_api import take_rows
from sktl._inputs import ROWS
from sktl._preprocessing import Preprocessing
from sktl._validation import printable
from sktl.advisor._codes import PENULTIMATE, PIXELS, Extraction, LayerCodes
from sktl.advisor._problem import Problem
from sktl.images import as_pictures, iter_batches
from sktl.metrics.transferability import knn_leave_one_out, ridge_leave_one_out

# Squared distance of repeated rows, as a share of the mean: rounding, and that of float32 where a network computes.
SAME, SAME_CODES = 1e-13, 1e-9
ROUNDING = 1e-6  # of a feature's own size, by which repeated rows may differ
# Distance of near-duplicates by codes, as a share of the median distance to the nearest other row; and squared distance
# by pixels, as a share of the mean. Seen with the embedded network: pictures at half the size, blurred, brightened or
# cut by 5 pixels have up to 0.76 by codes and 0.09 by pixels, mirrored ones 0.39 by codes; the nearest two of 60
# photographs 0.68 and 0.55, of 200 digits 0.68 and 0.18.
VERY_NEAR, NEAR, NEAR_PIXELS = 0.4, 0.8, 0.05
MARGIN = 0.3  # by which another class's output has to exceed that of the row's own
TELLING = 0.7  # accuracy below which doubts about labels say more about the codes
MOST_PAIRS, MOST_SUSPECTS = 50, 20
THUMBNAIL, SHOWN_CLASSES, SHOWN_A_CLASS, SHOWN_PAIRS = 72, 12, 4, 6
OPENED = 300
LONGEST_LABEL = 80  # characters shown of it


@dataclass(frozen=True)
class Pair:
    """Two rows that are the same, or nearly so.

    Attributes
    ----------
    first, second : int
        Row numbers in X.
    is_exact : bool
        Whether they are the same.
    labels : (label, label)
        Of both; None for an unlabelled row.
    """

    first: int
    second: int
    is_exact: bool
    labels: tuple[Any, Any]

    @property
    def is_conflict(self) -> bool:
        """Whether the two are of different classes."""
        return None not in self.labels and self.labels[0] != self.labels[1]


@dataclass(frozen=True)
class Suspect:
    """A row whose label is doubtful: both classifiers, without it, say another.

    Attributes
    ----------
    row : int
        Its number in X.
    label, likely
        What it has, and what both classifiers say.
    margin : float
        By how much the linear output of the likely class exceeds that of the label.
    """

    row: int
    label: Any
    likely: Any
    margin: float


def reference(found: Extraction) -> LayerCodes:
    """Return the codes in which rows are compared: what enters the first backbone's classifier."""
    own = [part for part in found.layers if part.layer != PIXELS]
    return next((part for part in own if part.layer == PENULTIMATE), own[0])


def duplicates(found: Extraction, problem: Problem) -> list[Pair]:
    """Return pairs of rows that are the same or nearly so, the same first.

    Of rows that are all the same, each is paired with the first; a row that is nearly like several others with the
    nearest before it, and with the nearest of another class.
    """
    codes = reference(found).codes
    n = len(codes)
    if n < 2:
        return []
    squares = _squares(codes)
    np.fill_diagonal(squares, np.inf)
    mean = squares[np.isfinite(squares)].mean() or 1.0
    same = squares <= (SAME_CODES if problem.is_pictures else SAME) * mean
    original = _originals(same, take_rows(problem.X, found.rows) if problem.kind == ROWS else None)
    second = np.flatnonzero(original != np.arange(n))
    pairs = list(zip(original[second].tolist(), second.tolist()))
    number = np.full(n, -1)
    number[: len(problem.number)] = problem.number
    pixels = next((part.codes for part in found.layers if part.layer == PIXELS), None)
    if pixels is not None:
        others = np.where(same, np.inf, squares).min(axis=1)
        usual = np.median(others[np.isfinite(others)]) if np.isfinite(others).any() else 0.0
        of_pixels = _squares(pixels)
        alike = of_pixels <= NEAR_PIXELS * of_pixels.mean()
        near = ((squares <= VERY_NEAR**2 * usual) | ((squares <= NEAR**2 * usual) & alike)) & ~same
        pairs += _nearest_before(near, squares, number, second)
    classes = [*problem.classes.tolist(), None]
    pairs.sort(key=lambda pair: squares[pair])  # a stable sort
    return [
        Pair(int(found.rows[i]), int(found.rows[j]), bool(original[j] == i), (classes[number[i]], classes[number[j]]))
        for i, j in pairs
    ]


def without_repeats(found: Extraction, problem: Problem, pairs: Sequence[Pair]) -> tuple[Extraction, Problem]:
    """Leave out rows that repeat an earlier one: predicted from its own copy, a row is always right."""
    place = {int(row): i for i, row in enumerate(found.rows)}
    earlier = {pair.first: pair.second for pair in pairs if pair.is_exact}
    repeats = {max(pair.first, pair.second, key=place.__getitem__) for pair in pairs if pair.is_exact}
    if not earlier:
        return found, problem
    kept = ~np.isin(found.rows, list(repeats))
    left = problem.without(repeats)
    if len(np.unique(left.number)) < 2 or len(left.number) < 4:
        return found, problem
    proba = {name: values[kept[: len(problem.number)]] for name, values in found.source_proba.items()}
    layers = [replace(part, codes=part.codes[kept]) for part in found.layers]
    return replace(found, layers=layers, rows=found.rows[kept], source_proba=proba), left


def suspects(found: Extraction, problem: Problem) -> list[Suspect]:
    """Return rows whose label is doubtful, the most doubtful first."""
    n = len(problem.number)
    codes = reference(found).codes[:n]
    linear = ridge_leave_one_out(codes, problem.number)
    if np.mean(linear.labels == problem.number) < TELLING:
        return []
    nearest = knn_leave_one_out(codes, problem.number)
    own = np.searchsorted(linear.classes, problem.number)
    margin = linear.outputs.max(axis=1) - linear.outputs[np.arange(n), own]
    doubtful = (linear.labels != problem.number) & (nearest == linear.labels) & (margin > MARGIN)
    order = [i for i in np.argsort(-margin, kind="stable").tolist() if doubtful[i]]
    classes = problem.classes.tolist()
    return [
        Suspect(int(found.rows[i]), classes[problem.number[i]], classes[linear.labels[i]], float(margin[i]))
        for i in order
    ]


def picture_facts(problem: Problem) -> list[str]:
    """Return sizes and modes of the sample's pictures, in words."""
    if not problem.is_pictures:
        return []
    rows = np.concatenate([problem.labelled, problem.unlabelled])[:OPENED]
    shape = getattr(problem.X, "shape", None)
    if shape is not None and len(shape) > 1:
        return [f"arrays of shape {' x '.join(map(str, shape[1:]))}, {problem.X.dtype}"]
    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    for item in take_rows(problem.X, rows):
        try:
            if isinstance(item, (str, os.PathLike)):
                with Image.open(item) as picture:
                    size, mode = picture.size, picture.mode
            else:
                size, mode = item.size, item.mode
        except (OSError, ValueError, AttributeError, TypeError):  # named among the unreadable ones
            continue
        sizes.append(size)
        modes[str(mode)] += 1
    if not sizes:
        return []
    wide, high = np.array(sizes).T
    of_size = f"{wide.min()} to {wide.max()} pixels wide, {high.min()} to {high.max()} high"
    return [of_size, "modes " + ", ".join(f"{mode} ({count})" for mode, count in modes.most_common())]


def label_name(label: Any) -> str:
    """Return a label as it is shown, whatever it is."""
    return printable(label, most=LONGEST_LABEL)


def rows_by_class(problem: Problem) -> dict[str, list[int]]:
    """Return some rows of each of the first classes."""
    return {
        str(problem.classes[c]): problem.labelled[problem.number == c][:SHOWN_A_CLASS].tolist()
        for c in range(min(len(problem.classes), SHOWN_CLASSES))
    }


def thumbnails(advisor: Any, problem: Problem, pairs: Sequence[Pair], doubtful: Sequence[Suspect]) -> dict[int, str]:
    """Return small pictures as data URIs, by row: some of each class, and those that the report speaks of."""
    if not problem.is_pictures:
        return {}
    wanted = [row for rows in rows_by_class(problem).values() for row in rows]
    wanted += [row for pair in pairs[:SHOWN_PAIRS] for row in (pair.first, pair.second)]
    wanted += [suspect.row for suspect in doubtful[:MOST_SUSPECTS]]
    rows = np.array(sorted(set(wanted)), dtype=int)
    if not len(rows):
        return {}
    kind = advisor._kind
    source = as_pictures(take_rows(problem.X, rows), image_shape=kind.image_shape, value_range=kind.value_range)
    found = {}
    whole = Preprocessing((THUMBNAIL,) * 2, crop_pct=1.0, crop_mode="border")
    for which, batch in iter_batches(source, whole, batch_size=64):
        for i, picture in zip(which, batch.permute(0, 2, 3, 1).numpy()):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=80)
            found[int(rows[i])] = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return found


def _originals(same: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """Return for each row the first that is the same, or itself; of feature rows those equal in every column.

    Far rows make others look near, in one number for all columns.
    """
    first = np.arange(len(same))
    for i in np.flatnonzero(np.triu(same, 1).any(axis=1)).tolist():
        if first[i] != i:
            continue
        others = i + 1 + np.flatnonzero(same[i, i + 1 :])
        others = others[first[others] == others]
        if rows is not None:
            sizes = np.maximum(np.abs(rows[others]), np.abs(rows[i]))
            others = others[(np.abs(rows[others] - rows[i]) <= ROUNDING * sizes).all(axis=1)]
        first[others] = i
    return first


def _nearest_before(
    near: np.ndarray, squares: np.ndarray, number: np.ndarray, repeats: np.ndarray
) -> list[tuple[int, int]]:
    """Return each row's nearest near row before it, and that of another class, if they are others; no repeats."""
    distances = np.where(np.triu(near, 1), squares, np.inf)
    distances[repeats], distances[:, repeats] = np.inf, np.inf
    found = set()
    for among in (True, (number[:, None] != number) & (number[:, None] >= 0) & (number >= 0)):
        distances = np.where(among, distances, np.inf)
        nearest = distances.argmin(axis=0)
        found |= {(i, j) for j, i in enumerate(nearest.tolist()) if np.isfinite(distances[i, j])}
    return sorted(found)


def _squares(codes: np.ndarray) -> np.ndarray:
    norms = (codes**2).sum(axis=1)
    return np.maximum(norms[:, None] + norms - 2 * codes @ codes.T, 0.0)
