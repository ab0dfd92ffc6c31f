"""What the selector is given, which sources it chooses, and what it tells about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sktl._domains import Domains
from sktl.advisor._source_distances import Distance, compared, nearness, nearness_among_many, ranked_by
from sktl.advisor._source_index import SourceIndex
from sktl.advisor._source_value import FEW, Components, RidgeProbe, judged
from sktl.density_ratios import held_out_log_ratios

FEWEST_RATIOS = 2  # rows of a domain, below which no densities are compared


@dataclass(frozen=True)
class SourceProblem:
    """Rows, by what they are for.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
        All rows.
    labels : ndarray of shape (n,)
        Labels; at unlabelled rows whatever.
    number : int array of shape (n,)
        Classes, 0, 1, ...; -1 for unlabelled rows.
    names : ndarray of str
        The sources that have labels.
    sources : list of int array
        The labelled rows of each.
    target : int array
        All rows of the target.
    without_labels : list of str
        Domains that are neither target nor labelled.
    """

    X: Any
    labels: np.ndarray
    number: np.ndarray
    names: np.ndarray
    sources: list[np.ndarray]
    target: np.ndarray
    without_labels: list[str]

    @classmethod
    def of(cls, X: Any, labelled: np.ndarray, known: np.ndarray, domains: Domains) -> SourceProblem:
        """Return the problem; `known` are the labels of the rows in the mask `labelled`."""
        labels = np.zeros(len(labelled), dtype=known.dtype)
        labels[labelled] = known
        number = np.full(len(labelled), -1)
        number[labelled] = np.unique(known, return_inverse=True)[1]
        of_row = np.where(labelled & ~domains.is_target, domains.of_row, -1)
        order = np.argsort(of_row, kind="stable")
        counts = np.bincount(of_row[order][of_row[order] >= 0], minlength=len(domains.names))
        parts = np.split(order[(of_row < 0).sum() :], np.cumsum(counts)[:-1])
        is_source = counts > 0
        silent = domains.names[~is_source & ~domains.targets]
        return cls(
            X, labels, number, domains.names[is_source].astype(str), [part for part in parts if len(part)],
            np.flatnonzero(domains.is_target), silent.astype(str).tolist(),
        )  # fmt: skip


@dataclass
class Choice:
    """What was found out about the sources, which are named by their places.

    Attributes
    ----------
    order : list of int
        All of them, the nearest first.
    chosen : list of int
        In that order.
    harmful : list of int
        What was left out since it hurts, the worst first.
    moments, distances : ndarray of shape (n_sources,)
        From the target; `distances` are NaN where they were not computed.
    gains : dict of int to float
        See `Judgement`.
    components : Components or None
        Of all rows; None where there was nothing to compare.
    """

    order: list[int]
    chosen: list[int]
    moments: np.ndarray
    distances: np.ndarray
    components: Components | None = None
    harmful: list[int] = field(default_factory=list)
    gains: dict[int, float] = field(default_factory=dict)


def choose(
    problem: SourceProblem, function: Distance | None, n_sources: int | str, index: SourceIndex,
    rng: np.random.Generator,
) -> Choice:  # fmt: skip
    """Rank the sources by their distance, and choose the nearest, or those that do no harm."""
    n = len(problem.names)
    for name, rows in zip(problem.names, problem.sources):
        index.add(name, problem.X[rows])
    if len(problem.target) == 0:
        unknown = np.full(n, np.nan)
        return Choice([*range(n)], [*range(n)], unknown, unknown)
    by_name = index.distances(problem.X[problem.target], problem.names)
    moments = np.array([by_name[name] for name in problem.names])
    if n == 1:
        return Choice([0], [0], moments, np.full(1, np.nan))
    labelled = np.concatenate(problem.sources)
    components = Components.of(problem.X, np.concatenate([labelled, problem.target]), n, rng)
    codes = components(problem.X[labelled])
    parts = np.split(codes, np.cumsum([len(rows) for rows in problem.sources])[:-1])
    distances = moments
    if function is not None:
        distances = compared(function, moments, parts, components(problem.X[problem.target]), rng)
    order = np.lexsort([moments, np.where(np.isnan(distances), np.inf, ranked_by(function, distances))]).tolist()
    choice = Choice(order, order, moments, distances, components)
    if n_sources != "auto":
        choice.chosen = order[: int(n_sources)]
    elif n > 2 and problem.number.max() > 0:
        of_row = np.repeat(np.arange(n), [len(rows) for rows in problem.sources])
        few = nearness(moments if np.isnan(distances).any() else distances)
        near = few if n <= FEW else nearness_among_many(moments)
        judgement = judged(RidgeProbe(codes, problem.number[labelled], of_row), near, rng)
        choice.chosen = [place for place in order if place in set(judgement.kept)]
        choice.harmful, choice.gains = judgement.left_out, judgement.gains
    return choice


def learned_rows(problem: SourceProblem, choice: Choice, share: float | None) -> np.ndarray:
    """Return the rows to learn from: those of the chosen sources, or a share of them, and the target's with labels."""
    rows = np.sort(np.concatenate([problem.sources[place] for place in choice.chosen]))
    known_target = problem.target[problem.number[problem.target] >= 0]
    if share is not None and share < 1 and min(len(rows), len(problem.target)) >= FEWEST_RATIOS:
        components = choice.components or Components.of(problem.X, rows, 1, np.random.default_rng(0))
        parts = (components(problem.X[part]) for part in (rows, problem.target))
        log_ratios, is_target = held_out_log_ratios(*parts, C="auto", n_folds=5, random_state=0)
        rows = _most_frequent(rows, problem.number[rows], log_ratios[~is_target], share)
    return np.sort(np.concatenate([rows, known_target]))


def _most_frequent(rows: np.ndarray, number: np.ndarray, log_ratios: np.ndarray, share: float) -> np.ndarray:
    """Return a share of each class's rows, one at least: those most frequent in the target."""
    kept = []
    for label in np.unique(number):
        own = np.flatnonzero(number == label)
        most = max(1, round(share * len(own)))
        kept.append(own[np.argsort(-log_ratios[own], kind="stable")[:most]])
    return rows[np.sort(np.concatenate(kept))]


def ranking(problem: SourceProblem, choice: Choice) -> Any:
    """Return a row a source, the nearest first; a pandas DataFrame if pandas is there, else a list of dicts."""
    chosen = set(choice.chosen)
    rows = [
        {
            "source": str(problem.names[place]),
            "n_rows": len(problem.sources[place]),
            "distance": float(choice.distances[place]),
            "moments": float(choice.moments[place]),
            "gain": choice.gains.get(place, float("nan")),
            "is_chosen": place in chosen,
        }
        for place in choice.order
    ]
    try:
        import pandas as pd
    except ImportError:
        return rows
    return pd.DataFrame(rows)
