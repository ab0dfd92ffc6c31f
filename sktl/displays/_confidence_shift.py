"""How sure a classifier is in each domain, and how right."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sktl._array_api import n_rows, on_host
from sktl._unlabelled import MARK, as_labels
from sktl.displays._axes import (
    COLOURS,
    QUIET,
    as_text,
    at_most,
    check_count,
    check_drawable,
    drawn_on,
    marker,
    panels,
)
from sktl.displays._rows import UNKNOWN, classes_of, domains_of


@dataclasses.dataclass(eq=False)
class ConfidenceShiftDisplay:
    """Confidence by domain, and where labels are known how often it is right: a reliability diagram by domain.

    A classifier that was calibrated on the source is mostly too sure in the target: its confidence there falls less
    than its accuracy. Without target labels look at the left panel; a mass that moves away from 1 is a warning, one
    that stays is none.

    Parameters
    ----------
    domains : ndarray of shape (n_domains,)
        Names.
    edges : ndarray of shape (n_bins + 1,)
        Of the bins of confidence.
    shares : ndarray of shape (n_domains, n_bins)
        The share of each domain's rows in each bin.
    confidence : ndarray of shape (n_domains, n_bins)
        The mean confidence of rows with a label in each bin; NaN where there is none.
    accuracy : ndarray of shape (n_domains, n_bins)
        The share of these that is right.
    n_known : ndarray of shape (n_domains, n_bins)
        How many these are.
    mean_confidence : ndarray of shape (n_domains,)
        Of all rows.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : ndarray of Axes
        The panel of confidence; and that of reliability, if a label is known.
    histograms_, curves_ : dict of str to StepPatch, Line2D
        By domain.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks", ICML, 2017.
    .. [2] Y. Ovadia et al., "Can you trust your model's uncertainty? Evaluating predictive uncertainty under dataset
       shift", NeurIPS, 2019.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sktl.displays import ConfidenceShiftDisplay
    >>> y_proba = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]
    >>> display = ConfidenceShiftDisplay.from_predictions(
    ...     [0, 0, 1, 1], y_proba, classes=[0, 1], sample_domain=["day", "day", "night", "night"]
    ... )
    >>> display.calibration_error.round(2).tolist()
    [0.15, 0.45]
    """

    domains: np.ndarray
    edges: np.ndarray
    shares: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    n_known: np.ndarray
    mean_confidence: np.ndarray

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        sample_domain: Any = None,
        n_bins: int = 10,
        unlabelled: Any = MARK,
        ax: Any = None,
    ) -> ConfidenceShiftDisplay:
        """Ask a fitted classifier for probabilities, and draw them.

        Parameters
        ----------
        estimator : fitted classifier
            With ``predict_proba``.
        X : array-like or sequence of pictures, n rows
            As in its `fit`; rows that it was not fitted on.
        y : array-like of shape (n,), default=None
            True labels, as far as they are known.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain; by default rows with a label are the source, the others the target.
        n_bins : int, default=10
            Of equal width.
        unlabelled : scalar or None, default=-1
            The label that means unlabelled.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        ConfidenceShiftDisplay

        Raises
        ------
        TypeError, ValueError
            If there are no probabilities, or labels and domains are not one a row.
        """
        check_drawable(cls.__name__, ax)
        if not hasattr(estimator, "predict_proba"):
            raise TypeError(
                f"ConfidenceShiftDisplay needs probabilities, but {type(estimator).__name__} has no predict_proba. "
                "Wrap it in CalibratedClassifierCV."
            )
        n = n_rows(X)
        classes_of(y, n, unlabelled)  # a mistake in y is named before anything is computed
        y_proba = estimator.predict_proba(X)
        return cls.from_predictions(
            y, y_proba, classes=estimator.classes_, sample_domain=sample_domain, n_bins=n_bins, unlabelled=unlabelled,
            ax=ax,
        )  # fmt: skip

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any,
        *,
        classes: Any = None,
        sample_domain: Any = None,
        n_bins: int = 10,
        unlabelled: Any = MARK,
        ax: Any = None,
    ) -> ConfidenceShiftDisplay:
        """Draw probabilities that are there already.

        Parameters
        ----------
        y_true : array-like of shape (n,) or None
            True labels, as far as they are known.
        y_proba : array-like of shape (n, n_classes)
            Probabilities.
        classes : array-like of shape (n_classes,), default=None
            Labels of the columns; needed with labels.
        sample_domain, n_bins, unlabelled, ax
            As in `from_estimator`.

        Returns
        -------
        ConfidenceShiftDisplay
        """
        y_proba = np.asarray(on_host(y_proba), dtype=np.float64)
        if y_proba.ndim != 2 or not len(y_proba) or not ((y_proba >= 0) & (y_proba <= 1 + 1e-6)).all():
            what = f"shape {y_proba.shape}"
            if y_proba.ndim == 2 and len(y_proba):
                odd = y_proba[~((y_proba >= 0) & (y_proba <= 1 + 1e-6))]
                what = f"{odd[0]} among {len(odd)} values that are not from 0 to 1"
            raise ValueError(f"y_proba must be probabilities of shape (n, n_classes); got {what}.")
        check_count(n_bins, "n_bins")
        names, label = classes_of(y_true, len(y_proba), unlabelled, "y_true")
        if len(names) and (classes is None or len(classes) != y_proba.shape[1]):
            raise ValueError(
                f"classes must name the {y_proba.shape[1]} columns of y_proba; got "
                f"{None if classes is None else len(classes)}."
            )
        known = label != UNKNOWN
        domains, of_row = domains_of(sample_domain, len(y_proba), known)
        confidence = y_proba.max(axis=1)
        right = np.zeros(len(known), dtype=bool)
        if known.any():
            of_column, of_label = as_labels(classes).tolist(), names.tolist()
            predicted = y_proba.argmax(axis=1)
            right[known] = [of_column[predicted[i]] == of_label[label[i]] for i in np.flatnonzero(known)]
        edges = np.linspace(0, 1, n_bins + 1)
        bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)  # of (edge, edge]

        def counted(weights: np.ndarray) -> np.ndarray:
            cells = np.bincount(of_row * n_bins + bins, weights, minlength=len(domains) * n_bins)
            return cells.reshape(len(domains), n_bins)

        n_all, n_known = counted(np.ones(len(known))), counted(known)
        with np.errstate(invalid="ignore"):
            mean = counted(known * confidence) / n_known
            accuracy = counted(known & right) / n_known
        sizes = n_all.sum(axis=1)
        overall = np.bincount(of_row, confidence, minlength=len(domains)) / sizes
        return cls(domains, edges, n_all / sizes[:, None], mean, accuracy, n_known.astype(int), overall).plot(ax)

    @property
    def calibration_error(self) -> np.ndarray:
        """Expected calibration error of each domain, (n_domains,); NaN where no label is known."""
        # ECE = sum_b n_b / n |acc_b - conf_b|
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence)) * self.n_known
        with np.errstate(invalid="ignore"):
            return gaps.sum(axis=1) / self.n_known.sum(axis=1)

    def plot(self, ax: Any = None) -> ConfidenceShiftDisplay:
        """Draw the histograms and, where labels are known, the reliability diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        ConfidenceShiftDisplay
            Itself, with `ax_`, `figure_`, `axes_`, `histograms_` and `curves_`.
        """
        has_labels = bool(self.n_known.any())
        ax = drawn_on(self, ax, (9.6 if has_labels else 5.2, 4.2))
        self.axes_ = panels(ax, 1, 2)[0] if has_labels else np.array([ax])
        self.histograms_, self.curves_ = {}, {}
        errors = self.calibration_error
        for i, name in enumerate(self.domains.tolist()):
            colour = COLOURS[i % len(COLOURS)]
            style = ("-", "--", "-.", ":")[(i + i // len(COLOURS)) % 4]
            label = f"{as_text(name)}, mean {self.mean_confidence[i]:.2f}"
            self.histograms_[name] = self.axes_[0].stairs(
                self.shares[i], self.edges, color=colour, linestyle=style, linewidth=2, label=label
            )
            if has_labels and self.n_known[i].any():
                there = self.n_known[i] > 0
                (self.curves_[name],) = self.axes_[1].plot(
                    self.confidence[i][there], self.accuracy[i][there], color=colour, linestyle=style,
                    marker=marker(i), label=f"{as_text(name)}, calibration error {errors[i]:.3f}",
                )  # fmt: skip
        self.axes_[0].set(xlabel="confidence (highest probability)", ylabel="share of the domain's rows", xlim=(0, 1))
        self.axes_[0].legend(handles=at_most(self.axes_[0].get_legend_handles_labels()[0]), fontsize="small")
        if has_labels:
            self.axes_[1].plot([0, 1], [0, 1], color=QUIET, linewidth=1, label="as sure as right", zorder=1)
            self.axes_[1].set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
            self.axes_[1].legend(handles=at_most(self.axes_[1].get_legend_handles_labels()[0]), fontsize="small")
        return self
