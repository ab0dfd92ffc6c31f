"""Warnings that are shown once for a line of the user's code."""

from __future__ import annotations

import sys
import warnings

_SAID: set[tuple[str, str, int]] = set()


def warn_once(text: str) -> None:
    """Warn once for a line of the user's code: cross-validation calls `score` often, and forgets what was shown."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("sktl.", "sklearn.", "joblib.")):
        frame = frame.f_back
    place = (text, frame.f_code.co_filename, frame.f_lineno)
    if place in _SAID and not _is_always_shown(text):
        return
    _SAID.add(place)
    warnings.warn_explicit(text, UserWarning, *place[1:])


def _is_always_shown(text: str) -> bool:
    """Whether the user's filters want every such warning, or an error."""
    for action, message, category, module, line in warnings.filters:
        if issubclass(UserWarning, category) and module is None and not line and (not message or message.match(text)):  # type: ignore[union-attr]
            return action in ("always", "all", "error")
    return False
