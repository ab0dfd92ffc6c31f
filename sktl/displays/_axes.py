"""What all displays draw with: axes, panels, colours that are told apart by everybody, and text as it is."""

from __future__ import annotations

import importlib
from datetime import datetime, time
from numbers import Integral
from typing import Any

import numpy as np

# M. Okabe and K. Ito, "Color universal design", 2008; yellow is last, for it is faint on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# M. A. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270, 2021
TEN_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"
)  # fmt: skip
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
RIGHT, WRONG, QUIET = "#0072B2", "#D55E00", "#999999"
LONGEST = 40  # characters of a name
LONGEST_LEGEND = 12  # names


def as_text(value: Any, most: int = LONGEST) -> str:
    """Return a name as matplotlib shows it: on one line, not too long, and never read as a formula, nor left out."""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    text = " ".join(str(value).split()) or "(empty)"
    text = f" {text}" if text.startswith("_") else text  # legends leave out what begins so
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return text.replace("$", r"\$")


def colours(n: int) -> list[Any]:
    """Return `n` colours that colour-blind readers tell apart, as far as that is possible."""
    if n <= len(COLOURS):
        return list(COLOURS[:n])
    if n <= len(TEN_COLOURS):
        return list(TEN_COLOURS[:n])
    cividis = importlib.import_module("matplotlib").colormaps["cividis"]
    return [cividis(share) for share in np.linspace(0, 1, n)]


def marker(i: int) -> str:
    """Return the marker of the i-th of many, of which the first 64 differ in colour or marker."""
    return MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]


def lonely(values: Any) -> dict[str, Any]:
    """Return options of `plot` by which values that have no neighbour, which a line leaves out, are marked."""
    there = np.concatenate([[False], np.isfinite(values), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    return {"marker": "o", "markersize": 5, "markevery": alone.tolist()} if alone.any() else {}


def check_count(value: Any, name: str) -> None:
    """Raise a ValueError unless it is a whole number, 1 or more."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}.")


def at_most(handles: list[Any], most: int = LONGEST_LEGEND) -> list[Any]:
    """Return a legend's handles, so many that it does not grow over the figure, and how many are left out."""
    from matplotlib.lines import Line2D

    if len(handles) <= most:
        return handles
    rest = Line2D([], [], linestyle="", label=f"… and {len(handles) - most + 1} more")
    return [*handles[: most - 1], rest]


def check_drawable(name: str, ax: Any) -> None:
    """See that a display can be drawn, before anything is computed for it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `ax` is not one Axes.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError(f"{name} draws by matplotlib, which is not installed: pip install sktl[plot].") from error
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be one Axes of matplotlib, or None for a new figure; got {type(ax).__name__}. A display of "
            "several panels divides the place of that one Axes itself."
        )


def drawn_on(display: Any, ax: Any, size: tuple[float, float] | None = None) -> Any:
    """Return the axes to draw on, a new figure's where `ax` is None, and note them on the display.

    Raises what `check_drawable` raises.
    """
    check_drawable(type(display).__name__, ax)
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def panels(ax: Any, n_rows: int, n_columns: int, **ratios: Any) -> np.ndarray:
    """Divide the place of one Axes, which becomes invisible, into a grid of Axes (n_rows, n_columns)."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    ax.set_axis_off()
    place = ax.get_subplotspec()
    out = np.empty((n_rows, n_columns), dtype=object)
    if place is not None:
        grid = GridSpecFromSubplotSpec(n_rows, n_columns, place, **ratios)
        for at in np.ndindex(out.shape):
            out[at] = ax.figure.add_subplot(grid[at])
        return out
    for row, column in np.ndindex(out.shape):  # axes that were placed by hand
        left, bottom = (column + 0.1) / n_columns, 1 - (row + 0.9) / n_rows
        out[row, column] = ax.inset_axes((left, bottom, 0.8 / n_columns, 0.8 / n_rows))
    return out


def needed(module: str, display: str, install: str) -> Any:
    """Import an optional package.

    Raises
    ------
    ImportError
        If it is not installed: what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{display} needs {module.partition('.')[0]}, which is not installed: {install}.") from error
