import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktl.adaptation import RollingAdaptedClassifier
from sktl.aligners import LabelledOnly
from sktl.displays import DriftDisplay
from sktl.metrics.distances import proxy_a_distance

PLAIN = LabelledOnly(LogisticRegression())
FROZEN, LAST = "never fitted again", "the last label again"


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(0)
    period = np.repeat([2020, 2021, 2022, 2023], 60)
    y = rng.integers(2, size=240)
    X = rng.normal(size=(240, 2)) + 3 * y[:, None] + 1.5 * (period - 2020)[:, None]
    return X, y, period


def test_each_period_is_predicted_by_what_was_known(stream):
    X, y, period = stream
    rolling = RollingAdaptedClassifier(PLAIN, window=1)
    display = DriftDisplay.from_estimators({"rolling": rolling, "all": PLAIN}, X, y, sample_domain=period)
    assert display.periods.tolist() == [2021, 2022, 2023]
    for i, year in enumerate((2021, 2022, 2023)):
        here, before, first = period == year, period == year - 1, period == 2020
        past = LogisticRegression().fit(X[before], y[before])
        frozen = LogisticRegression().fit(X[first], y[first])
        whole = LogisticRegression().fit(X[period < year], y[period < year])
        at = np.flatnonzero(here)
        expected = {
            "rolling": past.score(X[here], y[here]),
            "all": whole.score(X[here], y[here]),
            FROZEN: frozen.score(X[here], y[here]),
            LAST: np.mean(y[at] == y[at - 1]),
        }
        assert {name: values[i] for name, values in display.accuracies.items()} == pytest.approx(expected)
        assert display.distances[i] == pytest.approx(proxy_a_distance(X[before], X[here], C=1.0))
    assert display.mean_accuracy["rolling"] == pytest.approx(np.mean(display.accuracies["rolling"]))


def test_figure(stream):
    X, y, period = stream
    display = DriftDisplay.from_estimators({"plain": PLAIN}, X, y, sample_domain=period)
    assert list(display.axes_) == ["accuracy", "distance"]
    assert list(display.lines_) == ["plain", FROZEN, LAST, "distance"]
    np.testing.assert_array_equal(display.lines_["plain"].get_ydata(), display.accuracies["plain"])
    assert [tick.get_text() for tick in display.axes_["distance"].get_xticklabels()] == ["2021", "2022", "2023"]
    assert plt.get_fignums() == [display.figure_.number]
    _, ax = plt.subplots()
    alone = DriftDisplay(display.periods, display.accuracies, (FROZEN, LAST)).plot(ax)
    assert list(alone.axes_) == ["accuracy"]
    assert alone.ax_ is ax


def test_rows_of_any_order_and_missing_labels(stream):
    X, y, period = stream
    text = np.where(y == 1, "up", "down").astype(object)
    text[period == 2022] = None
    whole = DriftDisplay.from_estimators({"plain": PLAIN}, X, text, sample_domain=period)
    assert np.isnan(whole.accuracies["plain"]).tolist() == [False, True, False]
    assert np.isnan(whole.accuracies[LAST]).tolist() == [False, True, False]
    blocks = np.r_[120:240, 0:120]  # periods in another order, rows of a period in theirs
    moved = DriftDisplay.from_estimators({"plain": PLAIN}, X[blocks], text[blocks], sample_domain=period[blocks])
    np.testing.assert_array_equal(moved.accuracies[LAST], whole.accuracies[LAST])
    np.testing.assert_allclose(moved.accuracies["plain"], whole.accuracies["plain"])


def test_text_has_no_distances():
    words = [f"{'good' if i % 2 else 'bad'} film {i % 5}" for i in range(40)]
    model = make_pipeline(TfidfVectorizer(), LabelledOnly(LogisticRegression()))
    display = DriftDisplay.from_estimators(
        {"words": model}, words, np.arange(40) % 2, sample_domain=np.arange(40) // 20
    )
    assert display.distances is None
    assert display.accuracies["words"].tolist() == [1.0]
    assert display.accuracies[LAST].tolist() == [0.0]


def test_bad_input(stream):
    X, y, period = stream
    with pytest.raises(TypeError, match="a dict of classifiers by name"):
        DriftDisplay.from_estimators(PLAIN, X, y, sample_domain=period)
    with pytest.raises(ValueError, match="is that of a control"):
        DriftDisplay.from_estimators({LAST: PLAIN}, X, y, sample_domain=period)
    with pytest.raises(ValueError, match="from two periods on"):
        DriftDisplay.from_estimators({"plain": PLAIN}, X, y, sample_domain=np.zeros(240))
    with pytest.raises(ValueError, match="0 labels in the first"):
        DriftDisplay.from_estimators({"plain": PLAIN}, X, np.where(period == 2020, -1, y), sample_domain=period)
    assert not plt.get_fignums()
