"""Dates as labels, tuples as labels, and copies of fitted estimators, over every classifier."""

import copy
import datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier

from sktl._columns import class_labels
from sktl._domains import found_domains
from sktl.finetuning import FineTunedClassifier
from tests.cases import CASES, outputs

DATES = [datetime.date(2020, 1, 1 + day) for day in range(3)]
TIMES = [datetime.datetime(2020, 1, 1 + day, 3, 0, 0, 7) for day in range(3)]
KINDS = {
    "dates": DATES,
    "times": TIMES,
    "stamps": [pd.Timestamp(time) + pd.Timedelta(5, "ns") for time in TIMES],
    "differences": [datetime.timedelta(hours=day) for day in range(3)],
    "M8": list(np.array(DATES, "M8[D]")),
}
ONE_OF_EACH = {type(case.make()).__name__ if "Text" not in case.name else case.name: case for case in reversed(CASES)}
CLASSIFIERS = [
    case for case in ONE_OF_EACH.values() if is_classifier(made := case.make()) and hasattr(made, "predict")
]  # fmt: skip


def labels(kind, y):
    values = KINDS[kind]
    if kind == "M8":
        return np.array([np.datetime64("NaT") if label == -1 else values[label] for label in y])
    return [None if label == -1 else values[label] for label in y]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", CLASSIFIERS, ids=lambda case: case.name)
def test_dates_are_labels_in_fit_predict_and_score(case):
    y = np.asarray(case.y)
    expected, known = np.asarray(case.make().fit(case.X, y).predict(case.X)), y != -1
    for kind in ("dates", "stamps", "M8"):
        given = labels(kind, y)
        fitted = case.make().fit(case.X, given)
        assert all(found == KINDS[kind][i] for found, i in zip(fitted.predict(case.X), expected, strict=True))
        assert fitted.score(case.X, given) == pytest.approx((expected == y)[known].mean())


@pytest.mark.parametrize("case", CLASSIFIERS, ids=lambda case: case.name)
@pytest.mark.parametrize("values", [[(0, 1), (1, 0), (1, 1)], [("a", 1), ("a", 2), ("b", 1)]], ids=["bits", "pairs"])
def test_a_list_of_tuples_is_no_labels(case, values):
    y = [-1 if label == -1 else values[label] for label in case.y]
    with pytest.raises(ValueError, match="y is a list that holds tuples, such as"):
        case.make().fit(case.X, y)


@pytest.mark.parametrize("kind", KINDS)
def test_dates_keep_what_they_say(kind):
    found = class_labels(KINDS[kind], 3, "a test")
    assert found.dtype.kind in "mM"
    assert all(one == other for one, other in zip(found, KINDS[kind], strict=True))
    objects = np.array(KINDS[kind], dtype=object)
    np.testing.assert_array_equal(class_labels(objects, 3, "a test"), found)


def test_times_with_a_zone_and_of_differing_types():
    zoned = [pd.Timestamp(day, tz="UTC") for day in DATES] * 8
    X = np.random.default_rng(0).normal(size=(24, 4)) + 4 * np.eye(4)[np.arange(24) % 3]
    model = FineTunedClassifier(strategy="head").fit(X, zoned)
    assert model.predict(X).tolist() == zoned
    assert model.score(X, zoned) == 1
    with pytest.raises(ValueError, match="cannot be sorted"):
        model.score(X, ["text"] * 24)
    with pytest.raises(ValueError, match="cannot be sorted"):
        model.fit(X, [DATES[0], TIMES[1], DATES[2]] * 8)


@pytest.mark.parametrize("days", [DATES, TIMES, KINDS["stamps"]], ids=["dates", "times", "stamps"])
def test_domains_that_are_dates_are_named_as_numpy_writes_them(days):
    y, domains = np.repeat([0, 1, -1], 2), np.repeat(np.array(days, dtype=object), 2)
    found = found_domains(y, domains, -1, days[1])
    assert found.names.tolist() == [str(day).replace(" ", "T") for day in days]
    assert found.targets.tolist() == [False, True, False]


def as_numbers(found):
    return [np.asarray(part, np.float64) for part in found]


LEARN_ON = [case for case in CASES if hasattr(case.make(), "partial_fit") and "Text" not in case.name]


@pytest.mark.parametrize("start", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", LEARN_ON, ids=lambda case: case.name)
def test_copies_learn_apart(case, start):
    shifted = (case.y + 1) % 3 if case.y.dtype.kind == "i" else -case.y
    original = getattr(case.make(), start)(case.X, case.y)
    alone = copy.deepcopy(original)
    for _ in range(2):
        alone.partial_fit(case.X, shifted)
    moved, still = as_numbers(outputs(alone, case.X, case.y)), as_numbers(outputs(original, case.X, case.y))
    assert any((one != other).any() for one, other in zip(moved, still, strict=True))
    copied = copy.copy(original)
    for which, mover, other in ((copied, copied, original), (original, original, copy.copy(original))):
        for _ in range(2):
            mover.partial_fit(case.X, shifted)
        for found, expected in zip(as_numbers(outputs(which, case.X, case.y)), moved, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        for found, expected in zip(as_numbers(outputs(other, case.X, case.y)), still, strict=True):
            np.testing.assert_array_equal(found, expected)
