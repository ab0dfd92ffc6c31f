"""Which labels mean that a row has none: alike in all adapted classifiers, splitters and scorers."""

import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sktl import FineTunedClassifier
from sktl._unlabelled import is_labelled
from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.advisor import TransferAdvisor
from sktl.aligners import CORALAligner
from sktl.metrics import DOMAIN_SCORERS, CheatingOracleScorer, get_domain_scorer
from sktl.model_selection import SourceTargetShuffleSplit, StratifiedDomainKFold
from sktl.reweighting import ReweightedClassifier

N = 40
X = np.random.default_rng(0).normal(size=(N, 3))
IS_ONE = X[: N // 2, 0] > 0
WHOLE = IS_ONE.astype(int)
MARKED = np.concatenate([WHOLE, np.full(N // 2, -1)])  # as the other tests have it
BLANK = [None] * (N // 2)
TEXT = np.array(["no", "yes"])[WHOLE].tolist()
HELD = {  # what users hold, and its classes
    "integers, None": (WHOLE.tolist() + BLANK, [0, 1]),
    "integers, None, in an array": (np.array(WHOLE.tolist() + BLANK, dtype=object), [0, 1]),
    "truth values, None": (IS_ONE.tolist() + BLANK, [False, True]),
    "truth values, NaN": (IS_ONE.tolist() + [np.nan] * (N // 2), [0.0, 1.0]),
    "decimals, None": (WHOLE.astype(float).tolist() + BLANK, [0.0, 1.0]),
    "text, None": (TEXT + BLANK, ["no", "yes"]),
    "text, -1": (TEXT + [-1] * (N // 2), ["no", "yes"]),
    "text, '-1'": (np.array(TEXT + ["-1"] * (N // 2)), ["no", "yes"]),
    "Int64, NA": (pd.Series(WHOLE.tolist() + BLANK, dtype="Int64"), [0, 1]),
    "boolean, NA": (pd.Series(IS_ONE.tolist() + BLANK, dtype="boolean"), [False, True]),
    "string, NA": (pd.Series(TEXT + BLANK, dtype="string"), ["no", "yes"]),
    "category, NaN": (pd.Series(TEXT + BLANK, dtype="category"), ["no", "yes"]),
    "bytes as objects": (np.array([*TEXT, *["-1"] * (N // 2)], dtype="S3").astype(object), [b"no", b"yes"]),
    "integers, masked": (np.ma.array(WHOLE.tolist() + [1] * (N // 2), mask=np.arange(N) >= N // 2), [0, 1]),
    "text, masked": (np.ma.array(TEXT + ["yes"] * (N // 2), mask=np.arange(N) >= N // 2), ["no", "yes"]),
}

#: Scorers that ask scikit-learn's metrics of labels, which take no bytes and say so.
COMPARE_LABELS = {"importance_weighted", "labelled", "reverse_codes", "reverse_validation", "source_target"}


def unfitted(kind):
    source = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0)
    if kind is DomainAdaptedClassifier:
        return kind(max_epochs=1, random_state=0)
    return kind(source, random_state=0)


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize(
    "kind",
    [DomainAdaptedClassifier, SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier, GradualAdaptedClassifier],
)
def test_every_classifier_takes_them(kind, held):
    y, classes = HELD[held]
    model = unfitted(kind).fit(X, y)
    assert model.classes_.tolist() == classes
    assert [type(label) for label in model.classes_.tolist()] == [type(label) for label in classes]
    expected = unfitted(kind).fit(X, MARKED)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("held", HELD)
def test_splitters_and_scorers_take_them(held):
    y, classes = HELD[held]
    for splitter in (StratifiedDomainKFold(3), SourceTargetShuffleSplit(2, random_state=0)):
        for (train, test), (same_train, same_test) in zip(splitter.split(X, y), splitter.split(X, MARKED), strict=True):
            np.testing.assert_array_equal(train, same_train)
            np.testing.assert_array_equal(test, same_test)
    model = unfitted(DomainAdaptedClassifier).fit(X, y)
    other = unfitted(DomainAdaptedClassifier).fit(X, MARKED)
    for name in sorted(set(DOMAIN_SCORERS) - {"domain_default"}):
        if held == "bytes as objects" and name in COMPARE_LABELS:
            with pytest.raises(TypeError, match="bytes is not supported"):
                get_domain_scorer(name)(model, X, y)
            continue
        assert get_domain_scorer(name)(model, X, y) == pytest.approx(get_domain_scorer(name)(other, X, MARKED)), name
    truth = [classes[int(label)] for label in X[:, 0] > 0]
    if held == "bytes as objects":
        return
    expected = np.mean(model.predict(X[N // 2 :]) == np.array(truth)[N // 2 :])
    assert CheatingOracleScorer(truth)(model, X, y) == expected


@pytest.mark.parametrize("mark", [-1, np.int64(-1), -1.0, "-1"])
def test_the_mark_among_text_is_its_text(mark):
    y = np.array(TEXT + ["-1"] * (N // 2))
    assert DomainAdaptedClassifier(max_epochs=1, unlabelled=mark).fit(X, y).classes_.tolist() == ["no", "yes"]


@pytest.mark.parametrize("kind", [DomainAdaptedClassifier, SourceFreeAdaptedClassifier])
def test_other_negatives_are_classes_and_that_is_said_once(kind):
    y = np.where(MARKED == 0, -100, MARKED)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = unfitted(kind).fit(X, y)
    said = [one for one in caught if "a negative label is a class" in str(one.message)]
    assert len(said) == 1
    assert "y holds -100" in str(said[0].message)
    assert "set unlabelled=-100" in str(said[0].message)
    assert model.classes_.tolist() == [-100, 1]
    if kind is DomainAdaptedClassifier:  # the other's is that of the source within
        assert said[0].filename == __file__
    signs = np.where(MARKED == 0, -1.0, np.where(MARKED == 1, 1.0, np.nan))
    chosen = {name: np.nan for name in model.get_params() if name.endswith("unlabelled")}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "y holds")
        assert unfitted(kind).set_params(**chosen).fit(X, signs).classes_.tolist() == [-1, 1]


@pytest.mark.parametrize("kind", ["S1", "U1", object])
def test_a_mark_of_bytes(kind):
    labels = np.array([b"a", b"?", b"b"]).astype(kind)
    assert is_labelled(labels, b"?").tolist() == [True, False, True]
    assert is_labelled(labels, "?").tolist() == [True, False, True]


DAYS = ["2020-01-01", "1900-01-01", "2021-01-01"]
DATES = [datetime.date.fromisoformat(day) for day in DAYS]
TIMES = [datetime.datetime.fromisoformat(day) for day in DAYS]


@pytest.mark.parametrize("mark", [np.datetime64(DAYS[1]), np.datetime64(DAYS[1], "ns"), DATES[1], TIMES[1],
                                  pd.Timestamp(DAYS[1])])  # fmt: skip
@pytest.mark.parametrize("kind", ["M8[D]", "M8[ns]", "dates", "times", "stamps"])
def test_a_mark_that_is_a_date_of_another_type(kind, mark):
    held = {"dates": DATES, "times": TIMES, "stamps": [pd.Timestamp(day) for day in DAYS]}
    labels = np.array(held[kind], dtype=object) if kind in held else np.array(DAYS, dtype=kind)
    assert is_labelled(labels, mark).tolist() == [True, False, True]
    assert is_labelled(labels).all()
    zoned = np.array([pd.Timestamp(day, tz="UTC") for day in DAYS], dtype=object)
    assert is_labelled(zoned, mark).all()


def test_truth_values_are_no_numbers():
    assert is_labelled(np.array([True, False]), False).tolist() == [True, False]
    assert is_labelled(np.array([True, False]), -1).all()
    assert is_labelled(np.array([0, 1, 2]), True).all()
    assert is_labelled(np.array([0.0, 1.0]), False).all()


SIGNS = np.tile([-1, 0, 1], 12)  # such as opinions: against, none, for


@pytest.mark.parametrize(
    ("y", "is_said"),
    [
        (SIGNS, True),
        (np.sort(SIGNS), True),
        (SIGNS.astype(float), True),
        (SIGNS.astype(object), True),
        (SIGNS.astype(str), True),
        (np.r_[np.sort(SIGNS)[12:], [-1] * 12], False),  # a target's rows, behind those of the source
        (np.r_[[-1] * 60, np.tile([0, 1], 12)], False),  # many more than any class
        (SIGNS + 5, False),
        (np.where(SIGNS == 1, 2, SIGNS), False),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda: TransferAdvisor(),
        lambda: DomainAdaptedClassifier(max_epochs=1),
        lambda: CORALAligner(),
        lambda: ReweightedClassifier(LogisticRegression()),
        lambda: SourceFreeAdaptedClassifier(FineTunedClassifier(max_steps=2), max_epochs=1),
    ],
)
def test_minus_one_that_looks_like_a_class_is_left_out_aloud(make, y, is_said):
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make().fit(X, y)
    said = [one for one in caught if "-1 is never predicted" in str(one.message)]
    assert len(said) == is_said
    assert all(one.filename == __file__ and "unlabelled=None" in str(one.message) for one in said)


@pytest.mark.parametrize("is_spread", [False, True])
def test_minus_one_in_domains_that_have_labels_is_left_out_aloud(is_spread):
    X, domain = np.random.default_rng(0).normal(size=(len(SIGNS), 3)), np.arange(len(SIGNS)) // 12
    y = SIGNS if is_spread else np.where(domain == 2, -1, SIGNS == 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CORALAligner().fit(X, y, sample_domain=domain)
    assert len([one for one in caught if "-1 is never predicted" in str(one.message)]) == is_spread


def test_three_way_labels_are_three_classes_if_every_row_is_labelled():
    X = np.random.default_rng(0).normal(size=(len(SIGNS), 3)) + SIGNS[:, None]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "y holds")
        assert TransferAdvisor(unlabelled=None).fit(X, SIGNS).classes_.tolist() == [-1, 0, 1]


def test_two_classes_of_which_one_is_the_mark_are_told_what_to_set():
    with pytest.raises(ValueError, match=r"one class only, 1 beside 18 unlabelled rows\. If -1 is a class, set unlab"):
        TransferAdvisor().fit(np.random.default_rng(0).normal(size=(36, 3)), np.tile([-1, 1], 18))
    with pytest.raises(ValueError, match=r"one class only, 1.0 beside 18 unlabelled rows\.$"):
        TransferAdvisor().fit(np.random.default_rng(0).normal(size=(36, 3)), np.tile([np.nan, 1], 18))
