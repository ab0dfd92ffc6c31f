"""A fit that raises leaves its estimator as it was."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sktl._modes import InPlainModes, decorated, in_plain_modes, plain_modes

F = TypeVar("F", bound=Callable[..., Any])

ANEW = ("fit", "fit_transform")
LEARNING = (*ANEW, "partial_fit", "adapt")  # the last two go on with what is there, and see to that themselves
COLUMNS = ("n_features_in_", "feature_names_in_")


class WholeFits:
    """Mixin: where a method that learns raises, the attributes are those of before, as if it had not been called.

    Methods that go on with what was learned keep what they did to it; the columns are those of before there too.

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
        with _as_before_if_raised(self, method.__name__):
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


def _whole_in_plain_modes(method: F) -> F:
    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _as_before_if_raised(self, method.__name__), plain_modes():
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


@contextlib.contextmanager
def _as_before_if_raised(owner: Any, method: str) -> Iterator[None]:
    before, only = dict(vars(owner)), None if method in ANEW else COLUMNS
    try:
        yield
    except BaseException:  # one that was interrupted too
        now = vars(owner)
        for name in now.keys() - before.keys() if only is None else only:
            now.pop(name, None)
        now.update((name, value) for name, value in before.items() if only is None or name in only)
        raise
