"""How a training went: losses by part, scores, learning rate, and the epoch that was kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from sktl.displays._axes import COLOURS, QUIET, as_text, at_most, drawn_on, lonely, panels
from sktl.displays._fitted import parts_of

LOSSES = ("train_loss", "valid_loss")
SCORES = ("_accuracy", "_r2", "_changed", "_score")  # ends of names
MOST_STEPS = 10  # that are named
NO_CURVES = ("epoch", "step", "dur", "lr", "train_batch_count", "valid_batch_count")


@dataclasses.dataclass(eq=False)
class TrainingCurveDisplay:
    """Losses, their parts, scores and the learning rate of every epoch of a training.

    Look at whether the training loss still falls (train longer), whether the validation loss rises while it falls
    (stop early, or learn fewer layers), and whether a part that draws domains together has any effect.

    Parameters
    ----------
    losses : mapping of str to ndarray of shape (n_epochs,)
        By name: train_loss, valid_loss, and the parts of the training loss; NaN where an epoch has none.
    scores : mapping of str to ndarray of shape (n_epochs,)
        What is no loss, such as valid_accuracy and selection_score.
    learning_rates : ndarray of shape (n_epochs,) or None
        Of the layers that are new.
    best_epoch : int or None
        The epoch whose weights were kept, counted from 1; None if it is the last.
    steps : ndarray of shape (n_epochs,) or None
        Where a training consists of several, which of them.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : dict of str to Axes
        "loss", and where there are any "score" and "learning rate".
    lines_ : dict of str to Line2D
        By the names of losses and scores, and "learning rate".
    best_lines_ : list of Line2D
        The marks of the epoch that was kept.

    See Also
    --------
    LearningRateDisplay : Which learning rates a training bears.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_iris
    >>> from sktl.displays import TrainingCurveDisplay
    >>> from sktl.finetuning import FineTunedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = FineTunedClassifier(strategy="full", max_epochs=3, random_state=0).fit(X, y)
    >>> display = TrainingCurveDisplay.from_estimator(model)
    >>> len(display.losses["train_loss"]), list(display.axes_)
    (3, ['loss', 'learning rate'])
    """

    losses: Mapping[str, np.ndarray]
    scores: Mapping[str, np.ndarray]
    learning_rates: np.ndarray | None = None
    best_epoch: int | None = None
    steps: np.ndarray | None = None

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> TrainingCurveDisplay:
        """Draw the ``history_`` of a fitted estimator of any family.

        Parameters
        ----------
        estimator : fitted estimator
            One with a ``history_``; or a search, a pipeline or an estimator around one.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        TypeError
            If nothing in it has a ``history_``.
        ValueError
            If no epoch was trained.
        """
        owner = next((part for part in parts_of(estimator) if hasattr(part, "history_")), None)
        if owner is None:
            raise TypeError(
                f"TrainingCurveDisplay needs a fitted estimator with a history_; {type(estimator).__name__} has none. "
                "Fit it first; estimators without a training loop, such as codes with a linear classifier, have no "
                "curve."
            )
        if not owner.history_:
            raise ValueError(
                f"The history_ of this {type(owner).__name__} is empty: it was solved, not trained, so it has no curve."
            )
        return cls.from_history(owner.history_, best_epoch=getattr(owner, "best_epoch_", None), ax=ax)

    @classmethod
    def from_history(
        cls, history: Sequence[Mapping[str, Any]], *, best_epoch: int | None = None, ax: Any = None
    ) -> TrainingCurveDisplay:
        """Draw a history: skorch's (``net.history``), or one that was saved.

        Parameters
        ----------
        history : sequence of dict
            A row an epoch. Numbers under names that start with ``train_`` or ``valid_`` are drawn, and ``lr``.
        best_epoch : int, default=None
            The epoch whose weights were kept, counted from 1.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        TrainingCurveDisplay

        Raises
        ------
        TypeError, ValueError
            If it is no history, or has no loss.
        """
        history = list(history)
        rows = [row for row in history if isinstance(row, Mapping)]
        if not rows or len(rows) != len(history):
            raise TypeError("history must be a list of dicts, one an epoch, as history_ is.")
        names = [name for row in rows for name, value in row.items() if _is_curve(name, value)]
        curves = {name: _column(rows, name) for name in dict.fromkeys(names)}
        scores = {name: curve for name, curve in curves.items() if name.endswith(SCORES)}
        losses = {name: curves[name] for name in (*LOSSES, *curves) if name in curves and name not in scores}
        if not losses:
            raise ValueError(f"history has no loss: its rows hold {', '.join(map(repr, rows[0])) or 'nothing'}.")
        if best_epoch is not None and not (isinstance(best_epoch, Integral) and 1 <= best_epoch <= len(rows)):
            raise ValueError(f"best_epoch must be from 1 to {len(rows)}, the epochs there are; got {best_epoch!r}.")
        rates = _column(rows, "lr") if any("lr" in row for row in rows) else None
        steps = np.array([row.get("step") for row in rows]) if "step" in rows[0] else None
        return cls(losses, scores, rates, best_epoch, steps).plot(ax)

    def plot(self, ax: Any = None, *, parts: bool = True) -> TrainingCurveDisplay:
        """Draw the curves, one below the other.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.
        parts : bool, default=True
            Whether the parts of the training loss are drawn.

        Returns
        -------
        TrainingCurveDisplay
            Itself, with `ax_`, `figure_`, `axes_`, `lines_` and `best_lines_`.
        """
        names = ["loss", *["score"] * bool(self.scores), *["learning rate"] * (self.learning_rates is not None)]
        heights = [{"loss": 3, "score": 2, "learning rate": 1}[name] for name in names]
        ax = drawn_on(self, ax, (6.4, 1.4 + 0.9 * sum(heights)))
        if len(names) == 1:
            self.axes_ = {"loss": ax}
        else:
            self.axes_ = dict(zip(names, panels(ax, len(names), 1, height_ratios=heights)[:, 0]))
        self.lines_: dict[str, Any] = {}
        losses = {name: curve for name, curve in self.losses.items() if parts or name in LOSSES}
        self._draw("loss", losses)
        self._draw("score", self.scores)
        if self.learning_rates is not None:
            self._draw("learning rate", {"learning rate": self.learning_rates})
        self._mark()
        n = len(next(iter(self.losses.values())))
        for panel in self.axes_.values():  # one axis for all, whatever is missing in one of them
            panel.set_xlim(1 - max(0.5, 0.03 * n), n + max(0.5, 0.03 * n))
        for panel in list(self.axes_.values())[:-1]:
            panel.tick_params(labelbottom=False)
        list(self.axes_.values())[-1].set_xlabel("epoch")
        return self

    def _draw(self, panel: str, curves: Mapping[str, np.ndarray]) -> None:
        if not curves:
            return
        ax = self.axes_[panel]
        shades = dict(zip(("train", "valid"), COLOURS))
        rest = iter(COLOURS[2:] * len(curves))
        for name, curve in curves.items():
            is_whole = name in LOSSES or panel == "score"
            kind = name.partition("_")[0]
            colour = shades.get(kind, QUIET) if is_whole else QUIET if panel == "learning rate" else next(rest)
            epochs = np.arange(1, len(curve) + 1)
            style = "-" if is_whole or panel == "learning rate" else "--"
            label = _named(name) if np.isfinite(curve).any() else f"{_named(name)}: no finite value"
            (self.lines_[name],) = ax.plot(epochs, curve, style, color=colour, label=label, **lonely(curve))
        ax.set_ylabel(panel)
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if panel != "learning rate":
            _legend(ax)

    def _mark(self) -> None:
        """Mark the epoch that was kept, and where a training of several begins anew."""
        self.best_lines_ = []
        steps = np.empty(0) if self.steps is None else self.steps
        starts = np.flatnonzero(steps[1:] != steps[:-1]) + 1
        every = -(-len(starts) // MOST_STEPS)
        for name, ax in self.axes_.items():
            for i, start in enumerate(starts):
                ax.axvline(start + 0.5, color=QUIET, linestyle=":", linewidth=1)
                if name == "loss" and i % every == 0:
                    label = as_text(f"step {steps[start]}")
                    ax.annotate(label, (start + 0.6, 1), xycoords=("data", "axes fraction"), va="top", fontsize="small")
            if self.best_epoch is not None:
                label = f"kept: epoch {self.best_epoch}"
                self.best_lines_.append(
                    ax.axvline(self.best_epoch, color="black", linestyle="-.", linewidth=1, label=label)
                )
                if name == "loss":
                    _legend(ax)


def _legend(ax: Any) -> None:
    ax.legend(handles=at_most(ax.get_legend_handles_labels()[0]), fontsize="small")


def _is_curve(name: str, value: Any) -> bool:
    is_number = isinstance(name, str) and isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    return is_number and name not in NO_CURVES and not name.endswith("_best") and name != "batches"


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [row.get(name) for row in rows]
    return np.array([value if isinstance(value, Real) else np.nan for value in values], dtype=np.float64)


def _named(name: str) -> str:
    if name in ("train_loss", "valid_loss"):
        return {"train": "training loss", "valid": "validation loss"}[name[:5]]
    prefix, _, rest = name.partition("_")
    where = {"train": "training", "valid": "validation"}.get(prefix)
    return as_text((f"{rest} ({where})" if where else name).replace("_", " "))
