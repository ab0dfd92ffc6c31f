"""Data that users hold on a disk, as X and y, public sets, and small sets that are drawn."""

from sktl.datasets._drawn_shapes import make_drawn_shapes
from sktl.datasets._fetch_pictures import fetch_hymenoptera, fetch_office31, fetch_omniglot
from sktl.datasets._glyphs import GLYPHS, make_glyphs
from sktl.datasets._load_pictures import load_pictures
from sktl.datasets._read_shards import read_shards

__all__ = [
    "GLYPHS",
    "fetch_hymenoptera",
    "fetch_office31",
    "fetch_omniglot",
    "load_pictures",
    "make_drawn_shapes",
    "make_glyphs",
    "read_shards",
]
