"""A line that says how far a long computation is, and how long it will still take."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

QUIET = 5.0  # seconds in which nothing is printed
SHOWN_EVERY, LOGGED_EVERY = 0.5, 30.0  # seconds between two states, on a terminal and in a log
MOST_TASKS = 100  # into which a computation is divided for callbacks


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


def n_tasks(total: int) -> int:
    """Return into how many tasks so many steps are divided."""
    return min(int(total), MOST_TASKS)


class CountedTasks:
    """Reports a count of steps to scikit-learn's callbacks as subtasks of a context, 100 at most.

    Parameters
    ----------
    estimator : estimator
        Whose method is running.
    context : sklearn.callback.CallbackContext
        With ``max_subtasks=n_tasks(total)``.
    total : int
        Steps in all.
    unit : str
        What steps are called.
    """

    def __init__(self, estimator: Any, context: Any, total: int, unit: str):
        self.estimator = estimator
        self.context = context
        self.total = int(total)
        self.unit = unit
        self._n_ended = 0

    def __call__(self, done: int) -> None:
        """Take note that so many of the steps are done."""
        while self._n_ended < min(done, self.total) * n_tasks(self.total) // self.total:
            task = self.context.subcontext(task_name=self.unit)
            task.call_on_fit_task_begin(estimator=self.estimator)
            task.call_on_fit_task_end(estimator=self.estimator)
            self._n_ended += 1


@contextlib.contextmanager
def watched(
    estimator: Any, context: Any, total: int, unit: str, what: str = ""
) -> Iterator[Callable[[int], None] | None]:
    """Yield what a computation tells how many of its steps are done, or None if nobody wants to know.

    Parameters
    ----------
    estimator : estimator
        With ``verbose=1`` a line shows the time left.
    context : sklearn.callback.CallbackContext or None
        Whose subtasks the steps are, with ``max_subtasks=n_tasks(total)``.
    total : int
        Steps in all.
    unit : str
        What steps are called.
    what : str, default=""
        What the estimator is doing.
    """
    name = f"{type(estimator).__name__}, {what}" if what else type(estimator).__name__
    line = ProgressLine(name, total, unit) if getattr(estimator, "verbose", 0) else None
    tasks = None if context is None or not total else CountedTasks(estimator, context, total, unit)
    if line is None and tasks is None:
        yield None
        return

    def watch(done: int) -> None:
        if line is not None:
            line(done)
        if tasks is not None:
            tasks(done)

    try:
        yield watch
    finally:
        if line is not None:
            line.close()


@contextlib.contextmanager
def stage(estimator: Any, context: Any, what: str, total: int, unit: str) -> Iterator[Callable[[int], None] | None]:
    """Yield as `watched` does, for a stage of a fit: it is one subtask of `context`, and its steps are that one's."""
    task = None
    if context is not None:
        task = context.subcontext(task_name=what, max_subtasks=n_tasks(total))
        task.call_on_fit_task_begin(estimator=estimator)
    with watched(estimator, task, total, unit, what) as watch:
        yield watch
    if task is not None:
        task.call_on_fit_task_end(estimator=estimator)


def fitted_in_task(estimator: Any, X: Any, y: Any, *, meta: Any, context: Any, name: str, **params: Any) -> Any:
    """Fit an estimator inside another one, `meta`, as the task `name` of its callback context; returns it fitted."""
    task = context.subcontext(task_name=name)
    with task.propagate_callback_context(estimator):
        task.call_on_fit_task_begin(estimator=meta, X=X, y=y)
        estimator.fit(X, y, **params)
        task.call_on_fit_task_end(estimator=meta, X=X, y=y)
    return estimator
