"""Feature rows: the mean of a linear classifier and a random forest."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl import AutoTransferClassifier, AutoTransferRegressor, TransferAdvisor
from sktl.advisor._linear_models import LINEAR_AND_FOREST, linear_and_forest, suits_forest


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(y))
    return X[rows[:45]], np.array(["a", "b", "c"])[y[rows[:45]]], X[rows[45:]]


def test_it_is_the_mean_of_both(wine):
    X, y, others = wine
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
    forest = RandomForestClassifier(random_state=3).fit(X, y)
    expected = (linear.predict_proba(others) + forest.predict_proba(others)) / 2
    found = linear_and_forest(X, 3, random_state=3).fit(X, y)
    np.testing.assert_allclose(found.predict_proba(others), expected, rtol=1e-9)


def test_it_comes_first_and_is_advised(wine):
    X, y, others = wine
    model = AutoTransferClassifier(n_candidates=1, random_state=0).fit(X, y)
    assert model.best_candidate_ == LINEAR_AND_FOREST
    advisor = TransferAdvisor(random_state=0).fit(X, y)
    assert advisor.strategy_ == "linear and forest"
    advised = advisor.make_estimator().fit(X, y)
    np.testing.assert_allclose(advised.predict_proba(others), model.predict_proba(others), rtol=1e-9)
    assert "the mean of a linear classifier and a random forest" in str(advisor.report_)


def test_marked_rows_are_left_out(wine):
    X, y, others = wine
    marked = np.unique(y, return_inverse=True)[1].copy()
    marked[40:] = -1
    advisor = TransferAdvisor().fit(X, marked)
    if advisor.strategy_ == "linear and forest":  # unless the marked rows look moved
        plain = TransferAdvisor().fit(X[:40], marked[:40]).make_estimator().fit(X[:40], marked[:40])
        found = advisor.make_estimator().fit(X, marked)
        assert (found.predict(others) == plain.predict(others)).all()


@pytest.mark.parametrize(
    ("rows", "suits"),
    [
        (np.zeros((20, 5)), True), (np.zeros((20, 64)), False), (np.zeros((10_001, 5)), False),
        (np.zeros((10_000, 63)), True), (scipy.sparse.csr_array((20, 5)), False), ([[0.0, 1.0]] * 5, True),
    ],
)  # fmt: skip
def test_rows_that_suit_a_forest(rows, suits):
    assert suits_forest(rows) == suits


def test_many_columns_are_left_to_the_linear_classifier():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 70)) + y[:, None]
    table = AutoTransferClassifier(["codes"], n_candidates=4).fit(X, y).leaderboard_
    assert LINEAR_AND_FOREST not in set(table["candidate"])
    assert TransferAdvisor().fit(X, y).strategy_ == "linear"


def test_values_have_a_forest_among_the_candidates():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    model = AutoTransferRegressor("codes").fit(X, np.abs(X[:, 0]) + X[:, 1])
    table = model.leaderboard_.set_index("candidate")
    assert np.isfinite(table.loc["random forest", "score"])
    wide = AutoTransferRegressor("codes").fit(np.tile(X, 30), X[:, 1])
    assert "random forest" not in set(wide.leaderboard_["candidate"])
