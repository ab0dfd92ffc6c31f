import matplotlib.pyplot as plt
import numpy as np
import pytest

from sktl.displays import LearningRateDisplay
from tests.displays.artists import labels_of

RATES, LOSSES = np.logspace(-5, 0, 6), np.array([1.0, 0.9, 0.5, 0.4, 0.6, 2.0])


def test_shows_what_it_holds():
    display = LearningRateDisplay(RATES, LOSSES, 1e-3).plot(name="a $b$ run")
    np.testing.assert_array_equal(display.line_.get_xydata(), np.column_stack([RATES, LOSSES]))
    assert display.ax_.lines[1].get_xdata()[0] == 1e-3
    assert display.ax_.get_xscale() == "log"
    assert labels_of(display.ax_.get_legend()) == [r"a \$b\$ run", "suggestion 0.001"]
    assert plt.get_fignums() == [display.figure_.number]


def test_two_on_one_axes_differ_in_colour():
    first = LearningRateDisplay(RATES, LOSSES, 1e-3).plot(name="first")
    second = LearningRateDisplay(RATES, LOSSES + 1, 1e-2).plot(first.ax_, name="second")
    assert second.figure_ is first.figure_
    assert len(plt.get_fignums()) == 1
    assert first.line_.get_color() != second.line_.get_color()


def test_axes_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="ax must be one Axes of matplotlib, or None for a new figure; got list"):
        LearningRateDisplay(RATES, LOSSES, 1e-3).plot(ax=[1])
