"""What every transductive method is: a parameter object that maps support and query codes to log-probabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sktl._array_api import check_array
from sktl._device import resolve_device
from sktl._documented import Documented
from sktl._given_tensors import given_back, task_of, widened
from sktl._magnitudes import check_magnitude
from sktl._modes import in_plain_modes, usable
from sktl.fewshot.meta_training._episodes import EpisodeIndices
from sktl.fewshot.transductive._sources import GivenRows, Source, TableRows
from sktl.fewshot.transductive._span import of_size_one, unit
from sktl.fewshot.transductive._tasks import Tasks

LARGEST_FACTOR = 1e6  # of distances and of weights: what they are multiplied to is squared in float32


class TransductiveMethod(Documented, BaseEstimator, ABC):
    """Abstract: classifies all queries of a task together, so that each one's answer depends on the others.

    An object is called like a head, ``method(support, y, query, n_way)``, on the codes of one task or of many. It
    learns nothing across tasks and keeps nothing. Its parameters are checked when it is called.

    Fewer queries than classes are classified one by one, by what the method starts from: neither their mean nor their
    shares of the classes say anything.
    """

    _parameter_constraints: ClassVar[dict] = {}
    is_regression_: ClassVar[bool] = False  # for sktl.model_selection.episode_scores

    @in_plain_modes
    def __call__(self, support: Any, y: Any, query: Any, n_way: int) -> Tensor:
        """Return the logarithms of the queries' class probabilities.

        They are of the codes' type; codes of half precision, and whole numbers, are computed with in float32.

        Parameters
        ----------
        support : Tensor or ndarray of shape (n_support, d) or (n_tasks, n_support, d)
            Codes, of any scale.
        y : Tensor or ndarray of shape (n_support,) or (n_tasks, n_support)
            Labels 0, ..., n_way - 1; -1 is padding, where tasks differ in their shots.
        query : Tensor or ndarray of shape (n_query, d) or (n_tasks, n_query, d)
            Codes of what is to be classified.
        n_way : int
            Number of classes.

        Returns
        -------
        Tensor of shape (n_query, n_way) or (n_tasks, n_query, n_way)

        Raises
        ------
        ValueError
            If shapes do not match, codes hold NaN or infinity, a class has no support row, or a parameter is out of
            its range.
        TypeError
            If codes hold no real numbers, or labels are not whole ones.
        """
        self._validate_params()
        support, y, query = task_of(support, y, query)
        if support.ndim == 2:
            return self(support.unsqueeze(0), y.unsqueeze(0), query.unsqueeze(0), n_way).squeeze(0)
        _check(support, y, query, n_way)
        dtype = support.dtype
        support, y, query = widened(usable(support)), usable(y), widened(usable(query))
        if query.shape[1] == 0:
            return query.new_empty(len(query), 0, n_way, dtype=dtype)
        return given_back(self._classified(GivenRows(support, query, self.prepared), y, n_way), dtype)

    @in_plain_modes
    def episode_logits(
        self, X: Any, episodes: EpisodeIndices, y: Any = None, *, device: str | torch.device = "auto"
    ) -> np.ndarray:
        """Return the log-probabilities for the queries of many episodes, drawn from one table of codes.

        With it, `sktl.model_selection.episode_scores` takes a method in place of an estimator.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Codes.
        episodes : EpisodeIndices
            Which rows, as `EpisodeSampler` draws them.
        y : None
            Not used.
        device : str or torch.device, default="auto"
            Where to compute, in float32.

        Returns
        -------
        ndarray of shape (n_episodes, n_query, n_way), float64
        """
        self._validate_params()
        rows = check_array(X, dtype=np.float64)
        check_magnitude(rows)
        episodes.check_rows(len(rows))
        codes = torch.from_numpy(rows.astype(np.float32)).to(resolve_device(device))
        support, labels, query, _ = (usable(part).to(codes.device) for part in episodes[:4])
        with torch.no_grad():
            source = TableRows(self.prepared(codes), torch.cat([support, query], dim=1))
        return self._classified(source, labels, episodes.n_way).double().cpu().numpy()

    @property
    def needs_rows(self) -> bool:
        """Whether the codes themselves are needed, not only their inner products."""
        return False

    def prepared(self, rows: Tensor) -> Tensor:
        """Return what the method makes of codes, row by row: by default their directions."""
        return unit(of_size_one(rows))

    @abstractmethod
    def inferred(self, tasks: Tasks) -> Tensor:
        """Return the log-probabilities, class by class (t, n_way, n_query), of prepared codes.

        The tasks are the method's own: it may change their span.
        """

    def _classified(self, source: Source, y: Tensor, n_way: int) -> Tensor:
        with torch.no_grad():
            spans = source.spans(n_way, needs_rows=self.needs_rows)
            parts = [self.inferred(Tasks.of(span, y[some], n_way)) for some, span in spans]
        return torch.cat(parts).transpose(1, 2)


def _check(support: Tensor, y: Tensor, query: Tensor, n_way: int) -> None:
    if support.ndim != 3 or query.ndim != 3 or support.shape[::2] != query.shape[::2] or y.shape != support.shape[:2]:
        raise ValueError(
            "support, y and query must be of shapes (n_tasks, n_support, d), (n_tasks, n_support) and "
            f"(n_tasks, n_query, d), or all without n_tasks; got {tuple(support.shape)}, {tuple(y.shape)} and "
            f"{tuple(query.shape)}."
        )
    if y.numel() and int(y.max()) >= n_way:
        raise ValueError(f"y must hold labels below n_way={n_way}, or -1 for padding; got {int(y.max())}.")
    present = (y.unsqueeze(-1) == torch.arange(n_way, device=y.device)).any(1)  # (n_tasks, n_way)
    if not present.all():
        task, label = (~present).nonzero()[0].tolist()
        raise ValueError(f"Every class needs a support row; task {task} has none of class {label} (n_way={n_way}).")
