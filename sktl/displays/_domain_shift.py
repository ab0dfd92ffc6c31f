"""What differs between domains: how far they lie apart, and in which features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from sktl._array_api import n_rows, take_rows
from sktl._unlabelled import MARK
from sktl.displays._axes import COLOURS, as_text, at_most, check_drawable, drawn_on, marker, panels
from sktl.displays._codes import codes_of, dense
from sktl.displays._projection import projected
from sktl.displays._rows import UNKNOWN, classes_of, domains_of, some_rows

N_FOLDS = 5
FEWEST = 4  # rows of a domain
MOST_NUMBERS, MOST_NAMES = 10, 20  # domains whose distances are written, and domains whose names are


@dataclasses.dataclass(eq=False)
class DomainShiftDisplay:
    """How far domains lie apart, and in which features: an embedding, the proxy A-distance, the features that differ.

    The proxy A-distance says how well a linear classifier tells two domains apart: 0 not at all, 2 without an error.
    Features are compared by the Kolmogorov-Smirnov statistic, the largest difference between two distributions'
    cumulated shares: 0 where they are the same, 1 where they do not overlap. Where one feature tells all, look at how
    it was measured before anything is adapted.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        Rows on a plane.
    axis_names : (str, str)
        What the axes are called.
    domains : ndarray of shape (n_domains,)
        Names.
    domain_of_row : ndarray of shape (n,)
        The domain's number.
    rows : ndarray of shape (n,)
        Which rows of X the points are.
    distances : ndarray of shape (n_domains, n_domains)
        Proxy A-distances between each two domains.
    feature_names : ndarray of shape (n_features,)
        In the order of the columns.
    statistics : ndarray of shape (n_features,)
        The Kolmogorov-Smirnov statistic, the largest between any two domains.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    axes_ : ndarray of Axes
        Embedding, features, and with more than two domains their distances.
    scatters_ : dict of str to PathCollection
        By domain.
    bars_ : BarContainer
        Of the features that differ most.

    See Also
    --------
    EmbeddingDisplay : The same with classes, before and after an adaptation.

    References
    ----------
    .. [1] S. Ben-David, J. Blitzer, K. Crammer and F. Pereira, "Analysis of representations for domain adaptation",
       NeurIPS, 2006.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl.displays import DomainShiftDisplay
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> X[40:, 1] += 5
    >>> display = DomainShiftDisplay.from_codes(X, np.repeat(["day", "night"], 40), feature_names=["a", "b", "c"])
    >>> display.distances[0, 1] > 1.5, display.worst_features(1)
    (np.True_, ['b'])
    """

    points: np.ndarray
    axis_names: tuple[str, str]
    domains: np.ndarray
    domain_of_row: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    feature_names: np.ndarray
    statistics: np.ndarray

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        sample_domain: Any = None,
        method: str = "pca",
        unlabelled: Any = MARK,
        max_rows: int = 2000,
        random_state: int = 0,
        ax: Any = None,
    ) -> DomainShiftDisplay:
        """Compare domains by what a fitted estimator makes of their rows.

        Parameters
        ----------
        estimator : fitted estimator
            Its codes are its ``features``, else its ``transform``; in a pipeline those of the last step.
        X : array-like or sequence of pictures, n rows
            As in its `fit`.
        y : array-like of shape (n,), default=None
            Labels; without `sample_domain` they say which rows are the source (labelled) and the target (not).
        sample_domain : array-like of shape (n,), default=None
            Each row's domain.
        method : {"pca", "tsne", "umap"}, default="pca"
            How codes become points.
        unlabelled : scalar or None, default=-1
            The label that means unlabelled.
        max_rows : int, default=2000
            More rows are drawn from, each domain in its share.
        random_state : int, default=0
            Fixes rows, folds and the embedding.
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.

        Returns
        -------
        DomainShiftDisplay

        Raises
        ------
        TypeError, ValueError
            If there are no codes, or fewer than two domains of at least 4 rows.
        """
        check_drawable(cls.__name__, ax)
        n = n_rows(X)
        domain = _each_domain(y, sample_domain, unlabelled, n)
        rows = some_rows(np.unique(domain, return_inverse=True)[1], max_rows, random_state)
        codes = codes_of(estimator, take_rows(X, rows), cls.__name__, sample_domain=domain[rows])
        names = getattr(estimator, "get_feature_names_out", None)
        try:
            names = None if names is None else names()
        except (AttributeError, ValueError):  # a step of a pipeline has none
            names = None
        names = names if names is not None and len(names) == codes.shape[1] else None
        return cls._of(codes, domain[rows], rows, names, method, random_state).plot(ax)

    @classmethod
    def from_codes(
        cls,
        codes: Any,
        sample_domain: Any,
        *,
        feature_names: Sequence[str] | None = None,
        method: str = "pca",
        max_rows: int = 2000,
        random_state: int = 0,
        ax: Any = None,
    ) -> DomainShiftDisplay:
        """Compare domains by codes, or by a table as it is.

        Parameters
        ----------
        codes : array-like or data frame of shape (n, n_features)
            Numbers.
        sample_domain : array-like of shape (n,)
            Each row's domain.
        feature_names : sequence of str, default=None
            By default a data frame's columns, or numbers.
        method, max_rows, random_state, ax
            As in `from_estimator`.

        Returns
        -------
        DomainShiftDisplay
        """
        check_drawable(cls.__name__, ax)
        if feature_names is None and hasattr(codes, "columns"):
            feature_names = [str(column) for column in codes.columns]
        codes = dense(codes, cls.__name__)
        domain = _each_domain(None, sample_domain, MARK, len(codes))
        rows = some_rows(np.unique(domain, return_inverse=True)[1], max_rows, random_state)
        return cls._of(codes[rows], domain[rows], rows, feature_names, method, random_state).plot(ax)

    @classmethod
    def _of(
        cls, codes: np.ndarray, domain: np.ndarray, rows: np.ndarray, names: Any, method: str, random_state: Any
    ) -> DomainShiftDisplay:
        from scipy.stats import ks_2samp

        domains, of_row, counts = np.unique(domain, return_inverse=True, return_counts=True)
        if len(domains) < 2 or counts.min() < FEWEST:
            found = ", ".join(f"{name!r}: {n}" for name, n in zip(domains.tolist(), counts.tolist()))
            raise ValueError(f"Domains are compared from two on, of at least {FEWEST} rows each; got {found}.")
        names = np.array([f"feature {i}" for i in range(codes.shape[1])] if names is None else names, dtype=object)
        if names.shape != (codes.shape[1],):
            raise ValueError(f"feature_names must name the {codes.shape[1]} columns; got {len(names)}.")
        points, axis_names = projected(codes, method, random_state)
        distances = np.zeros((len(domains), len(domains)))
        statistics = np.zeros(codes.shape[1])
        for first in range(len(domains)):
            for second in range(first + 1, len(domains)):
                a, b = codes[of_row == first], codes[of_row == second]
                distances[first, second] = distances[second, first] = _a_distance(a, b, random_state)
                statistics = np.maximum(statistics, ks_2samp(a, b, method="asymp").statistic)
        return cls(points, axis_names, domains, of_row, rows, distances, names, statistics)

    def worst_features(self, n: int = 10) -> list[str]:
        """Return the names of the `n` features that differ most, the worst first."""
        return self.feature_names[np.argsort(-self.statistics, kind="stable")[:n]].tolist()

    def plot(self, ax: Any = None, *, n_features: int = 10) -> DomainShiftDisplay:
        """Draw the embedding, the features that differ most, and with more than two domains their distances.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default; its place is divided.
        n_features : int, default=10
            At most.

        Returns
        -------
        DomainShiftDisplay
            Itself, with `ax_`, `figure_`, `axes_`, `scatters_` and `bars_`.
        """
        n = 2 + (len(self.domains) > 2)
        ax = drawn_on(self, ax, (5.0 * n, 4.4))
        self.axes_ = panels(ax, 1, n)[0]
        plane, features = self.axes_[:2]
        self.scatters_ = {}
        for i, name in enumerate(self.domains.tolist()):
            self.scatters_[name] = plane.scatter(
                *self.points[self.domain_of_row == i].T, s=18, color=COLOURS[i % len(COLOURS)],
                marker=marker(i), alpha=0.7, linewidths=0, label=as_text(name),
            )  # fmt: skip
        plane.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xticks=[], yticks=[])
        if n == 2:
            plane.set_title(f"proxy A-distance {self.distances[0, 1]:.2f} of 2", fontsize="medium")
        plane.legend(handles=at_most(plane.get_legend_handles_labels()[0]))
        worst = np.argsort(-self.statistics, kind="stable")[:n_features][::-1]
        self.bars_ = features.barh(range(len(worst)), self.statistics[worst], color=COLOURS[0])
        features.set_yticks(range(len(worst)), [as_text(name) for name in self.feature_names[worst]])
        features.set(xlim=(0, 1), xlabel="Kolmogorov-Smirnov statistic")
        features.set_title("features that differ most", fontsize="medium")
        if n == 3:
            self._draw_distances(self.axes_[2])
        return self

    def _draw_distances(self, ax: Any) -> None:
        image = ax.imshow(self.distances, vmin=0, vmax=2, cmap="cividis")
        size = "medium" if len(self.domains) <= 5 else "x-small"
        if len(self.domains) > MOST_NUMBERS:
            ax.figure.colorbar(image, ax=ax, shrink=0.7)
        names = [as_text(name) for name in self.domains.tolist()]
        step = -(-len(names) // MOST_NAMES)
        ax.set_xticks(range(0, len(names), step), names[::step], rotation=45, ha="right")
        ax.set_yticks(range(0, len(names), step), names[::step])
        for (row, column), distance in np.ndenumerate(self.distances):
            if len(names) > MOST_NUMBERS:  # the colours say it
                break
            colour = "white" if distance < 1 else "black"
            ax.text(column, row, f"{distance:.2f}", ha="center", va="center", color=colour, fontsize=size)
        ax.set_title("proxy A-distance, of 2", fontsize="medium")


def _each_domain(y: Any, sample_domain: Any, unlabelled: Any, n: int) -> np.ndarray:
    _, class_of_row = classes_of(y, n, unlabelled)
    names, of_row = domains_of(sample_domain, n, class_of_row != UNKNOWN)
    if len(names) < 2:
        raise ValueError(
            "DomainShiftDisplay compares domains, but there is only one. Name each row's domain in sample_domain, or "
            "mark the target's rows as unlabelled in y."
        )
    return names[of_row]


def _a_distance(first: np.ndarray, second: np.ndarray, random_state: Any) -> float:
    """Return the proxy A-distance of two samples."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes = np.concatenate([first, second])
    domain = np.repeat([0, 1], [len(first), len(second)])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedKFold(min(N_FOLDS, len(first), len(second)), shuffle=True, random_state=random_state)
    # d_A = 2 (1 - 2 e), e the error on rows held out, of both domains alike; chance is 0
    error = 1 - cross_val_score(model, codes, domain, cv=folds, scoring="balanced_accuracy").mean()
    return max(0.0, 2 * (1 - 2 * error))
