"""What layers gain elsewhere, as a prior to what leave-one-out measures here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sktl.advisor._codes import ALL, PENULTIMATE
from sktl.advisor._scoring import ScoredLayer

# Of a logistic regression on a layer, against that on the last one: mean and spread over data sets of
# benchmarks/advisor.py, in accuracy; inner layers of the embedded network by their depth.
ALL_LAYERS = (0.035, 0.041)
DEPTHS = (0.06, 0.18, 0.31, 0.67, 1.0)
GAINS = (-0.347, -0.214, -0.146, 0.014, 0.0)
SPREADS = (0.165, 0.118, 0.109, 0.090, 0.030)
BOUND = 0.02  # of an accuracy from 0 and from 1, so that few rows that are all right are not taken for certain


def most_promising(layers: Sequence[ScoredLayer], score: str) -> ScoredLayer | None:
    """Return the layer of which prior and leave-one-out together expect most; None without a last layer to compare.

    The posterior mean of two normal distributions, of the gain on the last layer of the same network: the prior
    N(m, s^2) above, and the measured difference d with the variance e^2 = p (1 - p) / n of a share p of n rows.
    """
    last = {one.part.backbone: one for one in layers if one.part.layer == PENULTIMATE}
    if not last or any(score not in one.right for one in layers):
        return None
    expected = []
    for one in layers:
        usual = last.get(one.part.backbone)
        if usual is None:  # of a transformer, whose codes are one layer
            expected.append(one.scores[score])
            continue
        gain, difference = 0.0, one.scores[score] - usual.scores[score]
        if one is not usual:
            mean, spread = _prior(one)
            share = min(max(one.scores[score], BOUND), 1 - BOUND)
            error = math.sqrt(share * (1 - share) / len(one.right[score]))
            # (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2)
            gain = (mean / spread**2 + difference / error**2) / (1 / spread**2 + 1 / error**2)
        expected.append(min(1.0, usual.scores[score] + gain))
    best = max(expected)
    level = [one for one, value in zip(layers, expected) if value >= best - 1e-12]
    return next((one for one in level if one.part.layer == PENULTIMATE), level[0])  # the simplest where all are right


def _prior(one: ScoredLayer) -> tuple[float, float]:
    if one.part.layer == ALL:
        return ALL_LAYERS
    return float(np.interp(one.part.depth, DEPTHS, GAINS)), float(np.interp(one.part.depth, DEPTHS, SPREADS))
