"""How far estimates of the accuracy have been off, where the truth was known."""

from __future__ import annotations

import numpy as np

LEVELS = (0.0, 0.5, 0.75, 0.9, 0.95, 0.975, 1.0)
# Which share of the estimate it was too high by, and which share of what it left to 1 it was too low by, in the shares
# LEVELS of the cases: quantiles over classifiers and shifts of each of six kinds of data ("safe", which is of
# `SafelyAdaptedClassifier`: seven), and of these the largest, as the next kind may be as hard; by
# ``benchmarks/_safe_intervals.py``.
BELOW: dict[str, tuple[float, ...]] = {
    "agreement": (0.0, 0.54, 0.6, 0.8, 0.82, 0.82, 1.0),
    "discrepancy": (0.0, 0.5, 0.55, 0.66, 0.87, 0.87, 1.0),
    "atc": (0.0, 0.43, 0.54, 0.88, 0.99, 0.99, 1.0),
    "difference": (0.0, 0.56, 0.66, 0.88, 0.99, 0.99, 1.0),
    "average": (0.0, 0.22, 0.5, 0.88, 0.99, 0.99, 1.0),
    "safe": (0.0, 0.15, 0.41, 0.52, 0.97, 1.0, 1.0),
}
ABOVE: dict[str, tuple[float, ...]] = {
    "agreement": (0.0, 0.53, 0.74, 1.0, 1.0, 1.0, 1.0),
    "discrepancy": (0.0, 0.88, 1.0, 1.0, 1.0, 1.0, 1.0),
    "atc": (0.0, 0.12, 0.43, 0.67, 0.69, 0.69, 1.0),
    "difference": (0.0, 0.14, 0.51, 0.79, 0.81, 0.81, 1.0),
    "average": (0.0, 0.72, 0.91, 1.0, 1.0, 1.0, 1.0),
    "safe": (0.0, 0.31, 0.62, 1.0, 1.0, 1.0, 1.0),
}


def widened(method: str, accuracy: float, low: float, high: float, confidence: float) -> tuple[float, float]:
    """Return an interval that allows for chance and for the method's own error.

    Parameters
    ----------
    method : str
        How the accuracy was estimated, or "safe".
    accuracy : float
        The estimate.
    low, high : float
        Its interval when rows are drawn anew.
    confidence : float
        In what share of the cases the truth should lie inside.
    """
    level = (1 + confidence) / 2
    below = float(np.interp(level, LEVELS, BELOW[method])) * accuracy
    above = float(np.interp(level, LEVELS, ABOVE[method])) * (1 - accuracy)
    ends = accuracy - np.hypot(below, max(0.0, accuracy - low)), accuracy + np.hypot(above, max(0.0, high - accuracy))
    return float(np.clip(ends[0], 0, 1)), float(np.clip(ends[1], 0, 1))
