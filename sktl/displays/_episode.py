"""A few-shot task on a plane: support, prototypes, queries."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sktl._array_api import n_rows
from sktl._columns import class_labels
from sktl.displays._axes import as_text, at_most, check_drawable, colours, drawn_on
from sktl.displays._codes import codes_of, dense
from sktl.displays._projection import projected


@dataclasses.dataclass(eq=False)
class EpisodeDisplay:
    """A few-shot task: support rows, the prototypes of their classes, and queries by the class predicted for them.

    Queries far from every prototype, or between two, are the ones to look at; wrong ones are ringed.

    Parameters
    ----------
    support, query, prototypes : ndarray of shape (n, 2)
        Points on one plane, that of the principal components of all.
    axis_names : (str, str)
        What the axes are called.
    classes : ndarray of shape (n_classes,)
        Names, in the order of `prototypes`.
    y_support, y_pred : ndarray of shape (n,)
        Numbers of the classes of support rows, and of those predicted for queries.
    is_wrong : ndarray of bool, shape (n,)
        Which queries have another label; none of them where labels are not known.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    scatters_ : dict of (str, class) to PathCollection
        "support", "query" and "prototype" of each class; and "wrong", None.

    References
    ----------
    .. [1] J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning", NeurIPS, 2017.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sktl.displays import EpisodeDisplay
    >>> from sktl.fewshot import ProtoNetClassifier
    >>> X, y = [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0]], ["low", "low", "high", "high"]
    >>> model = ProtoNetClassifier().fit(X, y)
    >>> EpisodeDisplay.from_estimator(model, X, y, [[1.0, 1.0], [4.0, 4.0]], ["low", "low"]).is_wrong.tolist()
    [False, True]
    """

    support: np.ndarray
    query: np.ndarray
    prototypes: np.ndarray
    axis_names: tuple[str, str]
    classes: np.ndarray
    y_support: np.ndarray
    y_pred: np.ndarray
    is_wrong: np.ndarray

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, X_query: Any, y_query: Any = None, *, ax: Any = None
    ) -> EpisodeDisplay:
        """Draw a task that a fitted classifier has learned.

        Parameters
        ----------
        estimator : fitted classifier
            `ProtoNetClassifier`, or any classifier with ``features`` or ``transform``, or of numeric rows.
        X, y : as in its `fit`
            The support set.
        X_query : as X
            Rows to predict.
        y_query : array-like of shape (n_query,), default=None
            Their true labels.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        EpisodeDisplay

        Raises
        ------
        TypeError, ValueError
            If there are no codes, or labels are not one a row.
        """
        check_drawable(cls.__name__, ax)
        labels = class_labels(y, n_rows(X), cls.__name__)
        if y_query is not None:
            y_query = class_labels(y_query, n_rows(X_query), cls.__name__)
        codes, query = (codes_of(estimator, part, cls.__name__) for part in (X, X_query))
        prototypes = getattr(estimator, "prototypes_", None)
        if prototypes is not None and prototypes.ndim != 2:
            raise ValueError("EpisodeDisplay shows tasks of one label a row; this one has several.")
        return cls.from_codes(codes, labels, query, estimator.predict(X_query), y_query, prototypes=prototypes, ax=ax)

    @classmethod
    def from_codes(
        cls, codes: Any, y: Any, query: Any, y_pred: Any, y_query: Any = None, *, prototypes: Any = None, ax: Any = None
    ) -> EpisodeDisplay:
        """Draw a task of which the codes are known.

        Parameters
        ----------
        codes : array-like of shape (n_support, n_codes)
            Of the support set.
        y : array-like of shape (n_support,)
            Its labels.
        query : array-like of shape (n_query, n_codes)
            Codes of the queries.
        y_pred, y_query : array-like of shape (n_query,)
            Predicted and, if they are known, true labels.
        prototypes : array-like of shape (n_classes, n_codes), default=None
            In the order of the sorted classes; by default the mean codes of the classes.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        EpisodeDisplay
        """
        codes, query = dense(codes, cls.__name__), dense(query, cls.__name__)
        classes, of_row = np.unique(class_labels(y, len(codes), cls.__name__), return_inverse=True)
        predicted = class_labels(y_pred, len(query), cls.__name__)
        odd = set(predicted.tolist()) - set(classes.tolist())
        if odd:
            raise ValueError(f"Predicted labels must be classes of the support set; {odd.pop()!r} is none.")
        if prototypes is None:
            prototypes = np.stack([codes[of_row == number].mean(axis=0) for number in range(len(classes))])
        prototypes = dense(prototypes, cls.__name__)
        if not codes.shape[1] == query.shape[1] == prototypes.shape[1] or len(prototypes) != len(classes):
            raise ValueError(
                f"Codes of support and queries, and a prototype for each of {len(classes)} classes, must have the same "
                f"width; got shapes {codes.shape}, {query.shape} and {prototypes.shape}."
            )
        wrong = np.zeros(len(query), dtype=bool)
        if y_query is not None:
            true = class_labels(y_query, len(query), cls.__name__).tolist()
            wrong = np.array([a != b for a, b in zip(predicted.tolist(), true)], dtype=bool)
        points, names = projected(np.concatenate([codes, query, prototypes]), "pca", 0)
        parts = np.split(points, [len(codes), len(codes) + len(query)])
        numbers = np.searchsorted(classes, predicted)
        return cls(parts[0], parts[1], parts[2], names, classes, of_row, numbers, wrong).plot(ax)

    def plot(self, ax: Any = None) -> EpisodeDisplay:
        """Draw support rows as discs, queries as crosses, prototypes as stars; wrong queries are ringed.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        EpisodeDisplay
            Itself, with `ax_`, `figure_` and `scatters_`.
        """
        from matplotlib.lines import Line2D

        ax = drawn_on(self, ax, (6.8, 4.6))
        self.scatters_ = {}
        for number, (name, shade) in enumerate(zip(self.classes.tolist(), colours(len(self.classes)))):
            marks = {
                "query": (self.query[self.y_pred == number], "x", 36),
                "support": (self.support[self.y_support == number], "o", 50),
                "prototype": (self.prototypes[number : number + 1], "*", 260),
            }
            for kind, (points, marker, size) in marks.items():
                edge = {} if kind == "query" else {"edgecolors": "black", "linewidths": 0.8}
                self.scatters_[kind, name] = ax.scatter(*points.T, color=shade, marker=marker, s=size, **edge)
        if self.is_wrong.any():
            self.scatters_["wrong", None] = ax.scatter(
                *self.query[self.is_wrong].T, s=130, facecolors="none", edgecolors="black", linewidths=1
            )
        ax.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xticks=[], yticks=[])
        handles = [
            Line2D([], [], linestyle="", marker="s", color=shade, label=as_text(name))
            for name, shade in zip(self.classes.tolist(), colours(len(self.classes)))
        ]
        handles = at_most(handles)
        kinds = [("o", "support"), ("x", "query, as predicted"), ("*", "prototype")]
        handles += [Line2D([], [], linestyle="", marker=mark, color="#444444", label=text) for mark, text in kinds]
        if self.is_wrong.any():
            ring = {"marker": "o", "markerfacecolor": "none", "markersize": 10, "color": "black"}
            handles.append(Line2D([], [], linestyle="", label="wrong", **ring))  # type: ignore[arg-type]
        ax.legend(handles=handles, bbox_to_anchor=(1.02, 1), loc="upper left", borderaxespad=0)
        return self
