"""Data in periods: what a period is learned from, and what follows a drift."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktl.adaptation import RollingAdaptedClassifier
from sktl.aligners import DomainStandardizer, LabelledOnly


class Noting(ClassifierMixin, BaseEstimator):
    """Notes which rows it was given: their first column is their number."""

    def fit(self, X, y):
        self.rows_ = np.asarray(X)[:, 0].astype(int).tolist()
        self.y_ = list(y)
        self.classes_ = np.unique([label for label in y if label != -1])
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def drifting(n_periods=6, n=80, seed=0):
    rng = np.random.default_rng(seed)
    period = np.repeat(np.arange(n_periods), n)
    truth = rng.integers(2, size=n_periods * n)
    X = rng.normal(size=(len(truth), 2)) + 3 * truth[:, None] + 2 * period[:, None]
    return X, truth, period


def numbered(n=12):
    return np.c_[np.arange(n), np.zeros(n)], np.repeat([10, 20, 30, 40], n // 4)


def test_each_period_is_learned_from_those_before_it():
    X, period = numbered()
    y = np.array([0, 1, 0, 0, 1, 0, 0, 1, -1, -1, -1, -1])  # one row of 30 has no label, nor has any of 40
    model = RollingAdaptedClassifier(Noting(), window=2).fit(X, y, sample_domain=period)
    assert model.windows_ == {30: [10, 20, 30], 40: [20, 30]}
    assert model.estimators_[30].rows_ == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert model.estimators_[40].rows_ == [3, 4, 5, 6, 7, 9, 10, 11]
    assert model.estimators_[40].y_ == [0, 1, 0, 0, 1, -1, -1, -1]
    assert model.estimator_ is model.estimators_[40]
    everything = RollingAdaptedClassifier(Noting(), window=None).fit(X, y, sample_domain=period)
    assert everything.windows_[40] == [10, 20, 30]


def test_order_of_rows_does_not_matter():
    X, truth, period = drifting()
    y = np.where(period < 5, truth, -1)
    order = np.random.default_rng(1).permutation(len(y))
    model = RollingAdaptedClassifier(LabelledOnly(LogisticRegression()), window=2)
    first, second = (
        clone(model).fit(X, y, sample_domain=period),
        model.fit(X[order], y[order], sample_domain=period[order]),
    )
    np.testing.assert_allclose(first.estimator_.coef_, second.estimator_.coef_, atol=1e-4)
    text = np.array([f"2020-0{i + 1}" for i in period])
    third = clone(model).fit(X, y, sample_domain=text)
    assert third.windows_ == {"2020-06": ["2020-04", "2020-05"]}


def test_following_beats_the_first_fit():
    X, truth, period = drifting()
    newest = period == 5
    y = np.where(newest, -1, truth)
    aligned = make_pipeline(DomainStandardizer(), LabelledOnly(LogisticRegression()))
    model = RollingAdaptedClassifier(aligned, window=1).fit(X, y, sample_domain=period)
    old = LogisticRegression().fit(X[period == 0], truth[period == 0])
    following, frozen = (np.mean(m.predict(X[newest]) == truth[newest]) for m in (model, old))
    assert following > 0.95 > 0.6 > frozen


def test_answers_by_period():
    X, truth, period = drifting()
    y = np.where(period < 4, truth, -1)
    model = RollingAdaptedClassifier(LabelledOnly(LogisticRegression()), window=1).fit(X, y, sample_domain=period)
    rows = np.flatnonzero(period >= 4)
    np.random.default_rng(0).shuffle(rows)
    proba = model.predict_proba(X[rows], sample_domain=period[rows])
    for name in (4, 5):
        here = period[rows] == name
        np.testing.assert_array_equal(proba[here], model.estimators_[name].predict_proba(X[rows][here]))
    np.testing.assert_array_equal(
        model.classes_[proba.argmax(axis=1)], model.predict(X[rows], sample_domain=period[rows])
    )
    np.testing.assert_array_equal(model.predict(X), model.estimators_[5].predict(X))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    with pytest.raises(ValueError, match="which fit has not learned for; the periods are 4, 5"):
        model.predict(X, sample_domain=period)


def test_a_class_that_a_window_lacks_has_no_probability():
    X, period = numbered()
    y = np.array([0, 1, 2, 0, 1, -1, 1, 1, 1, -1, -1, -1])
    model = RollingAdaptedClassifier(Noting(), window=1).fit(X, y, sample_domain=period)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X[:1]).tolist() == [[0.0, 1.0, 0.0]]


def test_without_periods_the_unlabelled_rows_are_the_newest():
    X, truth, _ = drifting(2)
    y = np.where(np.arange(160) < 80, truth, -1)
    model = RollingAdaptedClassifier(LabelledOnly(LogisticRegression())).fit(sparse.csr_matrix(X), y)
    assert model.windows_ == {"newest": ["past"]}
    labelled = RollingAdaptedClassifier(LabelledOnly(LogisticRegression())).fit(X, truth)
    assert labelled.windows_ == {"past": ["past"]}


def test_bad_input_is_named():
    X, period = numbered()
    model = RollingAdaptedClassifier(Noting())
    with pytest.raises(ValueError, match="The period 10 has unlabelled rows, and no period before it has labels"):
        model.fit(X, np.where(period == 10, -1, 1), sample_domain=period)
    with pytest.raises(ValueError, match="holds no label"):
        model.fit(X, np.full(12, -1), sample_domain=period)
    with pytest.raises(ValueError, match="window"):
        RollingAdaptedClassifier(Noting(), window=0).fit(X, period, sample_domain=period)
    assert not hasattr(model, "estimators_")
