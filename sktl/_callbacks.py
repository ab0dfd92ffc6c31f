"""scikit-learn's callbacks, which it has from 1.9 on; below, what stands in for them and does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    from sklearn.callback import CallbackContext, CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackContext:  # type: ignore[no-redef]
        """A task that nobody is told of."""

        def subcontext(self, **described: Any) -> CallbackContext:
            """Return the same."""
            return self

        def call_on_fit_task_begin(self, **told: Any) -> CallbackContext:
            """Return the same."""
            return self

        def call_on_fit_task_end(self, **told: Any) -> bool:
            """Return that nobody wants it to stop."""
            return False

        @contextmanager
        def propagate_callback_context(self, estimator: Any) -> Iterator[None]:
            """Do nothing around the fit of an estimator in this one."""
            yield

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator that takes no callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Say that there are none.

            Raises
            ------
            NotImplementedError
                Always.
            """
            raise NotImplementedError("Callbacks of scikit-learn need scikit-learn 1.9 or newer.")

        def _init_callback_context(self, **described: Any) -> CallbackContext:
            return CallbackContext()

    def with_callbacks(method: Any) -> Any:
        """Return the method as it is."""
        return method


__all__ = ["CallbackContext", "CallbackSupportMixin", "with_callbacks"]
