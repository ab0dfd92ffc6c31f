"""Epochs as tasks of scikit-learn's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sktl._callbacks import CallbackContext


@dataclass
class EpochTasks:
    """Reports each epoch of a training as a subtask of an estimator's fit to scikit-learn's callbacks.

    An estimator that mixes in `sklearn.callback.CallbackSupportMixin` and whose ``fit`` is decorated with sklearn's
    `_fit_context` (or `with_callbacks`) writes::

        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        net.fit(batches, progress=EpochTasks(self, context, X, y, fitted=lambda: {"module_": net.module}))
        context.call_on_fit_task_end(estimator=self, X=X, y=y)

    so that ``set_callbacks(ProgressBar())`` on the estimator, on a pipeline or on a grid search around it shows epochs.

    Parameters
    ----------
    estimator : estimator
        Whose fit is running.
    context : sklearn.callback.CallbackContext
        The task that the epochs are part of: that of the fit, or a subcontext of it where fit has several stages.
    X, y : array-like, optional
        The data as given to fit; monitors score on them.
    metadata : dict, optional
        Further arguments of fit, e.g. sample weights.
    fitted : callable() -> dict, optional
        The learned attributes that make the estimator predict as if training had stopped here. It is called only
        if a callback asks; between epochs the network is in evaluation mode, holding the averaged weights if there are.
    """

    estimator: Any
    context: CallbackContext
    X: Any = None
    y: Any = None
    metadata: Mapping[str, Any] | None = None
    fitted: Callable[[], dict[str, Any]] | None = None
    task_name: str = "epoch"
    _task: CallbackContext | None = field(default=None, init=False, repr=False)

    def epoch_begin(self) -> None:
        """Open the task of the next epoch."""
        self._task = self.context.subcontext(task_name=self.task_name)
        self._task.call_on_fit_task_begin(estimator=self.estimator, X=self.X, y=self.y, metadata=self.metadata)

    def epoch_end(self) -> bool:
        """Close the epoch's task; returns whether a callback wants training to stop."""
        assert self._task is not None, "epoch_begin comes first"
        task, self._task = self._task, None
        return bool(
            task.call_on_fit_task_end(
                estimator=self.estimator,
                X=self.X,
                y=self.y,
                metadata=self.metadata,
                reconstruction_attributes=self.fitted,
            )
        )
