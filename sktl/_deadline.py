"""A time by which the computations of a thread have to end: long ones ask, step by step, whether it has come."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

LONGEST_STEP = 30.0  # seconds between two steps beyond which something else went on, such as loading a network


class OutOfTimeError(BaseException):
    """The deadline has come, or would come within the next step.

    As KeyboardInterrupt, it is no error of what is running, and nothing that handles errors should keep it.
    """


class _Deadline:
    """When to end, and how long the longest step took so far."""

    def __init__(self, seconds: float, clock: Callable[[], float]):
        self.clock = clock
        self.last = clock()
        self.end = self.last + seconds
        self.step = 0.0

    def check(self) -> None:
        now = self.clock()
        taken, self.last = now - self.last, now
        if taken < LONGEST_STEP:
            self.step = max(0.5 * self.step, taken)
        if now + self.step > self.end:
            raise OutOfTimeError(f"{now - self.end:.1f} s after the deadline")


_deadline: ContextVar[_Deadline | None] = ContextVar("sktl_deadline", default=None)


@contextlib.contextmanager
def deadline(seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Have the library's long computations in the block, and in this thread, end by OutOfTimeError after `seconds`.

    Parameters
    ----------
    seconds : float or None
        From now; None, or infinity, sets no end, not even that of a block around.
    clock : callable() -> float, default=time.monotonic
        Seconds.
    """
    ends = seconds is not None and math.isfinite(seconds)
    token = _deadline.set(_Deadline(float(seconds), clock) if ends and seconds is not None else None)
    try:
        yield
    finally:
        _deadline.reset(token)


def check_deadline() -> None:
    """Raise OutOfTimeError if the next step, as long as the last ones, would end after the deadline."""
    current = _deadline.get()
    if current is not None:
        current.check()
