"""From evidence to the accuracy that an adaptation is expected to gain, and to the risk that it does harm."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from sktl.safety._evidence import Evidence

# What the evidence weighs, beside the referee's 1. They are round, and were chosen among few on half of what is below;
# LEAST was chosen on all of it.
ALIGNED, NEIGHBOURHOOD = 0.3, 0.5
LEAST = 0.25  # what the referee weighs where domains do not overlap
# Logistic regression of harm on the support, and the gain of one unit of it, each kind of data weighing alike, over 477
# adaptations between domains of digits, objects, pictures, reviews, tables and electricity's prices, half of them with
# classes that are rare in the target. The figures of ``benchmarks/safe_adaptation.py`` are of each kind of data judged
# by a regression over the other kinds, too.
STEEPNESS, OFFSET = 14.3, -0.22
SLOPE, MARGIN_OF_FIT = 1.25, 0.01


def support(evidence: Evidence) -> float:
    """Return in what larger share of the target's rows the evidence is for the adapted classifier; -d to d.

    Neighbours tell which labels belong together, and not which names these have. Where the two classifiers agree
    nowhere, no row ties the names, and neighbours have no say.
    """
    # s = (1/4 + 3/4 sqrt(o)) r + 0.3 a + 0.5 min(d, 2 (1 - d)) n, between -d and d
    d = evidence.disagreement
    found = (LEAST + (1 - LEAST) * np.sqrt(evidence.overlap)) * evidence.referee + ALIGNED * evidence.aligned_referee
    found += NEIGHBOURHOOD * min(d, 2 * (1 - d)) * evidence.neighbourhood
    return float(np.clip(found, -d, d))


def expected_gain(evidence: Evidence) -> float:
    """Return by how much the adapted classifier's accuracy in the target should differ from the baseline's."""
    return float(np.clip(SLOPE * support(evidence), -evidence.disagreement, evidence.disagreement))


def harm_risk(evidence: Evidence, margin: float) -> float:
    """Return the probability that the adapted classifier is more than `margin` below the baseline in the target."""
    if evidence.disagreement <= margin:
        return 0.0
    return float(expit(OFFSET - STEEPNESS * (support(evidence) + margin - MARGIN_OF_FIT)))
