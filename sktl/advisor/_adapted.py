"""Candidates where unlabelled rows differ from labelled ones: labels are carried over, and judged without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl._deadline import OutOfTimeError, deadline
from sktl._inputs import ROWS
from sktl._warn_once import warn_user
from sktl.adaptation import DomainAdaptedClassifier
from sktl.advisor import _clock
from sktl.advisor._candidates import SHALLOW, SIMPLE, TRAINED, Candidate
from sktl.advisor._clock import TimeBudget, timed
from sktl.advisor._codes import LayerCodes
from sktl.advisor._entry import Entry, note_untried, quietly
from sktl.advisor._material import Material
from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly
from sktl.metrics import get_domain_scorer
from sktl.metrics.distances import domain_move


def adapting(owner: Any, material: Material, simple: Candidate) -> list[Candidate]:
    """Return the simple candidate, which sees labelled rows alone, and what learns from all rows."""
    mark = {"unlabelled": owner.unlabelled}
    part, head = simple.part, LabelledOnly(simple.estimator, **mark)
    first = [] if part is not None else [StandardScaler()]
    if part is not None:
        part = next(one for one in material.every if (one.backbone, one.layer) == (part.backbone, part.layer))
    n_columns = material.problem.X.shape[1] if part is None else part.codes.shape[1]
    standardised = make_pipeline(DomainStandardizer(**mark), head)
    found = [Candidate(simple.name, "without adaptation", SIMPLE, head, part, takes_marks=True)]
    has_moved = _has_moved(material, part)
    if has_moved:
        name = "statistics of each domain aligned"
        found.append(Candidate(name, "adapt", SHALLOW, standardised, part, takes_marks=True))
    if has_moved and min(material.n, material.problem.n_unlabelled) > n_columns:
        coral = make_pipeline(*first, DomainStandardizer(**mark), CORALAligner(**mark), head)
        found.append(Candidate("statistics and CORAL", "adapt", SHALLOW, coral, part, takes_marks=True))
    if material.problem.kind == ROWS:
        network = DomainAdaptedClassifier(**mark, random_state=owner.random_state)
        found.append(Candidate("DomainAdaptedClassifier", "adapt", TRAINED, network, takes_marks=True))
    return found


def _has_moved(material: Material, part: LayerCodes | None) -> bool:
    """Return whether the unlabelled rows have moved; if not, their own statistics would send them to wrong classes."""
    problem = material.problem
    if part is not None:
        rows = part.codes
    elif issparse(problem.X):
        return True
    else:
        rows = np.asarray(problem.X)[np.r_[problem.labelled, problem.unlabelled]]
    n = len(problem.labelled)
    return domain_move(rows[:n], problem.number, rows[n:]).has_moved


def best_adapted(
    owner: Any, material: Material, candidates: list[Candidate], y: np.ndarray, budget: TimeBudget, watch: Any
) -> tuple[Entry, list[Entry]]:
    """Fit all candidates while there is time, and return the best by a score that needs no labels of the target.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels and marks, labelled rows first.

    Returns
    -------
    Entry
        The best, fitted.
    list of Entry
        All.
    """
    # By the target alone: an aligner takes all rows that it predicts for rows of the target.
    scorer = get_domain_scorer("information_maximization", unlabelled=owner.unlabelled)
    problem = material.problem
    order = np.r_[problem.labelled, problem.unlabelled]
    entries = [Entry(candidate) for candidate in candidates]
    for entry in entries:
        part = entry.candidate.part
        X = problem.X[order] if part is None else part.codes
        is_first = entry is entries[0]
        if not is_first and budget.left <= 0:
            continue
        with watch(entry.candidate.name):
            try:
                with deadline(None if is_first else budget.left, _clock.now):
                    model, seconds = timed(lambda: quietly(clone(entry.candidate.estimator), X, y))  # noqa: B023
                    entry.costs.note(len(y), seconds)
                    entry.score = float(scorer(model, X, y))
                entry.fitted = entry.candidate.whole(owner, model, problem.X)
                entry.n_rows, entry.status = len(y), "scored"
            except OutOfTimeError:
                entry.status = "stopped: no time"
            except KeyboardInterrupt:
                if is_first:
                    raise
                note_untried(entries, "the search was interrupted")
                warn_user("The search was interrupted: the best candidate so far is what was learned.")
                break
            except Exception as error:  # an estimator may raise anything; the others still count
                entry.status = f"failed: {type(error).__name__}: {error}"
                warn_user(f"Candidate {entry.candidate.name!r} is left out, for it {entry.status}.")
    fitted = [entry for entry in entries if entry.fitted is not None]
    if not fitted:
        raise ValueError(
            "No candidate could be fitted: " + "; ".join(f"{e.candidate.name}: {e.status}" for e in entries)
        )
    return max(fitted, key=lambda e: e.score if e.score == e.score else -np.inf), entries
