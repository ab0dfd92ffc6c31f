"""What a task is, as one vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if

from sktl._modes import InPlainModes


def _embeds(learner: Any) -> bool:
    if not learner._embeds_tasks:
        raise AttributeError(
            f"This {type(learner).__name__} embeds no tasks: its start is the same for all. Give embedding_size."
        )
    return True


class EmbedsTasks(InPlainModes):
    """A meta-learner that makes one vector of a support set, by which it chooses what suits the task."""

    @property
    def _embeds_tasks(self) -> bool:
        return True

    @available_if(_embeds)
    def task_embedding(self: Any, X: Any, y: Any) -> np.ndarray:
        """Return what the learner makes of a support set; tasks that are alike lie near each other.

        The order of the rows does not matter, nor do the names of classes.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels of any type, or values where meta-training was on regressions.

        Returns
        -------
        ndarray of shape (size,), float64
        """
        rows, target, _, _ = self._support(X, y)
        device, dtype = self._where()
        with self._learned.lock, torch.no_grad():
            embedding = self._ready(device, dtype).task_embedding(rows.unsqueeze(0), target.unsqueeze(0))
        return embedding[0].double().cpu().numpy()
