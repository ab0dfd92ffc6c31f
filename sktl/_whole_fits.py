"""A fit that raises leaves its estimator as it was."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sktl._modes import InPlainModes, decorated, in_plain_modes, plain_modes

F = TypeVar("F", bound=Callable[..., Any])

LEARNING = ("fit", "partial_fit", "fit_transform", "adapt")


class WholeFits:
    """Mixin: where a method that learns raises, the attributes are those of before, as if it had not been called.

    So an estimator that was never fitted is not taken for one that was, and one that was fitted goes on with what it
    knows: its number of features too.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name in () if issubclass(cls, InPlainModes) else LEARNING:  # those are decorated once, for both
            if (method := vars(cls).get(name)) is not None:
                setattr(cls, name, decorated(method, whole))
        super().__init_subclass__(**kwargs)

    @classmethod
    def _decorator(cls, name: str) -> Callable[[Any], Any]:
        """Return what `InPlainModes` decorates a method by."""
        if name in LEARNING:
            return _whole_in_plain_modes
        of_others = getattr(super(), "_decorator", None)
        return in_plain_modes if of_others is None else of_others(name)


def whole(method: F) -> F:
    """Decorate a method to leave the attributes of its object as they were if it raises."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _as_before_if_raised(self):
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


def _whole_in_plain_modes(method: F) -> F:
    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _as_before_if_raised(self), plain_modes():
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


@contextlib.contextmanager
def _as_before_if_raised(owner: Any) -> Iterator[None]:
    before = dict(vars(owner))
    try:
        yield
    except BaseException:  # one that was interrupted too
        now = vars(owner)
        for name in now.keys() - before.keys():
            del now[name]
        now.update(before)
        raise
