import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sktl.displays import LeaderboardDisplay

TABLE = {"name": ["a", "$b$", "c"], "score": [0.7, 0.9, 0.86], "low": [0.6, 0.8, 0.8], "high": [0.8, 0.95, 0.92]}


def test_best_on_top_with_intervals():
    display = LeaderboardDisplay.from_frame(TABLE, low="low", high="high")
    assert display.names.tolist() == ["$b$", "c", "a"]
    assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == [r"\$b\$", "c", "a"]
    assert [point.get_xdata()[0] for point in display.points_] == [0.9, 0.86, 0.7]
    assert display.may_be_best.tolist() == [True, True, False]
    assert display.points_[2].get_markerfacecolor() == "white"
    ends = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in display.ax_.containers]
    np.testing.assert_allclose(ends, [[0.8, 0.95], [0.8, 0.92], [0.6, 0.8]])
    bottom, top = display.ax_.get_ylim()
    assert bottom > top  # the first is on top
    assert plt.get_fignums() == [display.figure_.number]


def test_losses_and_searches(two_domains):
    assert LeaderboardDisplay.from_frame(TABLE, lower_is_better=True).names.tolist() == ["a", "c", "$b$"]
    X, y, _, _ = two_domains
    search = GridSearchCV(LogisticRegression(), {"C": [0.001, 1.0]}, cv=2).fit(X, y)
    results = search.cv_results_
    display = LeaderboardDisplay.from_frame(results, name="params", score="mean_test_score", spread="std_test_score")
    assert display.names[0] == str(search.best_params_)
    spread = results["std_test_score"][search.best_index_]
    np.testing.assert_allclose(display.intervals[0], search.best_score_ + np.array([-spread, spread]))


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        ([1, 2], {}, TypeError, "a data frame or a dict of columns; got list"),
        (TABLE, {"score": "accuracy"}, ValueError, "no column 'accuracy'; it has 'name', 'score', 'low', 'high'"),
        (TABLE, {"low": "low"}, ValueError, "Give low and high together"),
        (TABLE, {"low": "high", "high": "low"}, ValueError, "must lie between 'high' and 'low'"),
        ({"name": ["a"], "score": ["high"]}, {}, ValueError, "The column 'score' must hold numbers"),
        ({"name": ["a"], "score": [np.nan]}, {}, ValueError, "must hold finite numbers"),
        ({"name": ["a"], "score": [1, 2]}, {}, ValueError, "got 1 and 2"),
    ],
)
def test_bad_input(frame, options, error, message):
    with pytest.raises(error, match=message):
        LeaderboardDisplay.from_frame(frame, **options)
    assert not plt.get_fignums()
