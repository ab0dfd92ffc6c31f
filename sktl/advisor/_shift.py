"""Whether domains differ, by the codes of the layer that was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktl.advisor._codes import Extraction, LayerCodes
from sktl.advisor._problem import Problem
from sktl.metrics.distances import mmd, proxy_a_distance

COMPARED = 500  # rows of a domain at most: the test's memory grows with their square
SIGNIFICANT = 0.05
LEAST_ROWS = 5


@dataclass(frozen=True)
class Shift:
    """How far two sets of rows are apart.

    Attributes
    ----------
    source, target : str
        What is compared.
    proxy_a : float
        Proxy A-distance: 0 alike, 2 told apart without error.
    pvalue : float
        Of a permutation test of the maximum mean discrepancy: how often chance gives as much.
    """

    source: str
    target: str
    proxy_a: float
    pvalue: float

    @property
    def is_shift(self) -> bool:
        """Whether it is more than chance."""
        return self.pvalue < SIGNIFICANT


def shifts(problem: Problem, found: Extraction, part: LayerCodes, seed: int) -> list[Shift]:
    """Compare labelled with unlabelled rows; where all have labels, each domain with the rest."""
    rng = np.random.default_rng(seed)
    n = len(problem.labelled)
    if len(problem.unlabelled) >= LEAST_ROWS and n >= LEAST_ROWS:
        return [_compared("labelled rows", "unlabelled rows", part.codes[:n], part.codes[n:], rng, seed)]
    if problem.domain is None or len(problem.domain_names) < 2 or len(problem.unlabelled):
        return []
    of_row = problem.domain[found.rows]
    compared = []
    for i, name in enumerate(problem.domain_names):
        own = of_row == i
        if own.sum() >= LEAST_ROWS and (~own).sum() >= LEAST_ROWS:
            compared.append(_compared("the others", str(name), part.codes[~own], part.codes[own], rng, seed))
    return compared


def _compared(
    source: str, target: str, codes: np.ndarray, others: np.ndarray, rng: np.random.Generator, seed: int
) -> Shift:
    one, other = (part[rng.permutation(len(part))[:COMPARED]] for part in (codes, others))
    return Shift(
        source, target, proxy_a_distance(one, other, random_state=seed), mmd(one, other, random_state=seed).pvalue
    )
