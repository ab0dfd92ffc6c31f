import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.linear_model import LogisticRegression

from sktl import TransferAdvisor
from sktl.displays import TransferMapDisplay


@pytest.fixture(scope="module")
def advisor():
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    X = (rng.uniform(0, 60, (12, 32, 32)) + 150 * y[:, None, None]).astype(np.uint8)
    return TransferAdvisor(image_size=32).fit(X, y)


def test_a_fitted_advisor(advisor):
    display = TransferMapDisplay.from_estimator(advisor, name="$squares$")
    assert display.names == ["$squares$"]
    assert display.n_labelled.tolist() == [12]
    assert display.similarities.tolist() == [advisor.similarity_]
    assert display.strategies == [advisor.strategy_]
    (point,) = display.points_
    np.testing.assert_allclose(point.get_xydata(), [[12, advisor.similarity_]])
    assert display.texts_[0].get_text() == f"\\$squares\\$\nadvice: {advisor.strategy_}"
    written = {text.get_text() for text in display.ax_.texts}
    assert written >= {"small, similar", "large, similar", "small, unlike", "large, unlike"}
    assert display.ax_.get_xscale() == "log"
    assert plt.get_fignums() == [display.figure_.number]


def test_borders_are_the_advisors(advisor):
    display = TransferMapDisplay(["a"], np.array([30]), np.array([0.9]), ["codes"], 30, 0.25).plot()
    left, right = display.ax_.get_xlim()
    assert np.sqrt(left * right) == pytest.approx(30)
    assert sorted(line.get_ydata()[0] for line in display.ax_.lines if len(line.get_ydata()) == 2) == [0, 0.25]


def test_labels_stay_on_the_map_and_apart():
    n = np.array([90, 91, 92, 93, 20, 5000, 5100, 900_000])
    alike = np.array([0.99, 0.98, 0.985, 0.01, 0.02, 0.5, 0.5, 1.0])
    names = [f"a data set with a long name {i}" for i in range(8)]
    display = TransferMapDisplay(names, n, alike, ["codes"] * 8).plot()
    display.figure_.canvas.draw()
    frame = display.ax_.get_window_extent()
    boxes = [Text.get_window_extent(text) for text in display.texts_]  # without the line to its point
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0, names[i]
        assert box.x1 <= frame.x1, names[i]
        assert frame.y0 - 2 <= box.y0, names[i]
        assert box.y1 <= frame.y1 + 2, names[i]
        assert not [j for j, other in enumerate(boxes[:i]) if box.overlaps(other)], names[i]


def test_what_is_no_advisor(advisor):
    with pytest.raises(TypeError, match="a mapping of names to fitted TransferAdvisors"):
        TransferMapDisplay.from_estimators([advisor])
    with pytest.raises(TypeError, match="'a' must be a fitted TransferAdvisor; got LogisticRegression"):
        TransferMapDisplay.from_estimators({"a": LogisticRegression()})
    with pytest.raises(ValueError, match="not fitted"):
        TransferMapDisplay.from_estimator(TransferAdvisor())
    rows = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match="'this data set' measured no similarity"):
        TransferMapDisplay.from_estimator(TransferAdvisor().fit(rows, np.arange(20) % 2))
    other = TransferAdvisor(image_size=32, large_from=50)
    other.strategy_, other.similarity_ = "codes", 0.5
    other.report_ = dataclasses.replace(advisor.report_, large_from=50)
    with pytest.raises(ValueError, match="the same large_from and similar_from"):
        TransferMapDisplay.from_estimators({"a": advisor, "b": other})
