"""Warnings that name a line of the user's code."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

BETWEEN = ("sktl", "sklearn", "joblib", "skorch", "torch", "contextlib", "functools")  # the user's code and a warning
_SAID: set[tuple[str, str, int]] = set()


def warn_once(text: str) -> None:
    """Warn once for a line of the user's code: cross-validation calls `score` often, and forgets what was shown."""
    frame = _frame_of_user()
    place = (text, frame.f_code.co_filename, frame.f_lineno)
    if place in _SAID and not _is_always_shown(text):
        return
    _SAID.add(place)
    warnings.warn_explicit(text, UserWarning, *place[1:])


def warn_user(text: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn, naming the line of the user's code that called the library, from however deep.

    As with `warnings.warn`, by default a line hears the same text once.
    """
    frame = _frame_of_user()
    module = frame.f_globals.get("__name__") or "<unknown>"
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def warn_of_marked_rows(name: str, measure: str) -> None:
    """Say that ``name.score`` leaves out rows without a label; `measure` is what it then is."""
    warn_once(
        f"{name}.score leaves out rows that are marked as unlabelled: it is the {measure} on the labelled rows, which "
        "says nothing about a target without labels. To choose between adapted models, use "
        "scoring=sktl.metrics.get_domain_scorer() with cv=sktl.model_selection.StratifiedDomainKFold()."
    )


def _frame_of_user() -> FrameType:
    frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in BETWEEN:
        frame = frame.f_back
    return frame


def _is_always_shown(text: str) -> bool:
    """Whether the user's filters want every such warning, or an error."""
    for action, message, category, module, line in warnings.filters:
        if issubclass(UserWarning, category) and module is None and not line and (not message or message.match(text)):  # type: ignore[union-attr]
            return action in ("always", "all", "error")
    return False
