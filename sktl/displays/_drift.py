"""How data and accuracies change from period to period, beside controls that cost nothing."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._domain_names import as_python
from sktl._periods import in_order_of_time
from sktl._unlabelled import MARK, as_labels, is_labelled, known_labels
from sktl.displays._axes import COLOURS, QUIET, as_text, check_drawable, drawn_on, lonely, marker, panels
from sktl.displays._rows import some_rows
from sktl.metrics.distances import proxy_a_distance

LAST_LABEL, FROZEN = "the last label again", "never fitted again"
MOST_ROWS = 1000  # of two periods, whose distance is measured
FEWEST = 4  # rows of a period, for its distance


@dataclasses.dataclass(eq=False)
class DriftDisplay:
    """Accuracy from period to period, beside two controls, and how far each period lies from the one before it.

    Each period is predicted by what could be known when it began: all rows up to its end, and the labels of the periods
    before it. The controls are the first estimator, fitted to the first period and never again; and the last label
    before each row, which knows the labels of its own period row by row. Where labels come in runs, as prices rise for
    hours, this control is high, and a model of rows that does not reach it has not shown that it is of use; but it can
    only be had where each label comes before the next row.

    Parameters
    ----------
    periods : ndarray of shape (n_periods,)
        Names of those that were predicted, in the order of time.
    accuracies : mapping of str to ndarray of shape (n_periods,)
        By the name of what predicted; NaN in periods without labels.
    controls : tuple of str
        Which of these are controls.
    distances : ndarray of shape (n_periods,) or None
        Proxy A-distance of each period from the one before it: 0 for periods alike, 2 for those told apart without an
        error.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : dict of str to Axes
        "accuracy", and "distance" where distances are known.
    lines_ : dict of str to Line2D
        By the names in `accuracies`, and "distance".

    See Also
    --------
    DomainShiftDisplay : In which features two periods differ.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktl.adaptation import RollingAdaptedClassifier
    >>> from sktl.aligners import LabelledOnly
    >>> from sktl.displays import DriftDisplay
    >>> rng = np.random.default_rng(0)
    >>> month = np.repeat(np.arange(6), 50)
    >>> y = rng.integers(2, size=300)
    >>> X = rng.normal(size=(300, 2)) + 3 * y[:, None] + month[:, None]
    >>> model = RollingAdaptedClassifier(LabelledOnly(LogisticRegression()), window=1)
    >>> display = DriftDisplay.from_estimators({"rolling": model}, X, y, sample_domain=month)
    >>> list(display.accuracies)
    ['rolling', 'never fitted again', 'the last label again']
    >>> display.mean_accuracy["rolling"] > display.mean_accuracy["never fitted again"]
    True
    """

    periods: np.ndarray
    accuracies: Mapping[str, np.ndarray]
    controls: tuple[str, ...] = ()
    distances: np.ndarray | None = None

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: Any,
        y: Any,
        *,
        sample_domain: Any,
        unlabelled: Any = MARK,
        random_state: int = 0,
        ax: Any = None,
    ) -> DriftDisplay:
        """Predict each period but the first by clones that know what was known when it began.

        Parameters
        ----------
        estimators : mapping of str to classifier
            By name. Each is given all rows up to the period's end, with the mark of unlabelled rows in the period, and
            the periods as ``sample_domain`` if its `fit` takes them.
        X : array-like, sparse matrix or sequence of n rows
            In the order of time within a period.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        sample_domain : array-like of shape (n,)
            Each row's period: a number, a date, an ordered category, or text that sorts by time.
        unlabelled : scalar or None, default=-1
            The label that means unlabelled; with None, missing values alone do.
        random_state : int, default=0
            Of the rows by which distances are measured.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        DriftDisplay

        Raises
        ------
        TypeError, ValueError
            If estimators are no mapping, there are fewer than two periods, or the first one has no label.
        """
        check_drawable(cls.__name__, ax)
        if not isinstance(estimators, Mapping) or not estimators:
            raise TypeError(f"estimators must be a dict of classifiers by name; got {type(estimators).__name__}.")
        taken = [name for name in estimators if name in (FROZEN, LAST_LABEL)]
        if taken:
            raise ValueError(f"The name {taken[0]!r} is that of a control; give the estimator another one.")
        X, labels = rows_on_host(X), as_labels(y)
        names, of_row = in_order_of_time(sample_domain, n_rows(X))
        order = np.argsort(of_row, kind="stable")
        X, labels, of_row = take_rows(X, order), labels[order], of_row[order]
        known = is_labelled(labels, unlabelled)
        if len(names) < 2 or not known[of_row == 0].any():
            raise ValueError(
                f"Drift is shown from two periods on, the first of which has labels; got {len(names)} periods, and "
                f"{int(known[of_row == 0].sum())} labels in the first."
            )
        mark, marked = _mark(labels, unlabelled)
        first = np.flatnonzero((of_row == 0) & known)
        frozen = _fitted(next(iter(estimators.values())), take_rows(X, first), marked[first], of_row[first])
        found: dict[str, list[float]] = {name: [] for name in (*estimators, FROZEN, LAST_LABEL)}
        for number in range(1, len(names)):
            rows, tested = np.flatnonzero(of_row <= number), np.flatnonzero((of_row == number) & known)
            if not len(tested):
                for values in found.values():
                    values.append(np.nan)
                continue
            seen = marked[rows].copy()
            seen[of_row[rows] == number] = mark
            X_tested, truth = take_rows(X, tested), known_labels(labels, tested)
            models = {name: _fitted(one, take_rows(X, rows), seen, of_row[rows]) for name, one in estimators.items()}
            for name, model in (models | {FROZEN: frozen}).items():
                found[name].append(float(np.mean(np.asarray(model.predict(X_tested)) == truth)))
            found[LAST_LABEL].append(_last_label(labels, known, tested))
        distances = _distances(X, of_row, len(names), random_state)
        accuracies = {name: np.array(values) for name, values in found.items()}
        return cls(names[1:], accuracies, (FROZEN, LAST_LABEL), distances).plot(ax)

    @property
    def mean_accuracy(self) -> dict[str, float]:
        """Mean over the periods that have labels, by name."""
        return {name: float(np.nanmean(values)) for name, values in self.accuracies.items()}

    def plot(self, ax: Any = None) -> DriftDisplay:
        """Draw the accuracies and, below them, the distances.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        DriftDisplay
            Itself, with `ax_`, `figure_`, `axes_` and `lines_`.
        """
        ax = drawn_on(self, ax, (7.6, 5.4 if self.distances is not None else 4.0))
        if self.distances is None:
            self.axes_ = {"accuracy": ax}
        else:
            self.axes_ = dict(zip(("accuracy", "distance"), panels(ax, 2, 1, height_ratios=(3, 1))[:, 0]))
        self.lines_: dict[str, Any] = {}
        at = np.arange(len(self.periods))
        top, n_models, n_all = self.axes_["accuracy"], 0, len(set(self.accuracies) - set(self.controls))
        for name, values in self.accuracies.items():
            label = f"{as_text(name)}, mean {np.nanmean(values):.3f}"
            if name in self.controls:
                style = ("--", ":")[self.controls.index(name) % 2]
                (self.lines_[name],) = top.plot(
                    at, values, style, color=QUIET, linewidth=1.8, label=label, **lonely(values)
                )
                continue
            size = 4 + 3 * max(0, n_all - n_models - 1)  # a model that is equal to a later one is seen behind it
            (self.lines_[name],) = top.plot(
                at, values, "-", color=COLOURS[n_models % len(COLOURS)], marker=marker(n_models), label=label,
                markersize=min(size, 13), linewidth=min(1.5 + (size - 4) / 3, 4.5),
            )  # fmt: skip
            n_models += 1
        top.set_ylabel("accuracy in the period")
        top.legend(fontsize="small")
        if self.distances is not None:
            below = self.axes_["distance"]
            (self.lines_["distance"],) = below.plot(at, self.distances, color=COLOURS[2], marker="o", markersize=3)
            below.set_ylabel("proxy A-distance\nfrom the one before", fontsize="small")
            below.set_ylim(min(0.0, float(np.nanmin([0, *self.distances]))) - 0.05, 2.05)
            top.tick_params(labelbottom=False)
        last = list(self.axes_.values())[-1]
        step = -(-len(at) // 12)
        for panel in self.axes_.values():
            panel.set_xticks(at[::step])
            panel.set_xlim(-0.03 * len(at) - 0.1, len(at) - 0.9 + 0.03 * len(at))
        last.set_xticklabels([as_text(name) for name in as_python(self.periods[::step])])
        last.set_xlabel("period")
        return self


def _mark(labels: np.ndarray, unlabelled: Any) -> tuple[Any, np.ndarray]:
    """Return the mark of unlabelled rows, and labels of a type that holds it."""
    if unlabelled is None or labels.dtype.kind not in "iuf":
        return (None if unlabelled is None else unlabelled), labels.astype(object)
    return unlabelled, labels.astype(np.result_type(labels.dtype, np.min_scalar_type(unlabelled)))


def _fitted(estimator: Any, X: Any, y: np.ndarray, of_row: np.ndarray) -> Any:
    domains = {"sample_domain": of_row} if has_fit_parameter(estimator, "sample_domain") else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No row is unlabelled|There is no target row", category=UserWarning)
        return clone(estimator).fit(X, y, **domains)


def _last_label(labels: np.ndarray, known: np.ndarray, tested: np.ndarray) -> float:
    """Return how often a row has the label of the last labelled row before it."""
    numbers = np.flatnonzero(known)
    before = numbers[np.searchsorted(numbers, tested) - 1]
    return float(np.mean([labels[row] == labels[last] for row, last in zip(tested, before)]))


def _distances(X: Any, of_row: np.ndarray, n: int, random_state: int) -> np.ndarray | None:
    """Return each period's distance from the one before; None where rows are no table of numbers."""
    if not sparse.issparse(X):
        try:
            X = np.asarray(X, dtype=np.float64)
        except (TypeError, ValueError):
            return None
        X = np.nan_to_num(X.reshape(len(X), -1))
    out = np.full(n - 1, np.nan)
    for number in range(1, n):
        pair = np.flatnonzero((of_row == number) | (of_row == number - 1))
        pair = pair[some_rows(of_row[pair], MOST_ROWS, random_state)]
        before, here = pair[of_row[pair] < number], pair[of_row[pair] == number]
        if min(len(before), len(here)) >= FEWEST:
            out[number - 1] = proxy_a_distance(X[before], X[here], C=1.0, random_state=random_state)
    return out
