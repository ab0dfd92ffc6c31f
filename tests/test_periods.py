"""Periods in the order of time: whatever says what comes first is used, and text that misleads is said to."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from sktl._periods import in_order_of_time
from sktl.adaptation import GradualAdaptedClassifier, RollingAdaptedClassifier
from sktl.aligners import LabelledOnly
from sktl.displays import DriftDisplay
from sktl.model_selection import TimeDomainSplit

SIZES = ["small", "middle", "large", "huge"]  # in another order than that of text


class Constant(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique([label for label in y if label != -1])
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def as_pandas(values):
    return pd.Series(pd.Categorical(values, categories=SIZES, ordered=True))


def as_polars(values):
    polars = pytest.importorskip("polars", reason="the column is one of polars, an optional package")
    return polars.Series(values, dtype=polars.Enum(SIZES))


@pytest.mark.parametrize("column", [as_pandas, as_polars, lambda values: pd.Categorical(values, SIZES, ordered=True)])
def test_ordered_categories_say_what_comes_first(column):
    values = np.repeat(["huge", "small", "large"], 3)
    names, of_row = in_order_of_time(column(values.tolist()), 9)
    assert names.tolist() == ["small", "large", "huge"]  # no row is of the middle
    np.testing.assert_array_equal(of_row, np.repeat([2, 0, 1], 3))
    np.testing.assert_array_equal(names[of_row], values)
    plain, _ = in_order_of_time(pd.Series(pd.Categorical(values)), 9)
    assert plain.tolist() == ["huge", "large", "small"]


@pytest.mark.filterwarnings("ignore:The number of unique classes")
def test_all_that_follow_time_follow_ordered_categories():
    period = as_pandas(np.repeat(SIZES, 20))
    rng = np.random.default_rng(0)
    X, truth = rng.normal(size=(80, 2)), np.tile([0, 1], 40)
    y = np.where(period == "huge", -1, truth)
    assert RollingAdaptedClassifier(Constant(), window=2).fit(X, y, sample_domain=period).windows_ == {
        "huge": ["middle", "large"]
    }
    tested = [period[test].iloc[0] for _, test in TimeDomainSplit(n_splits=2).split(X, truth, groups=period)]
    assert tested == ["large", "huge"]
    shown = DriftDisplay.from_estimators({"constant": Constant()}, X, truth, sample_domain=period)
    assert list(shown.periods) == ["middle", "large", "huge"]
    y = np.where(period == "small", truth, -1)
    gradual = GradualAdaptedClassifier(LogisticRegression()).fit(X, y, sample_domain=period)
    assert list(gradual.estimators_) == ["middle", "large", "huge"]


@pytest.mark.parametrize(
    ("values", "before", "after"),
    [
        (["8", "9", "10", "11"], "11", "8"),
        (["2024-W8", "2024-W9", "2024-W10"], "2024-W10", "2024-W8"),
        (["Q3 2024", "Q4 2024", "Q1 2025"], "Q1 2025", "Q3 2024"),
        (["30.12.2023", "31.12.2023", "01.01.2024"], "01.01.2024", "30.12.2023"),
        (["January", "February", "March"], "February", "January"),
        (["Nov 2023", "Feb 2024"], "Feb 2024", "Nov 2023"),
        (["2024-01", "2024-02", "2024-10"], None, None),
        (["2023-12-31T10:00", "2024-01-01T09:00"], None, None),
        (["north", "south", "east"], None, None),
        (["a1", "b"], None, None),
        ([8, 9, 10, 11], None, None),
    ],
)
def test_text_that_sorts_otherwise_than_time_is_said(values, before, after):
    if before is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            in_order_of_time(values, None)
    else:
        with pytest.warns(UserWarning, match=f"{before!r} comes before {after!r}. .*ordered categories"):
            in_order_of_time(values, None)


def test_the_order_is_not_asked_for_where_it_is_given():
    rng = np.random.default_rng(0)
    X, step = rng.normal(size=(60, 2)), np.repeat(["8", "9", "10"], 20)
    y = np.where(step == "8", np.tile([0, 1], 30), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradualAdaptedClassifier(LogisticRegression(), order=["9", "10"]).fit(X, y, sample_domain=step)
        GradualAdaptedClassifier(LogisticRegression(), order=None).fit(X, y, sample_domain=step)
    with pytest.warns(UserWarning, match="'9'"):
        RollingAdaptedClassifier(LabelledOnly(LogisticRegression())).fit(
            X, np.where(step == "10", -1, np.tile([0, 1], 30)), sample_domain=np.repeat(["1", "9", "10"], 20)
        )
