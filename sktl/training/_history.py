"""The rows that a training leaves behind, one an epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def history_of(net: Any, before: Sequence[dict[str, Any]] = (), *, last: int | None = None) -> list[dict[str, Any]]:
    """Return a net's history as a list of rows, after those of the training that it goes on from.

    Epochs are counted on, and the ``_best`` flags look at the rows before too.

    Parameters
    ----------
    net : TrainingNet
        After training.
    before : sequence of dict, default=()
        The earlier rows.
    last : int, default=None
        How many of the net's last rows to take; None is all.
    """
    rows = [{name: value for name, value in row.items() if name != "batches"} for row in net.history.to_list()]
    rows = rows if last is None else rows[-last:]
    if not before:
        return rows
    history = list(before)
    n_before = int(before[-1]["epoch"])
    for number, row in enumerate(rows, start=1):
        row["epoch"] = n_before + number
        for name in [name for name in row if name.endswith("_best")]:
            key = name.removesuffix("_best")
            earlier = min((old[key] for old in history if key in old), default=math.inf)
            row[name] = bool(row[name] and row[key] < earlier)
        history.append(row)
    return history
