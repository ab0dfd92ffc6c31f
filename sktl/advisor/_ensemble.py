"""Means of what was fitted anyway: of a greedy choice, or of a shallow model and trainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sktl.advisor._candidates import TRAINED, Candidate
from sktl.advisor._entry import NOISE, Entry, best_of, is_ahead, scored
from sktl.advisor._tasks import Task

ROUNDS = 8
LEAST_ROWS = 40  # fewer tell nothing of weights
MOST_TRAININGS = 2  # in a mean with a shallow model


@dataclass
class Ensemble:
    """A mean of candidates.

    Attributes
    ----------
    entry : Entry
        Its outputs out of fold, scored.
    members : list of (Entry, int)
        What it is a mean of, and the weight of each.
    least_lead : float or None
        Standard errors of the score's lead above which better probabilities decide; None asks for a lead that is no
        noise.
    """

    entry: Entry
    members: list[tuple[Entry, int]]
    least_lead: float | None = None

    def is_better(self, task: Task, best: Entry) -> bool:
        """Whether it should be taken instead of the best so far.

        A mean that holds a shallow model and a training varies less with the draw of rows than a training alone, whose
        lead has to be more than noise.
        """
        if is_ahead(task, self.entry, best):
            return True
        own, other = self.entry, best
        if self.least_lead is None or other.is_of_labels:
            return False
        if own.outputs is None or other.outputs is None or own.known is None or other.known is None:
            return False
        rows = np.flatnonzero(own.known & other.known)
        lead, error = task.lead(own.outputs, other.outputs, rows)
        if other.candidate.views:
            return lead >= self.least_lead * error
        return (
            lead > self.least_lead * error and task.is_default and task.gained(own.outputs, other.outputs, rows)[0] > 0
        )


def ensembles(task: Task, entries: Sequence[Entry], best: Entry, *, is_quick: bool) -> list[Ensemble]:
    """Return the means that may be better than the best, those of fewer members first.

    Parameters
    ----------
    is_quick : bool
        Whether members cost little at prediction; of pictures each may be a pass of the network.
    """
    several = greedy(task, entries, -NOISE if is_quick else None)
    return with_trainings(task, entries, best) + ([] if several is None else [several])


def ever_better(task: Task, tried: Sequence[Ensemble], best: Entry) -> list[Ensemble]:
    """Return those that should be taken instead of the best, each instead of the one before it too."""
    found: list[Ensemble] = []
    for one in tried:
        if one.is_better(task, found[-1].entry if found else best):
            found.append(one)
    return found


def with_trainings(task: Task, entries: Sequence[Entry], best: Entry) -> list[Ensemble]:
    """Return the mean of the best shallow model and of the training that helps it most, and that of one more with them.

    They are wrong about other rows, so that their mean is mostly better than each, also where the training alone is
    behind. A fold's training has fewer rows to learn from, which costs it more than the shallow model: probabilities
    that are better decide, unless the score is worse by more than noise. The shallow one counts twice if it is ahead of
    a training. Of several trainings, that is taken whose gain less its standard error is the highest. Scores are of the
    rows that all members have.
    """
    n = len(task.target)
    shallow = best if best.tier != TRAINED else best_of([e for e in entries if e.tier != TRAINED], n)
    if shallow is None or shallow.outputs is None or shallow.is_of_labels:
        return []
    trainings = [e for e in scored(entries, n) if e.candidate.views]
    found: list[Ensemble] = []
    members: list[Entry] = []
    before = shallow
    while len(members) < MOST_TRAININGS:
        tried = [(e, _mean(task, shallow, [*members, e])) for e in trainings if all(e is not m for m in members)]
        gains = [(_sure_gain(task, mean.entry, before), e, mean) for e, mean in tried if mean is not None]
        if not gains:
            break
        _, entry, mean = max(gains, key=lambda one: one[0])
        members.append(entry)
        found.append(mean)
        before = mean.entry
    return found


def _mean(task: Task, shallow: Entry, trainings: Sequence[Entry]) -> Ensemble | None:
    """Return the mean of a shallow model and of trainings; None if there are few rows that all of them have."""
    members = [shallow, *trainings]
    rows = np.flatnonzero(np.all([e.known for e in members if e.known is not None], axis=0))
    if len(rows) < LEAST_ROWS:
        return None
    outputs = [e.outputs for e in members if e.outputs is not None]
    is_behind_all = all(task.lead(one, outputs[0], rows)[0] >= 0 for one in outputs[1:])
    weights = [1 if is_behind_all else 2] + [1] * len(trainings)
    both = np.full(outputs[0].shape, np.nan)
    both[rows] = mean_of([one[rows] for one in outputs], weights)
    return Ensemble(_scored(task, both, rows), [*zip(members, weights)], -NOISE)


def _sure_gain(task: Task, entry: Entry, other: Entry) -> float:
    """Return what log-loss gains by one over the other, less its standard error, on the rows of the first."""
    if entry.outputs is None or other.outputs is None or entry.known is None:
        return -np.inf
    gain, error = task.gained(entry.outputs, other.outputs, np.flatnonzero(entry.known))
    return gain - error


def greedy(task: Task, entries: Sequence[Entry], least_lead: float | None) -> Ensemble | None:
    """Return the greedy ensemble of all that was scored on all rows, if it has two members."""
    entries = [e for e in scored(entries, len(task.target)) if e.known is not None and e.known.all()]
    entries = [e for e in entries if not e.is_of_labels]
    rows = np.arange(len(task.target))
    if len(entries) < 2 or len(rows) < LEAST_ROWS:
        return None
    outputs = [e.outputs for e in entries if e.outputs is not None]
    members = [(e, weight) for e, weight in zip(entries, greedy_weights(task, outputs, rows)) if weight]
    if len(members) < 2:
        return None
    return Ensemble(_scored(task, out_of_sample(task, outputs, rows, task.seed), rows), members, least_lead)


def _scored(task: Task, outputs: np.ndarray, rows: np.ndarray) -> Entry:
    known = np.zeros(len(outputs), dtype=bool)
    known[rows] = True
    found = Entry(Candidate("ensemble", "ensemble", TRAINED, None), outputs, known, len(outputs))
    found.score, found.error, found.status = task.score(outputs, rows), task.error_of(outputs, rows), "scored"
    return found


def greedy_weights(task: Task, outputs: Sequence[np.ndarray], rows: np.ndarray) -> list[int]:
    """Return how often each model enters the mean, by its worth on these rows (Caruana et al. 2004).

    The best model comes first; then, round by round, the one with which the mean becomes best, until none helps.
    """
    worth = [task.worth(one, rows) for one in outputs]
    chosen = [int(np.argmax(worth))]
    best, total = max(worth), outputs[chosen[0]].astype(np.float64)
    for _ in range(ROUNDS):
        tried = [task.worth((total + one) / (len(chosen) + 1), rows) for one in outputs]
        if max(tried) <= best:
            break
        chosen.append(int(np.argmax(tried)))
        best, total = max(tried), total + outputs[chosen[-1]]
    count = Counter(chosen)
    return [count[i] for i in range(len(outputs))]


def mean_of(outputs: Sequence[np.ndarray], weights: Sequence[int]) -> np.ndarray:
    """Return the weighted mean of outputs."""
    return np.average(np.stack(outputs), axis=0, weights=weights)


def out_of_sample(task: Task, outputs: Sequence[np.ndarray], rows: np.ndarray, seed: int) -> np.ndarray:
    """Return the ensemble's outputs, each half of the rows by weights that the other half has chosen."""
    order = np.random.default_rng(seed).permutation(rows)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    out = np.full(outputs[0].shape, np.nan)
    for own, other in (halves, halves[::-1]):
        out[own] = mean_of(outputs, greedy_weights(task, outputs, other))[own]
    return out
