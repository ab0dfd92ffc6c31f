"""The report's two pictures, as SVG that follows the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from sktl.advisor._codes import ALL, PIXELS
from sktl.advisor._scoring import ACCURACIES, ScoredLayer, name_of

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 30, 16, 46
LABEL = 52  # high
MARKERS = ("circle", "square", "triangle")


def depth_chart(layers: Sequence[ScoredLayer], score: str, backbone: str) -> str:
    """Return the scores of one backbone's layers by depth, pixels at 0 and all layers together at the right."""
    shown = [name for name in layers[0].scores if name in ACCURACIES] or [score]
    own = sorted(
        (one for one in layers if one.part.backbone == backbone and one.part.layer != ALL), key=lambda o: o.part.depth
    )
    pixels = [one for one in layers if one.part.layer == PIXELS]
    together = [one for one in layers if one.part.backbone == backbone and one.part.layer == ALL]
    values = [one.scores[name] for one in (*pixels, *own, *together) for name in shown]
    low, high = (0.0, 1.0) if shown[0] in ACCURACIES else (min(values), max(values) + 1e-9)

    def x(depth: float) -> float:
        return LEFT + depth * (WIDTH - LEFT - RIGHT) / 1.14

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(low, high, y, name_of(score) if len(shown) == 1 else "accuracy on rows left out")]
    ticks = [(0.0, PIXELS)] * bool(pixels) + [(0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "last")]
    ticks += [(1.12, "all")] * bool(together)
    for depth, label in ticks:
        parts.append(f'<text x="{x(depth):.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="{(x(0) + x(1)) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">depth of the layer</text>')
    said = []
    for i, name in enumerate(shown):
        line = [*pixels, *own]
        points = " ".join(f"{x(one.part.depth):.1f},{y(one.scores[name]):.1f}" for one in line)
        parts.append(f'<polyline class="line s{i}" points="{points}"/>')
        for one in (*line, *together):
            depth = 1.12 if one.part.layer == ALL else one.part.depth
            label = f"{name_of(name)}, {one.part.layer}: {one.scores[name]:.3f}"
            parts.append(_marker(MARKERS[i % 3], x(depth), y(one.scores[name]), f"mark s{i}", label))
        parts.append(_legend(i, name_of(name)))
        said.append(
            f"{name_of(name)}: " + ", ".join(f"{one.part.layer} {one.scores[name]:.2f}" for one in (*line, *together))
        )
    return _svg("Accuracy by depth. " + ". ".join(said), parts)


def quadrant_map(n_labelled: int, similarity: float, large_from: int, similar_from: float, advice: str) -> str:
    """Return the four quadrants with this data set in its place."""
    lowest, highest = np.log10(min(10, n_labelled, large_from)), np.log10(max(100 * large_from, 10 * n_labelled))

    def x(rows: float) -> float:
        return LEFT + (np.log10(rows) - lowest) / (highest - lowest) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)

    middle = x(large_from), y(similar_from)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    corners = [
        (LEFT, TOP, middle[0], middle[1], "small, similar", "codes of the last layer"),
        (middle[0], TOP, right, middle[1], "large, similar", "fine-tune"),
        (LEFT, middle[1], middle[0], bottom, "small, unlike", "codes of earlier layers"),
        (middle[0], middle[1], right, bottom, "large, unlike", "train all layers"),
    ]
    parts, end = [], float(bottom)
    for i, (x0, y0, x1, y1, name, what) in enumerate(corners):
        parts.append(
            f'<rect class="quadrant q{i}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"/>'
        )
        is_here = x0 <= x(n_labelled) < x1 and y0 <= y(similarity) < y1
        top = y1 - LABEL if is_here and y(similarity) < y0 + LABEL else y0  # nothing lies on the words
        end = top if top > y0 else end
        parts.append(f'<text class="strong" x="{x0 + 10:.1f}" y="{top + 22:.1f}">{name}</text>')
        parts.append(f'<text x="{x0 + 10:.1f}" y="{top + 40:.1f}">{what}</text>')
    for power in range(int(np.ceil(lowest)), int(highest) + 1):
        is_at_edge = x(10**power) > right - RIGHT  # small screens have larger letters, and long numbers were cut off
        place = f'x="{WIDTH - 2}" text-anchor="end"' if is_at_edge else f'x="{x(10**power):.0f}" text-anchor="middle"'
        parts.append(f'<text {place} y="{bottom + 18}">{10**power:,}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">labelled rows</text>')
    for value in (0.0, similar_from, 1.0):
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
    parts.append(
        f'<text transform="translate(14 {(TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">similarity</text>'
    )
    here = f"this data set: {n_labelled} rows, similarity {similarity:.2f}"
    parts.append(f'<path class="guide" d="M {x(n_labelled):.1f} {y(similarity):.1f} V {end:.1f}"/>')
    parts.append(_marker("circle", x(n_labelled), y(similarity), "here", here, size=8))
    return _svg(f"Map of four quadrants. {here.capitalize()}. Advice: {advice}", parts)


def _svg(alt: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">{"".join(parts)}</svg>'


def _axes(low: float, high: float, y, label: str) -> str:
    lines = []
    for value in np.linspace(low, high, 6):
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{y(value):.1f}" x2="{WIDTH - RIGHT}" y2="{y(value):.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    lines.append(f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">{label}</text>')
    return "".join(lines)


def _marker(shape: str, x: float, y: float, css: str, label: str, size: float = 5) -> str:
    title = f"<title>{escape(label)}</title>"
    if shape == "circle":
        return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{size}">{title}</circle>'
    if shape == "square":
        corner = f'x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"'
        return f'<rect class="{css}" {corner}>{title}</rect>'
    points = f"{x:.1f},{y - size:.1f} {x - size:.1f},{y + size:.1f} {x + size:.1f},{y + size:.1f}"
    return f'<polygon class="{css}" points="{points}">{title}</polygon>'


def _legend(i: int, name: str) -> str:
    x, y = WIDTH - RIGHT - 130, HEIGHT - BOTTOM - 34 + 18 * i
    mark = _marker(MARKERS[i % 3], x, y, f"mark s{i}", name)
    return f'{mark}<text x="{x + 12}" y="{y + 4}">{escape(name)}</text>'
