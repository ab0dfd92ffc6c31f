"""The data sets by which advice is judged: rows to learn from, in several sizes, and others to test on."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _common import data_path
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from sktl.datasets import load_pictures, make_glyphs

PICTURES, ROWS, TEXTS = "pictures", "feature rows", "text"
MOST_TESTED = 1000
N_ALPHABETS = 12


@dataclass(frozen=True)
class Split:
    """Rows of a data set: those to learn from, and those of the test.

    Attributes
    ----------
    X, y : rows and labels of both
    by_size : dict of int to ndarray
        The rows to learn from by their number a class, each within the next; indices into X.
    test : ndarray
        The rows of the test; indices into X.
    numbers : ndarray
        Of the rows of the test in the whole data set: other draws test some of them, too.
    """

    X: Any
    y: np.ndarray
    by_size: dict[int, np.ndarray]
    test: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes
    ----------
    name : str
    family : str
        What is left out together: all domains of PACS, all alphabets.
    kind : str
        Of the rows.
    sizes : tuple of int
        Rows a class to learn from; each size is a case.
    read : callable
        Returns X and y.
    is_ranked : bool
        Whether layers of several networks are ranked on it.
    """

    name: str
    family: str
    kind: str
    sizes: tuple[int, ...]
    read: Callable[[], tuple[Any, np.ndarray]]
    is_ranked: bool = True

    def split(self, draw: int = 1) -> Split:
        """Return rows to learn from and others to test on; each draw has its own."""
        X, y = self.read()
        learned, tested = (0, 1) if draw == 1 else ([0, draw], [1, draw])
        order = np.random.default_rng(learned).permutation(len(y))
        by_size = {n: np.concatenate([order[y[order] == label][:n] for label in np.unique(y)]) for n in self.sizes}
        test = np.setdiff1d(order, by_size[max(self.sizes)])
        test = np.random.default_rng(tested).permutation(test)[:MOST_TESTED]
        used = np.sort(np.r_[by_size[max(self.sizes)], test])
        X = X[used] if isinstance(X, np.ndarray) else [X[i] for i in used]
        by_size = {n: np.searchsorted(used, np.sort(rows)) for n, rows in by_size.items()}
        return Split(X, y[used], by_size, np.searchsorted(used, test), test)

    @property
    def ranked_size(self) -> int:
        """The size at which layers of several networks are ranked."""
        return self.sizes[min(1, len(self.sizes) - 1)]


def paths_of(folder: str) -> tuple[list, np.ndarray]:
    paths, y = load_pictures(data_path(folder))
    return list(paths), np.asarray(y)


def hymenoptera() -> tuple[list, np.ndarray]:
    (paths, y), (others, z) = paths_of("hymenoptera/train"), paths_of("hymenoptera/val")
    return paths + others, np.r_[y, z]


def digits(name: str) -> tuple[np.ndarray, np.ndarray]:
    found = np.load(data_path(f"digits/{name}.npz"))
    return found["x_train"][:7000], found["y_train"][:7000]


def alphabet(name: str) -> tuple[np.ndarray, np.ndarray]:
    found = np.load(data_path("omniglot/omniglot_28.npz"))
    characters = found["images"][found["alphabet"] == name]
    return 255 - characters.reshape(-1, 28, 28), np.repeat(np.arange(len(characters)), 20)


def alphabets() -> list[str]:
    names = np.unique(np.load(data_path("omniglot/omniglot_28.npz"))["alphabet"])
    return [str(name) for name in names[:: len(names) // N_ALPHABETS][:N_ALPHABETS]]


def eight_by_eight() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return (X.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8), y


def glyphs() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_glyphs("".join(map(chr, range(ord("a"), ord("z") + 1))) + "ABDEFGHKLMNQRT", random_state=0)
    return 255 - X, y


def electricity() -> tuple[np.ndarray, np.ndarray]:
    found = np.load(data_path("electricity/electricity.npz"))
    return found["X"].astype(float), found["y"]


def reviews(domain: str) -> tuple[list[str], np.ndarray]:
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
        found = [row for row in map(json.loads, lines) if row["domain"] == domain]
    return [f"{row['title']} {row['text']}" for row in found], np.array([row["label"] for row in found])


def data_sets() -> list[DataSet]:
    """Return all of them, kinds in turn, so that a bounded run has some of each."""
    pacs = [
        DataSet(f"PACS {name}", "PACS", PICTURES, (3, 12, 40), lambda name=name: paths_of(f"pacs/{name}"))
        for name in ("photo", "sketch", "cartoon", "art_painting")
    ]
    numerals = [
        DataSet("USPS", "USPS", PICTURES, (4, 20, 100), lambda: digits("usps")),
        DataSet("MNIST", "MNIST", PICTURES, (4, 20, 100), lambda: digits("mnist")),
        DataSet("hymenoptera", "hymenoptera", PICTURES, (10, 100), hymenoptera),
        DataSet("8x8 digits", "8x8 digits", PICTURES, (8, 40), eight_by_eight),
        DataSet("glyphs", "glyphs", PICTURES, (3, 6), glyphs),
    ]
    omniglot = [
        DataSet(
            f"Omniglot {name}",
            "Omniglot",
            PICTURES,
            (4 if i % 2 else 10,),
            lambda name=name: alphabet(name),
            is_ranked=i < 6,
        )
        for i, name in enumerate(alphabets())
    ]
    rows = [
        DataSet("electricity", "electricity", ROWS, (50, 250, 1000), electricity),
        DataSet("wine", "wine", ROWS, (8, 24), lambda: load_wine(return_X_y=True)),
        DataSet("breast cancer", "breast cancer", ROWS, (20, 100), lambda: load_breast_cancer(return_X_y=True)),
    ]
    texts = [
        DataSet(f"Amazon {name}", f"Amazon {name}", TEXTS, (50, 300), lambda name=name: reviews(name))
        for name in ("books", "dvd", "electronics", "kitchen")
    ]
    groups = [pacs, numerals, omniglot, rows, texts]
    longest = max(map(len, groups))
    return [group[i] for i in range(longest) for group in groups if i < len(group)]
