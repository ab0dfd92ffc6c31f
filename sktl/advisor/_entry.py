"""A candidate and what has become of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sktl._warn_once import warn_user
from sktl.advisor._candidates import EPOCHS, SHALLOW, TRAINED, Candidate, View
from sktl.advisor._clock import CAUTION, Costs, TimeBudget, timed
from sktl.advisor._material import Material
from sktl.advisor._scoring import GOOD_ENOUGH
from sktl.advisor._tasks import Task

FIRST_RUNG = 300  # rows on which candidates are compared first, at least
GRACE = 1.5  # seconds that the final fit may end late
NOISE, SURE = 1.0, 2.0  # standard errors that a lead has to be above; from which on it may cost log-loss
FEWEST_PROBED, PROBED_FACTOR, PROBED_SHARE = 10, 4, 0.02  # rows; until trials have taken this share of the time
LEAST_A_CLASS = 9  # rows of the first rung: six to learn from, in three folds
FACTOR = 3  # as many more rows, and as many fewer candidates, at each rung

NOT_TRIED = "not tried: no time"


@dataclass
class Entry:
    """A candidate, and what has become of it.

    Attributes
    ----------
    candidate : Candidate
    outputs : ndarray of shape (n, n_outputs) or None
        Out of fold, in the last rung.
    known : ndarray of bool, shape (n,)
        Which rows have them.
    n_rows : int
        Of the last rung.
    score, error : float
        Of these rows.
    costs : Costs
        Of its fits.
    status : str
        In words.
    fitted : estimator or None
        To all rows.
    epochs : int
        Of a training.
    is_of_labels : bool
        Whether outputs are its labels, which its probabilities do not tell, if it has any: it cannot be averaged.
    """

    candidate: Candidate
    outputs: np.ndarray | None = None
    known: np.ndarray | None = None
    n_rows: int = 0
    score: float = math.nan
    error: float = math.nan
    costs: Costs = field(default_factory=Costs)
    status: str = NOT_TRIED
    fitted: Any = None
    epochs: int = EPOCHS[0]
    is_of_labels: bool = False

    @property
    def n_scored(self) -> int:
        """Rows that the score is of."""
        return self.n_rows if self.known is None or self.outputs is None else int(self.known.sum())

    @property
    def has_failed(self) -> bool:
        """Whether it raised something, or gave no score."""
        return self.status.startswith("failed")

    def fail(self, error: Exception) -> None:
        """Note what was raised, and say it."""
        self.status = f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        warn_user(f"Candidate {self.candidate.name!r} is left out, for it {self.status}.")

    @property
    def tier(self) -> int:
        """How dear it is."""
        return self.candidate.tier

    @property
    def has_probabilities(self) -> bool:
        """Whether its outputs are probabilities; an ensemble's are a mean of them."""
        return self.candidate.estimator is None or hasattr(self.candidate.estimator, "predict_proba")

    def note_labels(self, task: Task, model: Any, X: Any, outputs: np.ndarray) -> None:
        """Note whether outputs are labels alone: there are no probabilities, or a threshold of its own decides."""
        has_proba = hasattr(model, "predict_proba")
        if task.labels is None or self.is_of_labels or (has_proba and not self.candidate.is_given):
            return
        is_label = bool(((outputs == 0) | (outputs == 1)).all())
        if is_label and has_proba:  # ones and zeros may be its probabilities, a tree's say
            proba = np.asarray(model.predict_proba(X))
            self.is_of_labels = not bool(((proba == 0) | (proba == 1)).all())
        else:
            self.is_of_labels = is_label


def is_ahead(task: Task, entry: Entry, other: Entry) -> bool:
    """Whether one is ahead of another by more than noise, and the lead is not bought with log-loss."""
    if entry.outputs is None or other.outputs is None or entry.known is None or other.known is None:
        return False
    rows = np.flatnonzero(entry.known & other.known)
    lead, error = task.lead(entry.outputs, other.outputs, rows)
    is_clear, is_sure = 0 < lead > NOISE * error, lead > SURE * error or not entry.has_probabilities
    return is_clear and (is_sure or task.keeps_log_loss(entry.outputs, other.outputs, rows))


def is_good_enough(task: Task, best: Entry) -> bool:
    """Whether training could win next to nothing."""
    return task.is_default and task.default == "accuracy" and best.score >= GOOD_ENOUGH


def warn_of_time(entry: Entry, budget: TimeBudget) -> None:
    """Say that there was time for one candidate only."""
    warn_user(
        f"time_budget={budget.seconds:g} s is too little for more than one candidate: "
        f"{entry.candidate.name!r} was fitted, without a comparison, in {budget.passed:.1f} s."
    )


def best_of(entries: Sequence[Entry], n_rows: int) -> Entry | None:
    """Return the best of those scored in the rung of so many rows."""
    return max(scored(entries, n_rows), key=lambda e: e.score, default=None)


def scored(entries: Sequence[Entry], n_rows: int) -> list[Entry]:
    """Return those scored in the rung of so many rows."""
    return [e for e in entries if e.outputs is not None and e.known is not None and e.n_rows == n_rows]


# The one-standard-error rule (Breiman et al. 1984): the simplest one that the best is not ahead of for sure.
def simplest_of_best(task: Task, entries: Sequence[Entry], n_rows: int, simple: Entry) -> Entry:
    """Return the best of the cheapest tier that no dearer one is ahead of by more than noise."""
    chosen = simple
    for tier in (SHALLOW, TRAINED):
        single = [e for e in entries if e.tier == tier and e.candidate.estimator is not None]  # no ensemble
        for entry in sorted(scored(single, n_rows), key=lambda e: -e.score):
            if is_ahead(task, entry, chosen):
                chosen = entry
    return chosen


def note_untried(entries: Sequence[Entry], why: str) -> None:
    """Say why candidates were not tried, where it was not for want of time."""
    for entry in entries:
        entry.status = f"not tried: {why}" if entry.status == NOT_TRIED else entry.status


def quietly(model: Any, X: Any, y: Any) -> Any:
    """Fit a model; that a solver has not converged shows in the score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def in_time_first(entries: list[Entry], budget: TimeBudget, foretold: Callable[[Entry], float]) -> list[Entry]:
    """Return entries, first of all the simplest whose fit to all rows is expected to end in time, or else the cheapest.

    What the user lists first stays first, and no network is trained first.

    Parameters
    ----------
    foretold : callable(entry) -> float
        The seconds of that fit.
    """
    late: list[tuple[float, Entry]] = []
    for entry in entries if budget.is_bounded else []:
        if entry.tier == TRAINED or entry.candidate.is_given:
            break
        seconds = foretold(entry)
        if CAUTION * seconds <= max(budget.left, GRACE):
            return [entry, *(e for e in entries if e is not entry)]
        late.append((seconds, entry))
    if not late:
        return entries
    first = min(late, key=lambda pair: pair[0])[1]
    return [first, *(e for e in entries if e is not first)]


def foretold(n_rows: int, budget: TimeBudget, fit_some: Callable[[Entry, int], Any], entry: Entry) -> float:
    """Return the seconds of a fit to all rows, by fits of ever more until they tell enough; 0 if none can be made."""
    size, spent = FEWEST_PROBED, 0.0
    while 2 * size < n_rows and spent < PROBED_SHARE * budget.seconds:
        spent += try_on_few(entry, size, fit_some)
        size *= PROBED_FACTOR
    return entry.costs.of(n_rows) or 0.0


def try_on_few(entry: Entry, n_rows: int, fit_some: Callable[[Entry, int], Any]) -> float:
    """Note, and return, the seconds of a fit of some rows."""
    try:
        seconds = timed(lambda: fit_some(entry, n_rows))[1]
    except Exception:  # few rows may lack what it needs
        return 0.0
    entry.costs.note(n_rows, seconds)
    return seconds


def fit_to_time(
    entry: Entry, material: Material, n_rows: int, budget: TimeBudget,
    reserve: Callable[[Entry, float], float] = lambda entry, final: final,
) -> bool:  # fmt: skip
    """Take pictures as large, and as many epochs, as there is time for; whether there is any.

    A fold of so many rows has to end in time, and then the final fit, and what else is kept time for. A candidate whose
    time nobody knows is left as it is.

    Parameters
    ----------
    reserve : callable(entry, final) -> float
        The seconds to keep, if the final fit takes `final`.
    """
    candidate = entry.candidate
    if not candidate.views:
        return budget.left > 0
    for view, epochs in ways(candidate.views):
        once, whole = (view.seconds(material, n, epochs) for n in (n_rows, material.n))
        if once is None or whole is None or budget.allows(once + reserve(entry, whole)):
            candidate.take(view, epochs)
            entry.epochs = epochs
            return True
    return False


def ways(views: Sequence[View]) -> list[tuple[View, int]]:
    """Return sizes of pictures and epochs, the dearest first; the fewest epochs only of the smallest pictures."""
    return [(view, epochs) for view in views[:-1] for epochs in EPOCHS[:-1]] + [(views[-1], one) for one in EPOCHS]


def rungs(n_rows: int, n_candidates: int, n_classes: int = 0) -> list[int]:
    """Return on how many rows candidates are compared, one after another; the last one is all."""
    found, least = [n_rows], max(FIRST_RUNG, LEAST_A_CLASS * n_classes)
    while found[0] // FACTOR >= least and n_candidates > FACTOR ** len(found):
        found.insert(0, found[0] // FACTOR)
    return found
