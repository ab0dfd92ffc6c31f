"""What a training prints: one line with the time left, or a table with a row an epoch."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from typing import Any

from skorch.callbacks import PrintLog

from sktl._progress import ProgressLine


class TableLog(PrintLog):
    """skorch's table, with colours on a terminal only, and rates that are not rounded to zero."""

    def __init__(self):
        super().__init__(floatfmt=".4g")

    def format_row(self, row, key, color):
        """Return a cell's text."""
        if not getattr(sys.stdout, "isatty", lambda: False)():
            row = {key: row[key]}  # without the flag of the best value, for which skorch changes the colour
        return super().format_row(row, key, color)


@contextlib.contextmanager
def shown_progress(net: Any, batches: Any, epochs: int | None, stop_at: float, progress: Any) -> Iterator[None]:
    """Show the line with the time left while the net trains, with ``verbose=1``."""
    line = None
    if net.verbose == 1:
        line = _line(net, batches, epochs, stop_at, progress)
    if line is None:
        yield
        return
    first = net.clock_.n_steps

    def tick(n_steps: int) -> None:
        line(n_steps - first, _note(net))

    net.trainer_.tick = tick
    try:
        yield
    finally:
        net.trainer_.tick = None
        line.close(_note(net))


def _line(net: Any, batches: Any, epochs: int | None, stop_at: float, progress: Any) -> ProgressLine | None:
    n_steps = stop_at - net.clock_.n_steps
    if epochs is not None:
        with contextlib.suppress(TypeError):  # a stream without a length
            n_steps = min(n_steps, epochs * len(batches))
    if not math.isfinite(n_steps):
        return None
    name = "Training" if progress is None else type(progress.estimator).__name__
    return ProgressLine(name, int(n_steps), "updates")


def _note(net: Any) -> str:
    """Return the number of the epoch that is under way, and the last known loss."""
    losses = [row["train_loss"] for row in net.history if "train_loss" in row]
    epoch = f"epoch {len(net.history)}"
    return f"{epoch}, train_loss {losses[-1]:.4f}" if losses else epoch
