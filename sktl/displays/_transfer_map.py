"""Where data sets stand in the four quadrants of transfer learning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sktl.displays._axes import COLOURS, MARKERS, QUIET, as_text, drawn_on

QUADRANTS = {  # what is advised there, as a rule
    ("small", "similar"): "codes of the last layer",
    ("large", "similar"): "fine-tune",
    ("small", "unlike"): "codes of earlier layers",
    ("large", "unlike"): "train all layers",
}
TINTS = ("#e3f0f8", "#e2f3ee", "#fbeadf", "#f5e6f0")
LONGEST = 30  # characters of a name
CHARACTER = 0.0105  # width of one in a label, as a share of the map's
HALF = 0.045  # half the height of a label, as a share of the map's


@dataclasses.dataclass(eq=False)
class TransferMapDisplay:
    """The map of a `TransferAdvisor`: how many labels there are, and how like the network's source the data are.

    The rule has four quadrants: few or many labelled rows, like or unlike what the network has learned from. A data set
    near a border belongs to both sides: compare what the report says of them.

    Parameters
    ----------
    names : list of str
        Of the data sets.
    n_labelled : ndarray of shape (n_sets,)
        Labelled rows of each.
    similarities : ndarray of shape (n_sets,)
        From 0 to 1.
    strategies : list of str
        What the advisor advises for each.
    large_from, similar_from : float
        The borders.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        After `plot`.
    points_ : list of Line2D
        One a data set.
    texts_ : list of Annotation
        Their labels.

    See Also
    --------
    sktl.TransferAdvisor : What measures and advises.
    LayerAccuracyDisplay : What each layer is worth.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from sktl import TransferAdvisor
    >>> from sktl.displays import TransferMapDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(12) % 2
    >>> X = (rng.uniform(0, 60, (12, 32, 32)) + 150 * y[:, None, None]).astype(np.uint8)
    >>> advisor = TransferAdvisor(image_size=32).fit(X, y)
    >>> TransferMapDisplay.from_estimator(advisor).n_labelled.tolist()
    [12]
    """

    names: list[str]
    n_labelled: np.ndarray
    similarities: np.ndarray
    strategies: list[str]
    large_from: float = 1000
    similar_from: float = 0.5

    @classmethod
    def from_estimator(cls, estimator: Any, *, name: str = "this data set", ax: Any = None) -> TransferMapDisplay:
        """Draw where the data set of one advisor stands.

        Parameters
        ----------
        estimator : fitted TransferAdvisor
            The advisor.
        name : str, default="this data set"
            What the data set is called.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        TransferMapDisplay
        """
        return cls.from_estimators({name: estimator}, ax=ax)

    @classmethod
    def from_estimators(cls, estimators: Mapping[str, Any], *, ax: Any = None) -> TransferMapDisplay:
        """Draw where the data sets of several advisors stand.

        Parameters
        ----------
        estimators : mapping of str to fitted TransferAdvisor
            By the names of their data sets; their borders must be the same.
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        TransferMapDisplay

        Raises
        ------
        TypeError, ValueError
            If one of them is no advisor, or measured no similarity, or the borders differ.
        """
        if not isinstance(estimators, Mapping) or not estimators:
            raise TypeError("estimators must be a mapping of names to fitted TransferAdvisors, with one at least.")
        borders = set()
        for name, advisor in estimators.items():
            if not all(hasattr(advisor, parameter) for parameter in ("large_from", "similar_from")):
                raise TypeError(f"{name!r} must be a fitted TransferAdvisor; got {type(advisor).__name__}.")
            check_is_fitted(advisor, "strategy_")
            if advisor.similarity_ is None:
                raise ValueError(
                    f"The advisor of {name!r} measured no similarity: rows of features were given, and no network that "
                    "they could be like."
                )
            borders.add((advisor.report_.large_from, advisor.report_.similar_from))
        if len(borders) > 1:
            raise ValueError(f"Advisors must have the same large_from and similar_from; got {sorted(borders)}.")
        found = list(estimators.values())
        return cls(
            list(map(str, estimators)),
            np.array([advisor.report_.n_labelled for advisor in found]),
            np.array([advisor.similarity_ for advisor in found], dtype=float),
            [advisor.strategy_ for advisor in found],
            *borders.pop(),
        ).plot(ax)

    def plot(self, ax: Any = None) -> TransferMapDisplay:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure's by default.

        Returns
        -------
        TransferMapDisplay
            Itself, with `ax_`, `figure_`, `points_` and `texts_`.
        """
        n_sets = len(self.names)
        half = min(HALF, 0.5 / n_sets)
        ax = drawn_on(self, ax, (7.2, 5.4 * HALF / half))
        # As far to the left of the border as to the right, so that the quadrants are of one size.
        reach = max(30.0, *(2 * max(n / self.large_from, self.large_from / n) for n in np.maximum(self.n_labelled, 1)))
        ends = self.large_from / reach, self.large_from * reach
        ax.set(
            xscale="log", xlim=ends, ylim=(0, 1), xlabel="labelled rows", ylabel="similarity to the network's source"
        )
        edges = {"small": (ends[0], self.large_from), "large": (self.large_from, ends[1])}
        heights = {"unlike": (0.0, self.similar_from), "similar": (self.similar_from, 1.0)}
        for ((size, kind), advice), tint in zip(QUADRANTS.items(), TINTS):
            ax.fill_between(edges[size], *heights[kind], color=tint, zorder=0, linewidth=0)
            place, at = (0.015 if size == "small" else 0.515, heights[kind][1] - 0.02), {"transform": ax.transAxes}
            ax.text(*place, f"{size}, {kind}", fontweight="bold", va="top", **at)
            ax.text(place[0], place[1] - 0.055, advice, va="top", color="#555555", fontsize="small", **at)
        ax.axhline(self.similar_from, color=QUIET, linewidth=0.8)
        ax.axvline(self.large_from, color=QUIET, linewidth=0.8)
        self.points_, self.texts_ = [], []
        places = _apart(self.similarities, half)
        for i, (name, n, alike) in enumerate(zip(self.names, self.n_labelled, self.similarities)):
            style = {"color": COLOURS[i % 7], "marker": MARKERS[i % len(MARKERS)]}
            (point,) = ax.plot(n, alike, markersize=11, markeredgecolor="white", zorder=3, linestyle="", **style)
            self.points_.append(point)
            across = np.log(max(n, 1) / ends[0]) / np.log(ends[1] / ends[0])
            label = f"{as_text(name, LONGEST)}\nadvice: {as_text(self.strategies[i])}"
            width = CHARACTER * max(map(len, label.split("\n")))
            is_left = across + 0.04 + width < 1 or across < 0.5
            text = ax.annotate(
                label, (n, alike), (18 if is_left else -18, places[i]),
                textcoords=("offset points", "data"), va="center", ha="left" if is_left else "right", fontsize="small",
                zorder=4, bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
                arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.8},
            )  # fmt: skip
            self.texts_.append(text)
        return self


def _apart(heights: np.ndarray, half: float) -> np.ndarray:
    """Return heights from 0 to 1 at which labels stand, each where it belongs or as near as the others leave room."""
    order = np.argsort(heights, kind="stable")
    found = np.asarray(heights, dtype=float)[order]
    for k in range(len(found)):
        found[k] = max(found[k], found[k - 1] + 2 * half if k else half)
    for k in reversed(range(len(found))):
        found[k] = min(found[k], found[k + 1] - 2 * half if k + 1 < len(found) else 1 - half)
    return found[np.argsort(order)]
