"""Telling the user's interrupt from a callback's wish to stop: skorch has one exception for both."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def noticed_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield what says whether an interrupt signal (Ctrl-C) has come within the block.

    The signal is handled as it would have been. Python handles signals in the main thread alone; in others a
    `KeyboardInterrupt` is always raised by a callback.
    """
    handler: Any = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield lambda: False
        return
    came = False

    def note(number: int, frame: Any) -> Any:
        nonlocal came
        came = True
        return handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # unless a callback has put another there
            signal.signal(signal.SIGINT, handler)


def end_epoch(net: Any, data: dict[str, Any]) -> bool:
    """Notify a net's callbacks; returns whether one stops the training, after which the others are not asked.

    A KeyboardInterrupt that comes of the user's Ctrl-C, or from a callback that only keeps the state (`never_stops`),
    is no wish to stop: it goes out.
    """
    net.on_epoch_end(net, **data)
    with noticed_interrupts() as has_come:
        for _, callback in net.callbacks_:
            try:
                callback.on_epoch_end(net, **data)
            except KeyboardInterrupt:
                if has_come() or getattr(callback, "never_stops", False):
                    raise
                return True
    return False
