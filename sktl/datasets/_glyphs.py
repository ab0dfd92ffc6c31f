"""Characters of matplotlib's fonts: a few-shot data set that needs no file."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from sklearn.utils._param_validation import Interval, validate_params

from sktl._draws import seed_of

GLYPHS = (
    "ABDEFGHJKLMNPQRTUYabdefghijkmnqrty23456789"
    "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπρστφψω"
    "БГДЖЗИЛПУЦЧШЩЪЫЬЭЮЯбвгджзийлмнптцчшщъыьэюя"
    "∀∂∃∅∇∈∏∑√∞∠∧∩∫≈≠≡≤≥⊂⊃⊕⊗%&@#?§¶"
)
FAMILIES = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")
STYLES = [
    (family, style, weight) for family in FAMILIES for style in ("normal", "italic") for weight in ("normal", "bold")
]


@validate_params(
    {
        "characters": [str, None],
        "size": [Interval(Integral, 8, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_glyphs(
    characters: str | None = None, *, size: int = 28, random_state: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw characters in the twelve styles of matplotlib's fonts, each a little shifted, turned and slanted.

    A class a character, a row a style: small tasks of classes never seen before, as Omniglot has them, without a file.

    Parameters
    ----------
    characters : str, default=None
        The classes. None is `GLYPHS`: some 150 Latin letters, digits, Greek, Cyrillic and mathematical signs, which
        differ from each other in every style.
    size : int, default=28
        Pixels a side.
    random_state : int, RandomState or None, default=None
        Fixes shifts, turns and slants.

    Returns
    -------
    X : ndarray of shape (12 * n_characters, size, size), uint8
        Ink is 255.
    y : ndarray of shape (12 * n_characters,)
        The characters.

    Raises
    ------
    ImportError
        If matplotlib, whose fonts they are, is not installed.
    ValueError
        If a character is none that shows ink.

    Examples
    --------
    >>> from sktl.datasets import make_glyphs
    >>> X, y = make_glyphs("abc", random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((36, 28, 28), ['a', 'b', 'c'])
    """
    characters = GLYPHS if characters is None else characters
    blank = [character for character in characters if character.isspace() or not character.isprintable()]
    if blank or not characters:
        raise ValueError(f"characters must be signs that show ink; got {(blank or [characters])[0]!r}.")
    rng = np.random.default_rng(seed_of(random_state))
    pictures = [_drawn(character, style, size, rng) for character in characters for style in STYLES]
    return np.stack(pictures), np.repeat(list(characters), len(STYLES))


def _drawn(character: str, style: tuple[str, Any, str], size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a character as a uint8 picture, ink white, a little shifted, turned and slanted."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    family, slope, weight = style
    path = TextPath((0, 0), character, size=100, prop=FontProperties(family=family, style=slope, weight=weight))
    turn, slant = rng.normal(0, 0.12), rng.normal(0, 0.15)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, slant], [0, 1]])
    polygons = [polygon @ turned.T for polygon in path.to_polygons()]
    low, high = np.min([p.min(0) for p in polygons], 0), np.max([p.max(0) for p in polygons], 0)
    scale = 4 * size * rng.uniform(0.6, 0.8) / max(high - low)  # drawn at four times the size, then scaled down
    offset = 2 * size + rng.normal(0, 3, 2)
    ink = np.zeros((4 * size, 4 * size), dtype=bool)
    for polygon in polygons:  # an odd number of outlines around a point is ink
        points = (polygon - (low + high) / 2) * scale * [1, -1] + offset
        canvas = Image.new("1", ink.shape)
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in points], fill=1)
        ink ^= np.asarray(canvas)
    return (255 * ink.reshape(size, 4, size, 4).mean((1, 3))).astype(np.uint8)
