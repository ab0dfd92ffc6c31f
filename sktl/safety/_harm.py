"""From evidence to the accuracy that an adaptation is expected to gain, and to the risk that it does harm."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from sktl.safety._evidence import Evidence

# Ridge regression of the net share won, weighted by the disagreement, over 140 adaptations between pairs of domains
# (digits, Office-Caltech, PACS), 61 of them with classes that are rare in the target. The figures of
# ``benchmarks/safe_adaptation.py`` are of weights fitted without the pair at hand.
INTERCEPT, NEIGHBOURHOOD, ROUND_TRIP, SHARES, SPREAD = -0.033, 1.684, 0.410, -0.373, 0.188


def won(evidence: Evidence) -> float:
    """Return the share of the disputed rows that adaptation wins, less the share that it loses; -1 to 1."""
    # w = b + b_n neighbourhood + b_r round_trip + b_s shares
    share = INTERCEPT + NEIGHBOURHOOD * evidence.neighbourhood
    share += ROUND_TRIP * evidence.round_trip + SHARES * evidence.shares
    return float(np.clip(share, -1, 1))


def expected_gain(evidence: Evidence) -> float:
    """Return by how much the adapted classifier's accuracy in the target should differ from the baseline's."""
    return evidence.disagreement * won(evidence)


def spread_of_gain(evidence: Evidence, n_target: int) -> float:
    """Return the standard deviation of the gain about the expected one: the evidence's error, and that of the draw."""
    return float(np.hypot(SPREAD * evidence.disagreement, np.sqrt(evidence.disagreement / max(1, n_target))))


def harm_risk(evidence: Evidence, n_target: int, margin: float) -> float:
    """Return the probability that the adapted classifier is more than `margin` below the baseline in the target."""
    if evidence.disagreement <= margin:
        return 0.0
    return float(norm.cdf((-margin - expected_gain(evidence)) / spread_of_gain(evidence, n_target)))
