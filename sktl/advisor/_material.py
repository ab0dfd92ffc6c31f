"""What a search works on: the labelled rows, their codes in every layer, and what the advisor thinks of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sktl._array_api import column_or_1d, n_rows, take_rows
from sktl._columns import target_values
from sktl._validation import shorten
from sktl.advisor._clock import TimeBudget
from sktl.advisor._codes import ALL, AS_THEY_ARE, PENULTIMATE, PIXELS, Extraction, LayerCodes, extract, transformer_of
from sktl.advisor._decision import Decision, decide
from sktl.advisor._problem import TEXT, Problem, stratified
from sktl.advisor._scoring import score_layers
from sktl.advisor._two_layers import in_one_pass, picked
from sktl.advisor._voting import voting
from sktl.exceptions import BadImageError
from sktl.features import make_codes_classifier

LOOKED_AT = 600  # rows by which layers are ranked before anything is fitted
RANKED_BY = "linear"
MOST_CLASSES_SOLVED = 500  # classes beyond which no linear classifier is solved


@dataclass
class Material:
    """Rows, and what is known of them.

    Attributes
    ----------
    problem : Problem
        The rows; `labelled` are all that have a label.
    X
        The labelled rows, as they came.
    target : ndarray
        Their labels or values.
    layers : list of LayerCodes
        Of the labelled rows, the most promising first; those of feature rows and pixels are left out.
    seconds_a_picture : float or None
        One pass of the network.
    decision : Decision or None
        The advisor's; None for values.
    failed : dict of str to str
        Backbones that were left out.
    """

    problem: Problem
    X: Any
    target: np.ndarray
    layers: list[LayerCodes] = field(default_factory=list)
    every: list[LayerCodes] = field(default_factory=list)
    seconds_a_picture: float | None = None
    decision: Decision | None = None
    failed: dict[str, str] = field(default_factory=dict)

    def advised(self) -> tuple[LayerCodes | None, LayerCodes | None]:
        """Return the layer that is advised, and the one whose classifier is asked beside it, if any."""
        if self.decision is None:
            return None, None
        known = {(part.backbone, part.layer): part for part in self.layers}
        chosen, beside = (
            None if one is None else known.get((one.part.backbone, one.part.layer))
            for one in (self.decision.chosen, self.decision.beside)
        )
        return chosen, beside

    @property
    def n(self) -> int:
        """Labelled rows."""
        return len(self.target)

    @property
    def side(self) -> int | None:
        """Of the first picture, in pixels, where it is an array."""
        shape: tuple[int, ...] = (
            np.shape(self.X[0]) if self.problem.is_pictures and not isinstance(self.X[0], (str, bytes)) else ()
        )
        if len(shape) == 1:  # a row of pixels
            return round(float(np.sqrt(shape[0] / (3 if shape[0] % 3 == 0 and np.sqrt(shape[0]) % 1 else 1))))
        return (
            int(np.median(shape)) if len(shape) > 1 and all(isinstance(s, (int, np.integer)) for s in shape) else None
        )


def values_problem(owner: Any, X: Any, kind: str, y: Any) -> tuple[Problem, np.ndarray]:
    """Check values of rows that were read; returns them beside the rows."""
    n = n_rows(X)
    values = target_values(y, n, owner)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {values.shape}: {type(owner).__name__} learns one value a "
            "row. Fit one for each column, by sklearn.multioutput.MultiOutputRegressor."
        )
    values = column_or_1d(values, warn=True)
    if n < 2:
        raise ValueError(f"Found array with {n} sample(s) while a minimum of 2 is required by {type(owner).__name__}.")
    none, every = np.empty(0, dtype=int), np.arange(n)
    return Problem(kind, X, none, np.array([n]), every, none, np.zeros(n, dtype=int), 0, [], None), values


def material(
    owner: Any, problem: Problem, target: np.ndarray, budget: TimeBudget, *, wants_codes: bool
) -> Material:  # fmt: skip
    """Run the networks over the rows once; rank their layers, and ask the advisor's rules, if there is time left.

    Raises
    ------
    BadImageError
        If pictures cannot be read: all of them are named.
    """
    X = take_rows(problem.X, problem.labelled) if problem.n_unlabelled else problem.X
    given = Material(problem, X, target)
    if not wants_codes or (problem.kind == TEXT and isinstance(owner.backbones, str)):  # tf-idf is each candidate's own
        return given
    found = extract(owner, problem)
    if found.unreadable:
        raise BadImageError(
            f"{len(found.unreadable)} of {n_rows(problem.X)} pictures cannot be read: "
            f"{shorten(f'[{row}] {why}' for row, why in sorted(found.unreadable.items()))}. Repair them or take them "
            "out; the attribute 'failures' of this error holds them all by index.",
            dict(sorted(found.unreadable.items())),
        )
    given.failed = found.failed
    given.seconds_a_picture = min(found.seconds.values(), default=None)
    layers = [part for part in found.layers if part.layer not in (AS_THEY_ARE, PIXELS)]
    if len(problem.classes) and (budget.left > 0 or problem.n_unlabelled):
        small, few = _sampled(found, problem, owner.random_state)
        scored = score_layers(small.layers, few.number, ("knn", RANKED_BY), None, owner.random_state)
        given.decision = decide(owner, few, small, scored, RANKED_BY)
        merit = {(one.part.backbone, one.part.layer): one.scores[RANKED_BY] for one in scored}
        layers.sort(key=lambda part: merit[part.backbone, part.layer], reverse=True)
    given.layers, given.every = [replace(part, codes=part.codes[: given.n]) for part in layers], layers
    return given


def _sampled(found: Extraction, problem: Problem, seed: int) -> tuple[Extraction, Problem]:
    """Return some of the rows, labelled ones first."""
    rng = np.random.default_rng(seed)
    n, classes = len(problem.labelled), len(problem.sizes)
    kept = stratified(problem.number, np.bincount(problem.number, minlength=classes), LOOKED_AT, rng)
    others = np.sort(rng.permutation(len(problem.unlabelled))[:LOOKED_AT])
    if len(kept) == n and len(others) == len(problem.unlabelled):
        return found, problem
    rows = np.r_[kept, n + others]
    few = replace(
        problem, labelled=problem.labelled[kept], number=problem.number[kept], unlabelled=problem.unlabelled[others]
    )
    proba = {name: values[kept] for name, values in found.source_proba.items()}
    layers = [replace(part, codes=part.codes[rows]) for part in found.layers]
    return replace(found, layers=layers, rows=found.rows[rows], source_proba=proba), few


def assembled(owner: Any, part: LayerCodes, head: Any, X: Any) -> Any:
    """Return the pipeline of pictures whose last step has been fitted on codes; none is computed anew.

    Of two layers it ends in a vote.
    """
    if part.parts:
        layers, columns = in_one_pass(part.parts)
        transformer = transformer_of(owner, part.item, layers).fit(X)
        blank = np.zeros((1, sum(own.stop - own.start for own in transformer.layer_slices_.values())))
        each = [make_pipeline(picked(own).fit(blank), Normalizer().fit(one.codes[:1]), fitted[-1])
                for own, one, fitted in zip(columns, part.parts, head.estimators_)]  # fmt: skip
        names = [name for name, _ in head.estimators]
        return make_pipeline(transformer, voting(list(zip(names, each)), None, head.classes_))
    layers = part.layer if part.layer in (PENULTIMATE, ALL) else [part.layer]
    transformer = transformer_of(owner, part.item, layers).fit(X)
    unit_length = Normalizer().fit(part.codes[:1])
    if part.layer == PENULTIMATE:
        pipeline = make_codes_classifier(transformer)
        pipeline.steps = [("codes", transformer), ("unit_length", unit_length), (pipeline.steps[-1][0], head)]
        return pipeline
    return make_pipeline(transformer, unit_length, head)


def scaled(model: Any) -> Any:
    """Return a pipeline that brings columns to one scale first."""
    return make_pipeline(StandardScaler(), model)
