"""Names that matplotlib would leave out, read as a formula or take for one another, and more of them than fit."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sktl.displays import (
    ConfidenceShiftDisplay,
    DomainShiftDisplay,
    EmbeddingDisplay,
    EpisodeDisplay,
    LayerAccuracyDisplay,
    PredictionsDisplay,
)
from tests.displays.artists import labels_of

ODD = ["_hidden", "$a_1", "", "two\nlines", "x" * 300]


def shown(names):
    return [name.strip() for name in names]


@pytest.mark.filterwarnings("error")
def test_every_odd_name_is_in_the_legend():
    codes = np.random.default_rng(0).normal(size=(25, 3))
    display = EmbeddingDisplay.from_codes(codes, np.repeat(ODD, 5).astype(object))
    display.figure_.canvas.draw()
    drawn = shown(labels_of(display.ax_.get_legend()))
    assert {"_hidden", r"\$a_1", "(empty)", "two lines"} <= set(drawn)
    assert len(drawn) == 5
    assert max(map(len, drawn)) == 40


@pytest.mark.filterwarnings("error")
def test_fifty_classes_leave_room_for_the_points():
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(50), 2)
    display = EpisodeDisplay.from_codes(rng.normal(size=(100, 4)), y, rng.normal(size=(100, 4)), y, y)
    labels = labels_of(display.ax_.get_legend())
    assert labels[:3] == ["0", "1", "2"]
    assert "… and 39 more" in labels
    assert "prototype" in labels
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    assert legend.y0 >= 0
    assert legend.height <= display.figure_.bbox.height


def test_long_names_that_begin_alike_keep_a_bar_each():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(40, 3))
    codes[20:] += [0.5, 1.0, 5.0]
    names = [f"{'a name that is far too long for any axis' * 2} {i}" for i in range(3)]
    display = DomainShiftDisplay.from_codes(codes, np.repeat(["day", "_night"], 20), feature_names=names)
    assert len({bar.get_y() for bar in display.bars_}) == 3
    assert len(display.axes_[1].get_yticklabels()) == 3
    assert shown(labels_of(display.axes_[0].get_legend())) == ["_night", "day"]


def test_many_domains_are_counted_in_the_legend():
    proba = np.tile([0.7, 0.3], (60, 1))
    display = ConfidenceShiftDisplay.from_predictions(None, proba, sample_domain=np.repeat(np.arange(30), 2))
    assert labels_of(display.axes_[0].get_legend())[-1] == "… and 19 more"


def test_what_is_no_probability_is_named():
    with pytest.raises(ValueError, match="got nan among 1 values that are not from 0 to 1"):
        ConfidenceShiftDisplay.from_predictions(None, [[0.5, 0.5], [np.nan, 0.5]])
    assert not plt.get_fignums()


@pytest.mark.filterwarnings("error")
def test_a_fold_without_a_score_does_not_make_a_layer_the_best():
    scores = [[0.5, 0.6, 0.7], [0.9, np.nan, 0.7], [0.6, 0.6, 0.6]]
    display = LayerAccuracyDisplay.from_scores(["a", "b", "c"], [0.1, 0.5, 1.0], scores)
    assert display.best_layer == "b"
    np.testing.assert_allclose(display.line_.get_ydata(), [0.6, 0.8, 0.6])
    with pytest.raises(ValueError, match="'c' has none"):
        LayerAccuracyDisplay.from_scores(["b", "c"], [0.1, 0.2], [[0.9, 0.8], [np.nan, np.nan]])


@pytest.mark.filterwarnings("error")
def test_one_class_is_drawn():
    rng = np.random.default_rng(0)
    EmbeddingDisplay.from_codes(rng.normal(size=(6, 3)), np.zeros(6)).figure_.canvas.draw()
    EpisodeDisplay.from_codes(rng.normal(size=(3, 2)), [1, 1, 1], rng.normal(size=(2, 2)), [1, 1])
    ConfidenceShiftDisplay.from_predictions([0, 0, 0], np.ones((3, 1)), classes=[0])
    pictures = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    display = PredictionsDisplay.from_predictions(pictures, ["$x", "_y", ""], ["$x", "_z", "a" * 200])
    display.figure_.canvas.draw()
