"""Scores of several methods, the best first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sktl.displays._axes import COLOURS, QUIET, as_text, drawn_on


@dataclasses.dataclass(eq=False)
class LeaderboardDisplay:
    """Scores with their intervals, the best on top.

    Methods whose interval reaches the best one's score are drawn full; those below it hollow. Intervals that overlap
    do not say that two methods are equal, only that these data do not tell.

    Parameters
    ----------
    names : ndarray of shape (n_methods,)
        The best first.
    scores : ndarray of shape (n_methods,)
        Higher is better, unless `lower_is_better`.
    intervals : ndarray of shape (n_methods, 2) or None
        Lower and upper bounds.
    score_name : str, default="score"
        What was scored.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    points_ : list of Line2D
        One a method, the best first.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sktl.displays import LeaderboardDisplay
    >>> LeaderboardDisplay.from_frame({"name": ["a", "b"], "score": [0.7, 0.9]}).names.tolist()
    ['b', 'a']
    """

    names: np.ndarray
    scores: np.ndarray
    intervals: np.ndarray | None = None
    score_name: str = "score"

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        name: str = "name",
        score: str = "score",
        low: str | None = None,
        high: str | None = None,
        spread: str | None = None,
        lower_is_better: bool = False,
        ax: Any = None,
    ) -> LeaderboardDisplay:
        """Draw a table: ``pandas.DataFrame(search.cv_results_)``, say, or a dict of columns.

        Parameters
        ----------
        frame : data frame, or dict of columns
            A row a method.
        name, score : str, default="name", "score"
            The columns of names and scores.
        low, high : str, default=None
            The columns of the bounds of an interval; both or none.
        spread : str, default=None
            Instead, the column of what is added and subtracted, a standard deviation, say.
        lower_is_better : bool, default=False
            Whether the lowest score is the best.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        LeaderboardDisplay

        Raises
        ------
        TypeError, ValueError
            If a column is missing, or holds no finite numbers.
        """
        if not isinstance(frame, Mapping) and not hasattr(frame, "columns"):
            raise TypeError(f"frame must be a data frame or a dict of columns; got {type(frame).__name__}.")
        if (low is None) != (high is None) or (low is not None and spread is not None):
            raise ValueError("Give low and high together, or spread, or none of them.")
        columns = list(frame) if isinstance(frame, Mapping) else list(frame.columns)
        for wanted in (name, score, low, high, spread):
            if wanted is not None and wanted not in columns:
                raise ValueError(f"frame has no column {wanted!r}; it has {', '.join(map(repr, columns))}.")
        names, scores = np.array([str(value) for value in frame[name]], dtype=object), _numbers(frame, score)
        if len(names) == 0 or len(names) != len(scores):
            raise ValueError(f"frame must have a name for each score; got {len(names)} and {len(scores)}.")
        bounds = None
        if low is not None:
            bounds = np.column_stack([_numbers(frame, low), _numbers(frame, str(high))])
            if not ((bounds[:, 0] <= scores) & (scores <= bounds[:, 1])).all():
                raise ValueError(f"Each score must lie between {low!r} and {high!r}.")
        elif spread is not None:
            width = np.abs(_numbers(frame, spread))
            bounds = np.column_stack([scores - width, scores + width])
        order = np.argsort(scores if lower_is_better else -scores, kind="stable")
        return cls(names[order], scores[order], None if bounds is None else bounds[order], score).plot(ax)

    @property
    def may_be_best(self) -> np.ndarray:
        """Which methods' intervals reach the best score, bool of shape (n_methods,)."""
        best = self.scores[0]
        bounds = np.column_stack([self.scores] * 2) if self.intervals is None else self.intervals
        return (bounds[:, 0] <= best) & (best <= bounds[:, 1])

    def plot(self, ax: Any = None) -> LeaderboardDisplay:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        LeaderboardDisplay
            Itself, with `ax_`, `figure_` and `points_`.
        """
        n = len(self.names)
        ax = drawn_on(self, ax, (6.4, 1.2 + 0.35 * n))
        ax.axvline(self.scores[0], color=QUIET, linestyle=":", linewidth=1)
        self.points_ = []
        for i, (score, is_full) in enumerate(zip(self.scores, self.may_be_best)):
            sides = None if self.intervals is None else np.abs(self.intervals[i] - score)[:, None]
            bars = ax.errorbar(
                [score], [i], xerr=sides, marker="o", capsize=3, color=COLOURS[0] if is_full else COLOURS[1],
                markerfacecolor=COLOURS[0] if is_full else "white",
            )  # fmt: skip
            self.points_.append(bars.lines[0])
        ax.set_yticks(range(n), [as_text(name) for name in self.names])
        ax.set(xlabel=as_text(self.score_name), ylim=(n - 0.5, -0.5))
        return self


def _numbers(frame: Any, column: str) -> np.ndarray:
    try:
        values = np.asarray(frame[column], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The column {column!r} must hold numbers: {error}.") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"The column {column!r} must hold finite numbers, one a row.")
    return values
