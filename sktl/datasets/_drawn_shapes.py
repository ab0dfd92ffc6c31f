"""Drawn shapes in two manners: pictures of two domains that need no file."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from PIL import Image, ImageDraw
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sktl._draws import seed_of

SHAPES = ("circle", "square", "triangle", "star", "cross")
FINE = 4  # drawn at so many times the size, then scaled down


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "manner": [StrOptions({"filled", "outline"})],
        "size": [Interval(Integral, 16, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_drawn_shapes(
    n_samples: int = 100, *, manner: str = "filled", size: int = 64, random_state: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw circles, squares, triangles, stars and crosses in colour, of any size, place and turn.

    The two manners, filled on colour and outlined on white paper, are two domains of the same classes.

    Parameters
    ----------
    n_samples : int, default=100
        Pictures; classes come in turn, so that they are balanced, and are then shuffled.
    manner : {"filled", "outline"}, default="filled"
        Filled shapes on a coloured ground, or dark outlines on white.
    size : int, default=64
        Pixels a side.
    random_state : int, RandomState or None, default=None
        Fixes all that is drawn.

    Returns
    -------
    X : ndarray of shape (n_samples, size, size, 3), uint8
        Pictures in RGB.
    y : ndarray of shape (n_samples,)
        "circle", "square", "triangle", "star" or "cross".

    Examples
    --------
    >>> from sktl.datasets import make_drawn_shapes
    >>> X, y = make_drawn_shapes(10, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((10, 64, 64, 3), ['circle', 'cross', 'square', 'star', 'triangle'])
    """
    rng = np.random.default_rng(seed_of(random_state))
    labels = rng.permutation(np.resize(SHAPES, n_samples))
    return np.stack([_drawn(label, manner, size, rng) for label in labels]), labels


def _drawn(shape: str, manner: str, size: int, rng: np.random.Generator) -> np.ndarray:
    side = FINE * size
    ground, ink = _colours(manner, rng)
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    points = [tuple(point) for point in _outline(shape, rng) * side * rng.uniform(0.2, 0.4) + _centre(side, rng)]
    if manner == "filled":
        pen.polygon(points, fill=ink)
    else:
        pen.line([*points, points[0], points[1]], fill=ink, width=round(side * rng.uniform(0.01, 0.03)), joint="curve")
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))


def _colours(manner: str, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if manner == "outline":
        return (255, 255, 255), tuple(rng.integers(0, 80, 3).tolist())
    ground = rng.integers(0, 256, 3)
    return tuple(ground.tolist()), tuple(((ground + rng.integers(90, 166, 3)) % 256).tolist())


def _centre(side: int, rng: np.random.Generator) -> np.ndarray:
    return side * rng.uniform(0.42, 0.58, 2)


def _outline(shape: str, rng: np.random.Generator) -> np.ndarray:
    """Return corners (n, 2) around the origin, of radius 1, turned at random."""
    turn = rng.uniform(0, 2 * np.pi)
    if shape == "cross":
        arm = 0.33
        corners = [(arm, arm), (arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm), (-arm, -1),
                   (arm, -1), (arm, -arm), (1, -arm), (1, arm)]  # fmt: skip
        points = np.array(corners)
    else:
        n_corners = {"circle": 60, "square": 4, "triangle": 3, "star": 10}[shape]
        angles = 2 * np.pi * np.arange(n_corners) / n_corners
        radii = np.where(np.arange(n_corners) % 2, 0.45, 1.0) if shape == "star" else np.ones(n_corners)
        points = np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])
    return points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
