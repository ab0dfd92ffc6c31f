"""The rows that a training leaves behind, one an epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skorch.callbacks import EarlyStopping


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


def best_epoch_of(net: Any, history: Sequence[dict[str, Any]]) -> int | None:
    """Return the epoch whose weights early stopping has restored; None where there is none, and the last one's stay.

    It follows skorch's rule, for the callback itself has forgotten where a training that had ended was resumed.

    Parameters
    ----------
    net : TrainingNet
        After training.
    history : sequence of dict
        As `history_of` returns it; the net's rows are its last.
    """
    for _, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping) and callback.load_best and callback.monitor == "valid_loss":
            # an epoch is better if l < (1 - threshold) l_best
            chosen, bound = None, math.inf
            for row in history[-len(net.history) :]:
                loss = row.get("valid_loss", math.inf)
                if loss < bound:
                    chosen, bound = int(row["epoch"]), (1 - callback.threshold) * loss
            return chosen
    return None
