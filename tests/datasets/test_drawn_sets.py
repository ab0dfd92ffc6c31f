"""Drawn sets: what was asked for, the same for the same seed, and classes that can be told apart."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from sktl.datasets import GLYPHS, make_drawn_shapes, make_glyphs


def test_glyphs_are_twelve_of_each_character():
    X, y = make_glyphs("aБ∀", random_state=0)
    assert X.shape == (36, 28, 28)
    assert X.dtype == np.uint8
    assert y.tolist() == [*"a" * 12, *"Б" * 12, *"∀" * 12]
    assert make_glyphs("a", size=20, random_state=0)[0].shape == (12, 20, 20)
    assert len(set(GLYPHS)) == len(GLYPHS) > 140
    assert X.reshape(36, -1).max(axis=1).min() > 200  # each has ink


def test_glyphs_can_be_told_apart():
    X, y = make_glyphs("AEBD28", random_state=0)
    rows = X.reshape(len(X), -1) / 255
    model = KNeighborsClassifier(1).fit(rows[::2], y[::2])
    assert model.score(rows[1::2], y[1::2]) > 0.5


@pytest.mark.parametrize("characters", ["", "a b", "a\n"])
def test_what_shows_no_ink_is_refused(characters):
    with pytest.raises(ValueError, match="characters must be signs"):
        make_glyphs(characters)


@pytest.mark.parametrize("manner", ["filled", "outline"])
def test_shapes_are_balanced_and_drawn(manner):
    X, y = make_drawn_shapes(50, manner=manner, size=32, random_state=1)
    assert X.shape == (50, 32, 32, 3)
    assert X.dtype == np.uint8
    assert np.unique(y, return_counts=True)[1].tolist() == [10] * 5
    assert (X.reshape(50, -1).std(axis=1) > 5).all()
    if manner == "outline":
        assert (X[:, 0, 0] == 255).all()


@pytest.mark.parametrize(
    "make", [lambda seed: make_glyphs("ab", random_state=seed), lambda seed: make_drawn_shapes(6, random_state=seed)]
)
def test_a_seed_fixes_all(make):
    assert np.array_equal(make(3)[0], make(3)[0])
    assert not np.array_equal(make(3)[0], make(4)[0])


@pytest.mark.parametrize("params", [{"n_samples": 0}, {"manner": "oil"}, {"size": 3}])
def test_shapes_refuse_what_they_cannot_draw(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        make_drawn_shapes(**params)
