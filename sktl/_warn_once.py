"""Warnings that name a line of the user's code."""

from __future__ import annotations

import sys
import warnings

_SAID: set[tuple[str, str, int]] = set()


def warn_once(text: str) -> None:
    """Warn once for a line of the user's code: cross-validation calls `score` often, and forgets what was shown."""
    place = (text, *_line_of_user())
    if place in _SAID and not _is_always_shown(text):
        return
    _SAID.add(place)
    warnings.warn_explicit(text, UserWarning, *place[1:])


def warn_user(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn, naming the line of the user's code that called the library, from however deep."""
    warnings.warn_explicit(text, category, *_line_of_user())


def warn_of_marked_rows(name: str, measure: str) -> None:
    """Say that ``name.score`` leaves out rows without a label; `measure` is what it then is."""
    warn_once(
        f"{name}.score leaves out rows that are marked as unlabelled: it is the {measure} on the labelled rows, which "
        "says nothing about a target without labels. To choose between adapted models, use "
        "scoring=sktl.metrics.get_domain_scorer() with cv=sktl.model_selection.StratifiedDomainKFold()."
    )


def _line_of_user() -> tuple[str, int]:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("sktl.", "sklearn.", "joblib.")):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _is_always_shown(text: str) -> bool:
    """Whether the user's filters want every such warning, or an error."""
    for action, message, category, module, line in warnings.filters:
        if issubclass(UserWarning, category) and module is None and not line and (not message or message.match(text)):  # type: ignore[union-attr]
            return action in ("always", "all", "error")
    return False
