"""Pictures with what was predicted for them, the most wrong ones first."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from sktl._array_api import n_rows, on_host
from sktl._columns import check_length
from sktl._unlabelled import MARK, as_labels, is_labelled
from sktl.displays._axes import QUIET, RIGHT, WRONG, as_text, check_count, check_drawable, drawn_on, panels
from sktl.displays._pictures import framed, kind_of, shown

LONGEST = 18  # characters of a name above a picture
ORDERS = ("most wrong", "least sure", "given")


@dataclasses.dataclass(eq=False)
class PredictionsDisplay:
    """A grid of pictures with their predicted and true labels, the most wrong ones first.

    Look here before anything is tuned: wrong labels, odd crops and classes that look alike are seen in a minute.

    Parameters
    ----------
    pictures : ndarray of shape (n, height, width, 3), uint8
        What is shown.
    rows : ndarray of shape (n,)
        Which rows of X they are.
    y_true : ndarray of shape (n,) of object
        True labels; None where there is none.
    y_pred : ndarray of shape (n,)
        Predicted labels.
    confidence : ndarray of shape (n,) or None
        Probabilities of the predicted labels.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : ndarray of Axes
        One a picture.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl.displays import PredictionsDisplay
    >>> pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    >>> display = PredictionsDisplay.from_predictions(pictures, ["a", "b", "a", "b"], ["a", "b", "a", "a"])
    >>> display.rows.tolist()  # the wrong one first
    [3, 0, 1, 2]
    """

    pictures: np.ndarray
    rows: np.ndarray
    y_true: np.ndarray
    y_pred: np.ndarray
    confidence: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_pictures: int = 16,
        order: str = "most wrong",
        unlabelled: Any = MARK,
        image_shape: Any = None,
        value_range: Any = None,
        ax: Any = None,
    ) -> PredictionsDisplay:
        """Predict, and draw the pictures.

        Parameters
        ----------
        estimator : fitted classifier
            Of pictures; a pipeline of codes and any classifier too.
        X : array-like or sequence of pictures, n rows
            As its `fit` takes them: arrays, paths, PIL images. Of files only those shown are decoded for the grid.
        y : array-like of shape (n,), default=None
            True labels. Rows without one are left out, but where no row has one.
        n_pictures : int, default=16
            At most.
        order : {"most wrong", "least sure", "given"}, default="most wrong"
            "most wrong": wrong ones first, those whose true label had the least probability before others. "least
            sure": by the probability of the predicted label, the least first; also what "most wrong" is without any
            label. "given": the first rows of X.
        unlabelled : scalar or None, default=-1
            The label that means unlabelled.
        image_shape, value_range
            As in `CNNCodesTransformer`; by default what the estimator was told.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        PredictionsDisplay

        Raises
        ------
        TypeError, ValueError
            If the estimator is no classifier, X holds no pictures, or y has not one label a row.
        """
        check_drawable(cls.__name__, ax)
        if not is_classifier(estimator):
            raise TypeError(f"PredictionsDisplay shows classes, but {type(estimator).__name__} is no classifier.")
        kind = kind_of(estimator)
        shown(X, np.arange(0), cls.__name__, kind, image_shape=image_shape, value_range=value_range)  # X is looked at
        y_proba = np.asarray(estimator.predict_proba(X)) if hasattr(estimator, "predict_proba") else None
        return cls._of(
            X, y, estimator.predict(X), y_proba, None if y_proba is None else estimator.classes_, n_pictures, order,
            unlabelled, kind, image_shape, value_range,
        ).plot(ax)  # fmt: skip

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        y_true: Any,
        y_pred: Any,
        *,
        y_proba: Any = None,
        classes: Any = None,
        n_pictures: int = 16,
        order: str = "most wrong",
        unlabelled: Any = MARK,
        image_shape: Any = None,
        value_range: Any = None,
        ax: Any = None,
    ) -> PredictionsDisplay:
        """Draw pictures whose labels are predicted already.

        Parameters
        ----------
        X, n_pictures, order, unlabelled, image_shape, value_range, ax
            As in `from_estimator`.
        y_true : array-like of shape (n,) or None
            True labels.
        y_pred : array-like of shape (n,)
            Predicted labels.
        y_proba : array-like of shape (n, n_classes), default=None
            Probabilities.
        classes : array-like of shape (n_classes,), default=None
            Labels of the columns of `y_proba`; needed with it.

        Returns
        -------
        PredictionsDisplay
        """
        if (y_proba is None) != (classes is None):
            raise ValueError("Give y_proba and classes, the labels of its columns, together; or none of them.")
        y_proba = None if y_proba is None else np.asarray(on_host(y_proba), dtype=np.float64)
        return cls._of(
            X, y_true, y_pred, y_proba, classes, n_pictures, order, unlabelled, None, image_shape, value_range
        ).plot(ax)

    @classmethod
    def _of(
        cls, X: Any, y: Any, y_pred: Any, y_proba: Any, classes: Any, n_pictures: int, order: str, unlabelled: Any,
        kind: Any, image_shape: Any, value_range: Any,
    ) -> PredictionsDisplay:  # fmt: skip
        n = n_rows(X)
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(map(repr, ORDERS))}; got {order!r}.")
        check_count(n_pictures, "n_pictures")
        y_pred = np.asarray(on_host(y_pred))
        y_pred = as_labels(y_pred) if y_pred.ndim == 1 else y_pred
        if y_pred.shape != (n,):
            raise ValueError(f"Predictions must be one label a row, shape ({n},); got shape {y_pred.shape}.")
        true = np.full(n, None, dtype=object)
        known = np.zeros(n, dtype=bool)
        if y is not None:
            labels = as_labels(y)
            check_length(labels, n, "y")
            known = is_labelled(labels, unlabelled)
            true[known] = labels[known].tolist()
        of_true = of_predicted = None
        if y_proba is not None:
            classes = as_labels(classes)
            if y_proba.shape != (n, len(classes)):
                raise ValueError(
                    f"y_proba must have a row for each of the {n} pictures and a column for each of the {len(classes)} "
                    f"classes; got shape {y_proba.shape}."
                )
            if not np.isfinite(y_proba).all():
                raise ValueError(f"y_proba must be finite; row {np.argwhere(~np.isfinite(y_proba))[0, 0]} is not.")
            of_true, of_predicted = (_probability(y_proba, classes, part) for part in (true, y_pred))
        rows = _ordered(order, known, _equal(true, y_pred), of_true, of_predicted)[:n_pictures]
        pictures = shown(X, rows, cls.__name__, kind, image_shape=image_shape, value_range=value_range)
        return cls(pictures, rows, true[rows], y_pred[rows], None if of_predicted is None else of_predicted[rows])

    @property
    def is_right(self) -> np.ndarray:
        """Whether each prediction is right, (n,) of object; None where there is no true label."""
        right = _equal(self.y_true, self.y_pred).astype(object)
        right[[label is None for label in self.y_true]] = None
        return right

    def plot(self, ax: Any = None) -> PredictionsDisplay:
        """Draw the grid. Wrong predictions have a cross and a frame of vermilion, right ones a tick and a blue one.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        PredictionsDisplay
            Itself, with `ax_`, `figure_` and `axes_`.
        """
        n = len(self.rows)
        n_columns = math.ceil(math.sqrt(n))
        n_lines = math.ceil(n / n_columns)
        ax = drawn_on(self, ax, (1.9 * n_columns, 2.2 * n_lines))
        grid = panels(ax, n_lines, n_columns).ravel()
        for panel in grid[n:]:
            panel.set_axis_off()
        self.axes_ = grid[:n]
        for i, (panel, is_right) in enumerate(zip(self.axes_, self.is_right)):
            colour = QUIET if is_right is None else RIGHT if is_right else WRONG
            framed(panel, self.pictures[i], colour)
            mark = "" if is_right is None else "✓ " if is_right else "✗ "
            sure = "" if self.confidence is None else f" {self.confidence[i]:.0%}"
            true = "" if is_right is None else f"\ntrue: {as_text(self.y_true[i], LONGEST)}"
            predicted = as_text(self.y_pred.tolist()[i], LONGEST)
            panel.set_title(f"{mark}{predicted}{sure}{true}", fontsize="small", color=colour)
        return self


def _equal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([a == b for a, b in zip(first, second.tolist())], dtype=bool)


def _probability(y_proba: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability of each row's label; 0 where it is none of the classes."""
    column = {label: i for i, label in enumerate(classes.tolist())}
    at = np.array([column.get(label, -1) for label in labels.tolist()])
    return np.where(at < 0, 0.0, y_proba[np.arange(len(at)), at])


def _ordered(order: str, known: np.ndarray, right: np.ndarray, of_true: Any, of_predicted: Any) -> np.ndarray:
    """Return the rows as they are shown."""
    rows = np.flatnonzero(known) if known.any() else np.arange(len(known))
    if order == "given":
        return rows
    if order == "most wrong" and known.any():
        keys = (np.zeros(len(known)) if of_true is None else of_true, right)
        return rows[np.lexsort([key[rows] for key in keys])]
    return rows if of_predicted is None else rows[np.argsort(of_predicted[rows], kind="stable")]
