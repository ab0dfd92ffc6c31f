"""One domain has one name, however the column that holds it is typed."""

import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktl._columns import domain_column
from sktl._domain_names import as_python, domain_name, domain_names, rows_by_domain
from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    PerDomainClassifier,
    RollingAdaptedClassifier,
)
from sktl.aligners import DomainStandardizer, LabelledOnly
from sktl.model_selection import StratifiedDomainKFold

DAYS = np.arange("2020-01-01", "2020-01-05", dtype="M8[D]").repeat(15)
NUMBERS = np.arange(1, 5).repeat(15)
DATES = {
    "days": DAYS, "nanoseconds": DAYS.astype("M8[ns]"), "seconds": DAYS.astype("M8[s]"), "series": pd.Series(DAYS),
    "nanoseconds of pandas": pd.Series(DAYS.astype("M8[ns]")), "dates": DAYS.astype(object),
    "stamps": [pd.Timestamp(day) for day in DAYS], "times": DAYS.astype("M8[us]").astype(object),
    "text": DAYS.astype(str),
}  # fmt: skip
INTEGERS = {
    "integers": NUMBERS, "floats": NUMBERS.astype(float), "objects": NUMBERS.astype(object),
    "bytes": NUMBERS.astype("u1"), "pandas": pd.Series(NUMBERS, dtype="Int64"), "list": NUMBERS.tolist(),
    "text": NUMBERS.astype(str),
}  # fmt: skip


def drifting():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=60)
    X = rng.normal(size=(60, 2)) + 2 * truth[:, None] + 0.3 * NUMBERS[:, None]
    return X, np.where(np.arange(60) < 30, truth, -1)


MODELS = {
    "rolling": RollingAdaptedClassifier(make_pipeline(DomainStandardizer(), LabelledOnly(LogisticRegression()))),
    "gradual": GradualAdaptedClassifier(LogisticRegression()),
    "per domain": PerDomainClassifier(GradualAdaptedClassifier(LogisticRegression()), min_rows=2),
}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"), (b"a", "a"), (np.str_("a"), "a"), (True, "True"), (np.True_, "True"), (1, "1"), (1.0, "1"),
        (np.float32(1), "1"), (1.5, "1.5"), (-0.0, "0"), (np.inf, "inf"), (10**400, "1" + 400 * "0"),
        (datetime.date(2020, 1, 1), "2020-01-01"), (datetime.datetime(2020, 1, 1), "2020-01-01"),
        (pd.Timestamp("2020-01-01"), "2020-01-01"), (np.datetime64("2020"), "2020-01-01"),
        (np.datetime64("2020-01-01T12", "ns"), "2020-01-01T12:00:00"),
        (datetime.datetime(2020, 1, 1, 12), "2020-01-01T12:00:00"),
        (pd.Timestamp("2020-01-01T00:00:00.000000001"), "2020-01-01T00:00:00.000000001"),
        (pd.Timestamp("2020-01-01", tz="UTC"), "2020-01-01 00:00:00+00:00"), (pd.Period("2020-01", "M"), "2020-01"),
        (np.timedelta64(48, "h"), "2 days"), (datetime.timedelta(2), "2 days"), (np.timedelta64(1, "Y"), "1 years"),
    ],
)  # fmt: skip
def test_names(value, name):
    assert domain_name(value) == name
    assert domain_names(domain_column([value], 1)).tolist() == [name]


def test_python_names():
    assert as_python(np.array([2, 1])) == [2, 1]
    assert as_python(DAYS[:1]) == [datetime.date(2020, 1, 1)]
    assert as_python(DAYS[:1].astype("M8[ns]")) == [datetime.datetime(2020, 1, 1)]
    fine = np.array(["2020-01-01T00:00:00.000000001"], dtype="M8[ns]")
    assert as_python(fine) == [fine[0]]
    assert as_python(np.array([], dtype="M8[ns]")) == []


def test_rows_by_domain():
    rows, unknown = rows_by_domain(np.array([2.0, 1.0, 2.0, 5.0]), [1, 2])
    assert {name: own.tolist() for name, own in rows.items()} == {1: [1], 2: [0, 2]}
    assert unknown == [5.0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("columns", [DATES, INTEGERS], ids=["dates", "integers"])
def test_a_domain_is_found_again_in_a_column_of_another_type(model, columns):
    X, y = drifting()
    newest = slice(45, 60)
    for learned, column in columns.items():
        fitted = MODELS[model].fit(X, y, sample_domain=column)
        # a copy answers, not the classifier of all
        expected = fitted.predict_proba(X[newest], sample_domain=column[newest])
        plain = getattr(fitted, "source_estimator_", fitted.estimator_).predict_proba(X[newest])
        assert model == "rolling" or not np.allclose(plain, expected)
        for asked, other in columns.items():
            found = fitted.predict_proba(X[newest], sample_domain=other[newest])
            np.testing.assert_array_equal(found, expected, err_msg=f"{learned}, {asked}")


def test_periods_in_nanoseconds_are_dates():
    X, y = drifting()
    model = MODELS["rolling"].fit(X, y, sample_domain=DATES["nanoseconds"])
    third, fourth = datetime.datetime(2020, 1, 3), datetime.datetime(2020, 1, 4)
    assert list(model.estimators_) == [third, fourth]
    assert model.windows_[fourth] == [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2)]
    with pytest.raises(ValueError, match=r"has datetime\.datetime\(2020, 1, 1, 0, 0\), .* not learned for"):
        model.predict(X, sample_domain=DATES["nanoseconds"])
    with pytest.raises(ValueError, match=r"holds one only, datetime\.datetime"):
        list(StratifiedDomainKFold().split(X, np.abs(y), np.full(60, DATES["nanoseconds"][0])))


def test_an_order_in_other_types():
    X, y = drifting()
    order = [pd.Timestamp("2020-01-04"), "2020-01-03"]
    model = GradualAdaptedClassifier(LogisticRegression(), order=order).fit(X, y, sample_domain=DATES["nanoseconds"])
    assert list(model.estimators_) == [datetime.datetime(2020, 1, 4), datetime.datetime(2020, 1, 3)]


@pytest.mark.parametrize("column", DATES)
@pytest.mark.parametrize("target", [np.datetime64("2020-01-04", "ns"), pd.Timestamp("2020-01-04"), "2020-01-04"])
def test_a_target_is_named_in_another_type(column, target):
    X, y = drifting()
    standardizer = DomainStandardizer(target_domain=target).fit(X, y, sample_domain=DATES[column])
    assert standardizer.is_target_domain_.tolist() == [False, False, False, True]
    labels = np.where(y < 0, 0, y)
    network = DomainAdaptedClassifier(loss=None, max_epochs=1, target_domain=target)
    network.fit(X, labels, sample_domain=DATES[column])
    assert network.is_target_domain_.tolist() == [False, False, False, True]
