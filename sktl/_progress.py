"""A line that says how far a long computation is, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

QUIET = 5.0  # seconds in which nothing is printed
SHOWN_EVERY, LOGGED_EVERY = 0.5, 30.0  # seconds between two states, on a terminal and in a log


class ProgressLine:
    """Prints one line with the time left: rewritten in place on a terminal, a new one now and then in a log.

    What takes less than 5 seconds prints nothing.

    Parameters
    ----------
    what : str
        What is being done, the estimator's name say.
    total : int
        Steps in all.
    unit : str, default="steps"
        What steps are called.
    stream : text stream, default=None
        Where to; None is the standard output as it is when the line is printed.
    clock : callable() -> float, default=time.monotonic
        Seconds.
    """

    def __init__(
        self, what: str, total: int, unit: str = "steps", *, stream: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self.what = what
        self.total = max(1, int(total))
        self.unit = unit
        self.stream = stream
        self.clock = clock
        self.done = 0
        self._start = clock()
        self._next = self._start + QUIET
        self._width = 0  # of what stands on the terminal's line

    def __call__(self, done: int, note: str = "") -> None:
        """Take note that so many of the steps are done; `note` is shown behind."""
        self.done = done
        now = self.clock()
        if now < self._next or not done:
            return
        stream = sys.stdout if self.stream is None else self.stream
        is_terminal = bool(getattr(stream, "isatty", lambda: False)())
        self._next = now + (SHOWN_EVERY if is_terminal else LOGGED_EVERY)
        self._write(stream, self._text(now, note), is_terminal)

    def close(self, note: str = "") -> None:
        """Print how long it took, if anything was printed before."""
        if not self._width:
            return
        self._next = self.clock()
        stream = sys.stdout if self.stream is None else self.stream
        is_terminal = bool(getattr(stream, "isatty", lambda: False)())
        took = f"{self.what}: {self.done} of {self.total} {self.unit} in {duration(self._next - self._start)}"
        self._write(stream, took + (f", {note}" if note else ""), is_terminal)
        if is_terminal:
            stream.write("\n")
        self._width = 0

    def _text(self, now: float, note: str) -> str:
        passed = now - self._start
        left = passed / self.done * max(0, self.total - self.done)
        text = f"{self.what}: {self.done} of {self.total} {self.unit}, {duration(left)} left"
        return f"{text}, {note}" if note else text

    def _write(self, stream: Any, text: str, is_terminal: bool) -> None:
        stream.write(f"\r{text.ljust(self._width)}" if is_terminal else f"{text}\n")
        stream.flush()
        self._width = len(text)


def duration(seconds: float) -> str:
    """Return a time in words, in its two largest units."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"
