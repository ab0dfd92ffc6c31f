"""The search: candidates by successive halving over rows, trainings by racing over folds, the simplest that will do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone

from sktl._array_api import take_rows
from sktl._deadline import OutOfTimeError, deadline
from sktl._warn_once import warn_user
from sktl.advisor import _clock
from sktl.advisor._candidates import SHALLOW, SIMPLE, TRAINED, Candidate
from sktl.advisor._clock import CAUTION, TimeBudget, timed
from sktl.advisor._ensemble import MOST_TRAININGS, ensembles, ever_better
from sktl.advisor._entry import (
    FACTOR,
    GRACE,
    NOISE,
    Entry,
    best_of,
    fit_to_time,
    foretold,
    in_time_first,
    is_good_enough,
    note_untried,
    quietly,
    rungs,
    scored,
    simplest_of_best,
    try_on_few,
    warn_of_time,
)
from sktl.advisor._material import Material
from sktl.advisor._tasks import Task
from sktl.advisor._voting import voting

PROBED = (10, 40, 160)  # rows on which an estimator is timed that nobody knows, where time is bounded


class Search:
    """Finds the candidate that does best in the time there is.

    Parameters
    ----------
    owner : AutoTransferClassifier or AutoTransferRegressor
        Whose settings hold.
    material : Material
        What they are tried on.
    task : Task
        What is predicted.
    candidates : list of Candidate
        The simplest first, then by promise.
    groups : int array of shape (n,)
        The same number for rows that are the same.
    budget : TimeBudget
        Under way.
    watch : callable(name) -> context manager
        Told of each candidate.
    """

    def __init__(
        self, owner: Any, material: Material, task: Task, candidates: Sequence[Candidate], groups: np.ndarray,
        budget: TimeBudget, watch: Callable[[str], AbstractContextManager],
    ):  # fmt: skip
        self.owner, self.material, self.task = owner, material, task
        self.entries = [Entry(candidate) for candidate in candidates]
        self.groups, self.budget, self.watch = groups, budget, watch
        self.cv = int(owner.cv)
        self.averages = bool(owner.ensemble and owner.refit and task.averages)
        self.was_interrupted = False

    def run(self) -> Entry:
        """Try the candidates; returns the best, fitted to all rows (if `refit`)."""
        self.simple = self._first_that_works()
        if self.budget.left <= 0:
            warn_of_time(self.simple, self.budget)
            return self.simple
        self.task.warn_of_few(self.cv, self.groups)
        folds = self.task.folds(self.cv, self.groups, np.arange(self.material.n))
        if not folds:
            note_untried(self.entries, "too few rows that differ")
            warn_user(f"Rows are too few to compare candidates: {self.simple.candidate.name!r} was taken.")
            return self.simple
        try:
            self._compare(folds)
        except KeyboardInterrupt:
            self._note_interrupt()
        else:
            is_late = self.budget.is_bounded and not self.simple.has_failed
            if self.simple.outputs is None and len(self.entries) > 1 and is_late:
                warn_of_time(self.simple, self.budget)
        try:
            while True:
                best = simplest_of_best(self.task, self.entries, self.material.n, self.simple)
                if best.tier != TRAINED and not self._finish(best):
                    continue
                found = self._ensemble(best)
                if found is not None or self._finish(best):
                    return found or best
        except KeyboardInterrupt:  # while the best, or members of an ensemble, are fitted to all rows
            self._note_interrupt()
            there = [e for e in self.entries if e.fitted is not None or not self.owner.refit]
            return simplest_of_best(self.task, there, self.material.n, self.simple)

    def _note_interrupt(self) -> None:
        self.was_interrupted = True
        note_untried(self.entries, "the search was interrupted")
        warn_user("The search was interrupted: the best candidate so far is what was learned.")

    def _first_that_works(self) -> Entry:
        """Fit the simplest candidate to all rows: what is there in any case, in time or not."""
        errors: list[Exception] = []
        left = [e for e in self.entries if not e.has_failed]
        for entry in in_time_first(left, self.budget, partial(foretold, self.material.n, self.budget, self._fit_some)):
            with self.watch(entry.candidate.name):
                try:
                    self._fit_whole(entry, None)
                except Exception as error:  # an estimator may raise anything; the others still count
                    entry.fail(error)
                    errors.append(error)
                    continue
            for other in self.entries:
                other.candidate.tier = max(other.tier, SHALLOW)
            entry.candidate.tier = SIMPLE
            return entry
        raise ValueError(
            "No candidate could be fitted: " + "; ".join(f"{e.candidate.name}: {e.status}" for e in self.entries)
        ) from (errors[0] if errors else None)

    def _fit_some(self, entry: Entry, n_rows: int) -> Any:
        return self._fitted(entry, self.task.sample(n_rows))

    def _compare(self, folds: list) -> None:
        simple = self._score_simple(folds)
        if simple.outputs is None:
            return
        self._halve([e for e in self.entries if e.tier == SHALLOW and not e.has_failed], folds)
        # Each on one fold before any on more: a mean gains more by another member than by knowing better which is best.
        for n_folds, entry in itertools.product((1, len(folds)), [e for e in self.entries if e.tier == TRAINED]):
            is_new = entry.known is None
            if is_good_enough(self.task, best_of(self.entries, self.material.n) or simple):
                entry.status = "not tried: codes are good enough" if is_new else entry.status
            elif len(folds) > self.cv:
                entry.status = "not tried: too few rows"
            elif not entry.has_failed and (is_new or n_folds > 1):
                with self.watch(entry.candidate.name):
                    self._race(entry, folds, n_folds, simple)

    def _score_simple(self, folds: list) -> Entry:
        """Score the simplest candidate; where it cannot be, the next one takes its place, if there is any that can."""
        first = self.simple
        while True:
            with self.watch(self.simple.candidate.name):
                self._evaluate(self.simple, folds, self.material.n)
            if not self.simple.has_failed:
                return self.simple
            try:
                self.simple = self._first_that_works()
            except ValueError:  # none is left
                self.simple = first
                return first

    # Successive halving (Jamieson and Talwalkar 2016): all on few rows, a third of them on three times as many, ...
    def _halve(self, entries: list[Entry], folds: list) -> None:
        n = self.material.n
        for size in rungs(n, len(entries), len(self.material.problem.classes)):
            if size < n:
                on = self.task.folds(self.cv, self.groups, self.task.sample(size))
                if not on:
                    continue
            else:
                on = folds
            for entry in entries:
                with self.watch(entry.candidate.name):
                    self._evaluate(entry, on, size)
            done = [e for e in entries if e.n_rows == size]
            done.sort(key=lambda e: -e.score)  # a stable sort: by promise where scores are equal
            if size == n:
                return
            kept = max(1, -(-len(entries) // FACTOR))
            for i, entry in enumerate(done):
                entry.status = f"scored on {size} rows: no time" if i < kept else f"left out after {size} rows"
            entries = done[:kept]

    def _race(self, entry: Entry, folds: list, n_folds: int, simple: Entry) -> None:
        """Try a training on so many folds, one by one, while it is not behind."""
        best = best_of([e for e in self.entries if e.tier != TRAINED], self.material.n) or simple
        if entry.known is None and not fit_to_time(entry, self.material, len(folds[0][0]), self.budget, self._reserve):
            return
        for i in range(len(folds)):
            seconds = self._seconds(entry, len(folds[i][0]), 0)
            has_time = not i or self.budget.allows(seconds + self._reserve(entry))
            if i >= n_folds or not has_time:
                entry.status = f"scored on {i} of {len(folds)} folds" + ("" if has_time else ": no time")
                return
            self._evaluate(entry, folds[: i + 1], self.material.n)
            if entry.outputs is None or entry.known is None or not entry.known.any():
                return
            if i + 1 < len(folds) and best.outputs is not None and best.known is not None:
                rows = np.flatnonzero(entry.known & best.known)
                lead, error = self.task.lead(entry.outputs, best.outputs, rows)
                if lead < -NOISE * error:
                    entry.status = f"left out after {i + 1} of {len(folds)} folds"
                    return

    def _seconds(self, entry: Entry, n_rows: int, default: float = math.nan) -> float:
        known = entry.costs.of(n_rows)
        if known is None:
            known = entry.candidate.seconds(self.material, n_rows, entry.epochs)
        return default if known is None else known

    def _final(self, entry: Entry) -> float:
        """Return what is expected of the fit to all rows."""
        return 0.0 if entry.fitted is not None or not self.owner.refit else self._seconds(entry, self.material.n, 0.0)

    def _reserve(self, entry: Entry | None = None, final: float | None = None) -> float:
        """Return the seconds to keep for final fits: of the best shallow candidate, or of the trainings of a mean.

        One that has not been scored yet may be among them; what its fit takes is `final`, or what its fits so far tell.
        """
        best = best_of([e for e in self.entries if e.tier != TRAINED], self.material.n)
        known = [e for e in scored(self.entries, self.material.n) if e.tier == TRAINED or e is best]
        finals = {id(e): self._final(e) for e in [*known, *([] if entry is None else [entry])]}
        if entry is not None and final is not None:
            finals[id(entry)] = final
        trainings = [finals[id(e)] for e in self.entries if e.candidate.views and id(e) in finals]
        return max(*finals.values(), sum(sorted(trainings)[-MOST_TRAININGS if self.averages else -1 :]), 0.0)

    def _evaluate(self, entry: Entry, folds: list, size: int) -> None:
        """Add the outputs of the folds that have none yet; in a new rung all of them."""
        n = self.material.n
        if entry.n_rows != size or entry.known is None:
            outputs, known = None, np.zeros(n, dtype=bool)
        else:
            outputs, known = entry.outputs, entry.known.copy()
        if not self._is_affordable(entry, len(folds[0][0])):
            return
        for train, test in folds:
            if known[test].all():
                continue
            if not self.budget.allows(self._seconds(entry, len(train), 0.0) + self._reserve(entry)):
                break
            try:
                with deadline(self.budget.left, _clock.now):
                    found = self._fold(entry, train, test)
            except OutOfTimeError:
                entry.status = "stopped: no time"
                break
            except Exception as error:  # as above
                entry.fail(error)
                return
            if outputs is None:
                outputs = np.full((n, found.shape[1]), np.nan, dtype=found.dtype)
            outputs[test], known[test] = found, True
        if outputs is None:
            return
        rows = np.flatnonzero(known)
        try:
            entry.score = self.task.score(outputs, rows)
        except Exception as error:  # a scorer that does not fit the task
            raise ValueError(f"scoring={self.owner.scoring!r} cannot score the candidates: {error}") from error
        if not math.isfinite(entry.score):
            entry.outputs = None
            entry.fail(ValueError(f"its score is {entry.score}"))
            return
        entry.outputs, entry.known, entry.n_rows = outputs, known, size
        entry.error = self.task.error_of(outputs, rows)
        missing = sum(not known[test].all() for _, test in folds)
        entry.status = f"scored on {len(folds) - missing} of {len(folds)} folds: no time" if missing else "scored"

    def _is_affordable(self, entry: Entry, n_rows: int) -> bool:
        """Whether there is time for a fold; an estimator that nobody knows is timed on a few rows first."""
        is_known = not math.isnan(self._seconds(entry, n_rows))
        is_own = entry.tier == TRAINED or entry.candidate.part is not None
        if not self.budget.is_bounded or is_known or is_own:
            return self.budget.left > 0
        for size in PROBED:
            if 2 * size < n_rows and self.budget.allows(entry.costs.of(size)):
                try_on_few(entry, size, self._fit_some)
        return self.budget.allows(entry.costs.of(n_rows))

    def _fold(self, entry: Entry, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        found, seconds = timed(lambda: self._asked_after_fit(entry, train, test))
        entry.costs.note(len(train), seconds)
        return found

    def _asked_after_fit(self, entry: Entry, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        model = self._fitted(entry, train)
        part = entry.candidate.part
        X = take_rows(self.material.X, test) if part is None else part.codes[test]
        outputs = self.task.outputs(model, X, is_given=entry.candidate.is_given)
        entry.note_labels(self.task, model, X, outputs)
        return outputs

    def _fitted(self, entry: Entry, rows: np.ndarray) -> Any:
        part = entry.candidate.part
        is_all = len(rows) == self.material.n
        X = self.material.X if part is None else part.codes
        return quietly(clone(entry.candidate.estimator), X if is_all else take_rows(X, rows), self.task.target[rows])

    def _fit_whole(self, entry: Entry, seconds: float | None) -> None:
        with deadline(seconds, _clock.now):
            model, taken = timed(lambda: self._fitted(entry, np.arange(self.material.n)))
            entry.costs.note(self.material.n, taken)
            entry.fitted = entry.candidate.whole(self.owner, model, self.material.X)

    def _finish(self, entry: Entry) -> bool:
        """Fit to all rows; returns whether there was time for it."""
        if entry.fitted is not None or not self.owner.refit:
            return True
        is_late = self.was_interrupted and entry.tier == TRAINED
        try:
            in_time = CAUTION * self._final(entry) <= self.budget.left + GRACE
            if not is_late and self.budget.left > 0 and (entry.tier == TRAINED or in_time):
                self._fit_whole(entry, max(self.budget.left, GRACE))
                return True
        except OutOfTimeError:
            pass
        except Exception as error:  # as above
            entry.fail(error)
            entry.outputs = None
            return False
        entry.status, entry.outputs = "scored; no time to fit it to all rows", None
        return False

    def _ensemble(self, best: Entry) -> Entry | None:
        """Return the ensemble that should be taken instead of the best, if there is one, and time for its members."""
        if best not in scored(self.entries, self.material.n) or self.was_interrupted or not self.averages:
            return None
        self.entries = [e for e in self.entries if e.candidate.estimator is not None]  # but those of an earlier call
        tried = ensembles(self.task, self.entries, best, is_quick=not self.material.problem.is_pictures)
        self.entries += [found.entry for found in tried]
        for found in reversed(ever_better(self.task, tried, best)):
            entry, members = found.entry, found.members
            # Trainings end when the time does, and then a mean of fewer members is taken: no caution is needed.
            seconds = sum(self._final(e) * (1 if e.candidate.views else CAUTION) for e, _ in members)
            if seconds <= self.budget.left and all(self._finish(e) for e, _ in members):
                named = [(e.candidate.name.replace("__", "_"), e.fitted) for e, _ in members]
                entry.fitted = voting(named, [weight for _, weight in members], self.task.labels)
                entry.candidate.name = "ensemble of " + ", ".join(name for name, _ in named)
                return entry
            entry.status = "scored; no time to fit it to all rows"
        return None
