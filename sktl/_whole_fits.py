"""A fit that raises leaves its estimator as it was."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from sktl._modes import decorated

F = TypeVar("F", bound=Callable[..., Any])

LEARNING = ("fit", "partial_fit", "fit_transform", "adapt")


class WholeFits:
    """Mixin: where a method that learns raises, the attributes are those of before, as if it had not been called.

    So an estimator that was never fitted is not taken for one that was, and one that was fitted goes on with what it
    knows: its number of features too.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name in LEARNING:
            if (method := vars(cls).get(name)) is not None:
                setattr(cls, name, decorated(method, whole))
        super().__init_subclass__(**kwargs)


def whole(method: F) -> F:
    """Decorate a method to leave the attributes of its object as they were if it raises."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return method(self, *args, **kwargs)
        except BaseException:  # one that was interrupted too
            now = vars(self)
            for name in now.keys() - before.keys():
                del now[name]
            now.update(before)
            raise

    return run  # type: ignore[return-value]
