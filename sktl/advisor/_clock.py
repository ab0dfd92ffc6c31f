"""The time that a search may take, and what fits into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

CAUTION = 1.25  # a machine that does other things too is slower now and then
GROWTH = 1.3  # seconds of a fit grow with this power of the rows where nothing else is known
LEAST_GROWTH, MOST_GROWTH = 0.7, 2.0  # and within these where two fits tell

now: Callable[[], float] = time.monotonic  # tests put another clock here


class TimeBudget:
    """Seconds that pass from now on.

    Parameters
    ----------
    seconds : float or None
        In all; None is as long as it takes.
    """

    def __init__(self, seconds: float | None):
        self.seconds = math.inf if seconds is None else float(seconds)
        self._start = now()

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return now() - self._start

    @property
    def left(self) -> float:
        """Seconds until the end; negative after it."""
        return self.seconds - self.passed

    @property
    def is_bounded(self) -> bool:
        """Whether there is an end."""
        return math.isfinite(self.seconds)

    def allows(self, seconds: float | None) -> bool:
        """Whether so many seconds, with caution, end in time; what nobody knows is tried while there is time."""
        return self.left > 0 and (seconds is None or seconds * CAUTION <= self.left)


class Costs:
    """What fits have taken, by rows; from this, what others will take."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, float]] = []

    def note(self, n_rows: int, seconds: float) -> None:
        """Take note of one fit."""
        self._taken.append((max(1, n_rows), seconds))

    @property
    def last(self) -> float | None:
        """Seconds of the last fit."""
        return self._taken[-1][1] if self._taken else None

    def of(self, n_rows: int) -> float | None:
        """Return the seconds of a fit of so many rows, or None where nothing is known.

        From the fit of the most rows: in proportion to fewer, and to more by the power that the two fits of the most
        rows show, within bounds.
        """
        if not self._taken:
            return None
        known = dict(self._taken)  # the last fit of each size
        largest = max(known)
        share = n_rows / largest
        if share <= 1:
            return known[largest] * share
        power, before = GROWTH, max((size for size in known if 2 * size <= largest), default=0)
        if before and known[before] > 0 and known[largest] > 0:
            power = math.log(known[largest] / known[before]) / math.log(largest / before)
        return known[largest] * share ** min(max(power, LEAST_GROWTH), MOST_GROWTH)


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and its seconds."""
    start = now()
    result = function()
    return result, now() - start
