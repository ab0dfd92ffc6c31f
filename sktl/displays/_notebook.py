"""Estimators in notebooks: scikit-learn's diagram, and below it what was learned."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from sklearn.utils import estimator_html_repr

from sktl.displays._learned import learned_by

WIDTH, HEIGHT, MARGIN = 160, 36, 3  # of the drawing of losses, in pixels
WORDS = {"train": "training", "valid": "validation"}
# Text takes the page's colours, and both lines stand out on white and on black.
STYLE = """<style>
.sktl-learned { color: inherit; font-size: 0.9em; margin: 0.4em 0; }
.sktl-learned table { border-collapse: collapse; margin: 0; }
.sktl-learned tr, .sktl-learned td, .sktl-learned th { background: transparent !important; color: inherit; }
.sktl-learned td, .sktl-learned th {
  border: 0; border-top: 1px solid rgba(128, 128, 128, 0.4); padding: 0.2em 0.8em 0.2em 0.2em;
  text-align: left; vertical-align: middle; max-width: 48em; overflow-wrap: anywhere; white-space: normal;
}
.sktl-learned th { font-weight: 600; white-space: nowrap; }
.sktl-learned svg { vertical-align: middle; margin-right: 0.6em; }
.sktl-learned polyline { fill: none; stroke-width: 1.5; }
.sktl-learned .sktl-train { stroke: #2f81c7; fill: #2f81c7; }
.sktl-learned .sktl-valid { stroke: #d55e00; fill: #d55e00; stroke-dasharray: 4 2; }
.sktl-learned polyline.sktl-train, .sktl-learned polyline.sktl-valid { fill: none; }
</style>"""


class ShowsWhatWasLearned:
    """Mixin before `BaseEstimator`: a fitted estimator's HTML has the network, its losses, classes and domains."""

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, and a table below it; the plain ``repr`` is scikit-learn's alone."""
        learned = learned_by(self)
        diagram = _diagram(self)
        if learned is None or not (learned.lines or learned.losses):
            return diagram
        rows = [(name, escape(text)) for name, text in learned.lines.items()]
        if learned.losses:
            at = next((i + 1 for i, (name, _) in enumerate(rows) if name == "time"), len(rows))
            rows.insert(at, ("losses", _sparkline(learned.losses) + escape(_last(learned.losses))))
        cells = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{cell}</td></tr>' for name, cell in rows)
        return f'{diagram}{STYLE}<div class="sktl-learned"><table><tbody>{cells}</tbody></table></div>'


def _diagram(estimator: Any) -> str:
    """Return scikit-learn's diagram; where it fails, for it asks for every attribute, the plain text."""
    try:
        return estimator_html_repr(estimator)
    except Exception:  # of a property: a device that is not here, weights that are gone
        return f"<pre>{escape(repr(estimator))}</pre>"


def _last(losses: dict[str, np.ndarray]) -> str:
    last = {name: curve[np.isfinite(curve)] for name, curve in losses.items()}
    return ", ".join(f"{WORDS[name]} {curve[-1]:.3g}" for name, curve in last.items() if len(curve))


def _sparkline(losses: dict[str, np.ndarray]) -> str:
    """Return losses over epochs as inline SVG, all curves on one scale."""
    finite = np.concatenate([curve[np.isfinite(curve)] for curve in losses.values()])
    if not len(finite):
        return ""
    low, span = finite.min(), np.ptp(finite) or 1.0
    drawn: list[str] = []
    for name, curve in losses.items():
        x = MARGIN + (WIDTH - 2 * MARGIN) * np.arange(len(curve)) / max(1, len(curve) - 1)
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (curve - low) / span
        points = [(a, b) for a, b in zip(x, y) if np.isfinite(b)]
        if len(points) == 1:
            drawn.append(f'<circle class="sktl-{name}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2"/>')
        elif points:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            drawn.append(f'<polyline class="sktl-{name}" points="{path}"/>')
    label = "; ".join(_told(name, curve) for name, curve in losses.items() if np.isfinite(curve).any())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(label)}"><title>{escape(label)}</title>{"".join(drawn)}</svg>'
    )


def _told(name: str, curve: np.ndarray) -> str:
    known: Any = curve[np.isfinite(curve)]
    return f"{WORDS[name]} loss from {known[0]:.3g} to {known[-1]:.3g}"
