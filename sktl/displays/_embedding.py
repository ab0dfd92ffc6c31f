"""Rows as points on a plane: whether domains lie on one another, and classes apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sktl._array_api import n_rows, take_rows
from sktl._unlabelled import MARK
from sktl.displays._axes import COLOURS, QUIET, as_text, at_most, check_drawable, colours, drawn_on, marker, panels
from sktl.displays._codes import codes_of, dense
from sktl.displays._projection import projected
from sktl.displays._rows import UNKNOWN, classes_of, domains_of, some_rows


@dataclasses.dataclass(eq=False)
class EmbeddingDisplay:
    """Codes of rows as points on a plane, by class (colour) and domain (marker), before and after training.

    After adaptation, points of one class should lie together whichever domain they are of. Start with
    ``method="pca"``: it is linear, so that distances mean something. t-SNE and UMAP show neighbourhoods; sizes of
    groups and distances between them mean nothing there.

    Parameters
    ----------
    points : mapping of str to ndarray of shape (n, 2)
        A panel each, by its title.
    axis_names : mapping of str to (str, str)
        What the axes of each panel are called.
    classes : ndarray of shape (n_classes,)
        Names.
    class_of_row : ndarray of shape (n,)
        The class's number; -1 where the label is not known.
    domains : ndarray of shape (n_domains,)
        Names.
    domain_of_row : ndarray of shape (n,)
        The domain's number.
    rows : ndarray of shape (n,)
        Which rows of X the points are.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : ndarray of Axes
        One a panel.
    scatters_ : dict of (title, class, domain) to PathCollection
        The points; class is None for rows without a label.

    See Also
    --------
    DomainShiftDisplay : In which features domains differ, and how far.

    References
    ----------
    .. [1] L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR, 2008.
    .. [2] L. McInnes, J. Healy and J. Melville, "UMAP: uniform manifold approximation and projection for dimension
       reduction", arXiv:1802.03426, 2018.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl.aligners import CORALAligner
    >>> from sktl.displays import EmbeddingDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 3)), np.repeat([0, 1, -1], 20)  # -1 marks the target
    >>> aligner = CORALAligner().fit(X, y)
    >>> display = EmbeddingDisplay.from_estimator(aligner, X, y, before="input")
    >>> list(display.points), display.domains.tolist()
    (['before', 'after'], ['source', 'target'])
    """

    points: Mapping[str, np.ndarray]
    axis_names: Mapping[str, tuple[str, str]]
    classes: np.ndarray
    class_of_row: np.ndarray
    domains: np.ndarray
    domain_of_row: np.ndarray
    rows: np.ndarray

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        sample_domain: Any = None,
        before: Any = None,
        method: str = "pca",
        unlabelled: Any = MARK,
        max_rows: int = 2000,
        random_state: int = 0,
        ax: Any = None,
    ) -> EmbeddingDisplay:
        """Draw what a fitted estimator makes of rows.

        Parameters
        ----------
        estimator : fitted estimator
            Its codes are its ``features``, else its ``transform``; in a pipeline those of the last step.
        X : array-like or sequence of pictures, n rows
            As in its `fit`.
        y : array-like of shape (n,), default=None
            Labels. Rows without one are grey.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain; by default rows with a label are the source, the others the target.
        before : None, "input", fitted estimator or array of shape (n, n_codes), default=None
            What the first of two panels shows: X itself, another estimator's codes (of a network before adaptation,
            say), or codes.
        method : {"pca", "tsne", "umap"}, default="pca"
            How codes become points; "umap" needs umap-learn.
        unlabelled : scalar or None, default=-1
            The label that means unlabelled, as in `DomainAdaptedClassifier`.
        max_rows : int, default=2000
            More rows are drawn from, each domain in its share.
        random_state : int, default=0
            Fixes which rows, and the embedding.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        TypeError, ValueError
            If there are no codes, or labels and domains are not one a row.
        """
        check_drawable(cls.__name__, ax)
        rows, y, domains = _chosen(n_rows(X), y, sample_domain, unlabelled, max_rows, random_state)
        part = take_rows(X, rows)
        given = None if len(domains[0]) == 1 and sample_domain is None else domains[0][domains[1]]
        spaces = {} if before is None else {"before": _before(before, part, n_rows(X), rows, given)}
        spaces["codes" if before is None else "after"] = codes_of(estimator, part, cls.__name__, sample_domain=given)
        return cls._of(spaces, y, domains, rows, method, random_state).plot(ax)

    @classmethod
    def from_codes(
        cls,
        codes: Any,
        y: Any = None,
        *,
        sample_domain: Any = None,
        before: Any = None,
        method: str = "pca",
        unlabelled: Any = MARK,
        max_rows: int = 2000,
        random_state: int = 0,
        ax: Any = None,
    ) -> EmbeddingDisplay:
        """Draw codes that are there already.

        Parameters
        ----------
        codes : array-like of shape (n, n_codes)
            What is shown.
        before : array-like of shape (n, n_codes_before), default=None
            Codes of the same rows, for a panel before.
        y, sample_domain, method, unlabelled, max_rows, random_state, ax
            As in `from_estimator`.

        Returns
        -------
        EmbeddingDisplay
        """
        check_drawable(cls.__name__, ax)
        codes = dense(codes, cls.__name__)
        rows, y, domains = _chosen(len(codes), y, sample_domain, unlabelled, max_rows, random_state)
        spaces = {} if before is None else {"before": _before(before, None, len(codes), rows, None)}
        spaces["codes" if before is None else "after"] = codes[rows]
        return cls._of(spaces, y, domains, rows, method, random_state).plot(ax)

    @classmethod
    def _of(cls, spaces: dict, y: tuple, domains: tuple, rows: np.ndarray, method: str, random_state: Any) -> Any:
        found = {title: projected(codes, method, random_state) for title, codes in spaces.items()}
        points = {title: points for title, (points, _) in found.items()}
        axis_names = {title: names for title, (_, names) in found.items()}
        return cls(points, axis_names, y[0], y[1], domains[0], domains[1], rows)

    def plot(self, ax: Any = None, *, legend: bool = True, size: float = 18.0) -> EmbeddingDisplay:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default. With two panels its place is divided.
        legend : bool, default=True
            Whether classes and domains are named.
        size : float, default=18.0
            Of the points, in square points.

        Returns
        -------
        EmbeddingDisplay
            Itself, with `ax_`, `figure_`, `axes_` and `scatters_`.
        """
        n = len(self.points)
        ax = drawn_on(self, ax, (5.0 * n + 1.5, 4.5))
        self.axes_ = np.array([ax]) if n == 1 else panels(ax, 1, n)[0]
        self.scatters_ = {}
        for panel, (title, points) in zip(self.axes_, self.points.items()):
            for key, rows, colour, mark in self._groups():
                self.scatters_[title, *key] = panel.scatter(
                    *points[rows].T, s=size, color=colour, marker=mark, alpha=0.7, linewidths=0
                )
            panel.set(xlabel=self.axis_names[title][0], ylabel=self.axis_names[title][1], xticks=[], yticks=[])
            if n > 1:
                panel.set_title(title)
        handles = self._legend() if legend else []
        if handles:
            self.axes_[-1].legend(handles=handles, bbox_to_anchor=(1.02, 1), loc="upper left", borderaxespad=0)
        return self

    def _groups(self) -> Any:
        """Yield (class, domain), its rows, colour and marker; unlabelled rows first, below the others."""
        shades, classes = colours(max(len(self.classes), 1)), self.classes.tolist()
        for label in range(UNKNOWN, len(self.classes)):
            for domain, name in enumerate(self.domains.tolist()):
                rows = (self.class_of_row == label) & (self.domain_of_row == domain)
                if not rows.any():
                    continue
                colour = shades[label] if label != UNKNOWN else QUIET if len(self.classes) else self._of_domain(domain)
                key = (None if label == UNKNOWN else classes[label], name)
                yield key, rows, colour, marker(domain)

    def _of_domain(self, domain: int) -> str:
        return COLOURS[domain % len(COLOURS)]

    def _legend(self) -> list:
        from matplotlib.lines import Line2D

        def entries(names: Any, shades: Any, markers: Any) -> list:
            made = [
                Line2D([], [], linestyle="", color=shade, marker=mark, label=as_text(name))
                for name, shade, mark in zip(names, shades, markers)
            ]
            return at_most(made)

        handles = entries(self.classes.tolist(), colours(max(len(self.classes), 1)), ["o"] * len(self.classes))
        if len(self.classes) and (self.class_of_row == UNKNOWN).any():
            handles.append(Line2D([], [], linestyle="", color=QUIET, marker="o", label="no label"))
        if len(self.domains) > 1:
            markers = [marker(domain) for domain in range(len(self.domains))]
            dark = ["#444444" if len(self.classes) else self._of_domain(i) for i in range(len(self.domains))]
            handles += entries(self.domains.tolist(), dark, markers)
        return handles


def _chosen(n: int, y: Any, sample_domain: Any, unlabelled: Any, max_rows: int, random_state: Any) -> tuple:
    """Return which rows are shown, (classes, each row's), and (domains, each row's)."""
    classes, class_of_row = classes_of(y, n, unlabelled)
    domains, domain_of_row = domains_of(sample_domain, n, class_of_row != UNKNOWN)
    rows = some_rows(domain_of_row, max_rows, random_state)
    return rows, (classes, class_of_row[rows]), (domains, domain_of_row[rows])


def _before(before: Any, X: Any, n: int, rows: np.ndarray, sample_domain: Any) -> np.ndarray:
    name = EmbeddingDisplay.__name__
    if isinstance(before, str) and before == "input" and X is not None:
        return dense(X, name)
    if hasattr(before, "fit"):
        return codes_of(before, X, name, sample_domain=sample_domain)
    if isinstance(before, str):
        raise ValueError(f"before must be 'input', a fitted estimator, or codes of shape (n, n_codes); got {before!r}.")
    codes = dense(before, name)
    if len(codes) != n:
        raise ValueError(f"before must have one row of codes for each of the {n} rows; got {len(codes)}.")
    return codes[rows]
