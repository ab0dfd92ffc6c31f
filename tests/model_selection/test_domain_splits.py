"""Splits by domain and by time: what each part holds, and what cannot be split."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, check_cv, cross_val_score, cross_validate

from sktl.adaptation import DomainAdaptedClassifier
from sktl.metrics import LabelledScorer
from sktl.model_selection import LeaveOneDomainOut, SourceTargetShuffleSplit, StratifiedDomainKFold, TimeDomainSplit

BOTH = [StratifiedDomainKFold(n_splits=4), SourceTargetShuffleSplit(n_splits=6, test_size=0.25)]


@pytest.fixture(scope="module")
def marked():
    """37 labelled rows of three classes and 23 unlabelled ones, shuffled."""
    rng = np.random.default_rng(0)
    return rng.permutation(np.repeat([0, 1, 2, -1], [8, 12, 17, 23]))


@pytest.fixture(scope="module")
def many():
    """Domains "a", "b" with labels, "t" with a few, and the labels."""
    rng = np.random.default_rng(1)
    domain = rng.permutation(np.repeat(["a", "b", "t"], [31, 22, 27]))
    y = rng.integers(0, 2, 80)
    y[(domain == "t") & (rng.random(80) < 0.7)] = -1
    return domain, y


def name(splitter):
    return type(splitter).__name__


def splits(splitter, y, groups=None):
    return list(splitter.split(np.zeros(len(y)), y, groups))


class TestBothDomains:
    @pytest.mark.parametrize("splitter", BOTH, ids=name)
    def test_parts_are_apart_and_in_order(self, splitter, marked):
        found = splits(splitter, marked)
        assert len(found) == splitter.get_n_splits()
        for train, test in found:
            assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(60))
            assert np.array_equal(train, np.sort(train))
            assert np.array_equal(test, np.sort(test))

    def test_folds_share_every_class_and_domain_out(self, marked):
        found = splits(StratifiedDomainKFold(n_splits=4), marked)
        assert np.array_equal(np.sort(np.concatenate([test for _, test in found])), np.arange(60))
        for label, n in zip([0, 1, 2, -1], [8, 12, 17, 23]):
            counts = [int((marked[test] == label).sum()) for _, test in found]
            assert sum(counts) == n
            assert max(counts) - min(counts) <= 1
        for part in (marked >= 0, marked < 0):
            sizes = [int(part[test].sum()) for _, test in found]
            assert max(sizes) - min(sizes) <= 1
        assert {len(test) for _, test in found} == {15}

    @pytest.mark.filterwarnings("ignore:Class .* has . rows:UserWarning")
    def test_folds_of_several_domains(self, many):
        domain, y = many
        for _, test in splits(StratifiedDomainKFold(n_splits=5), y, domain):
            for d, label in {*zip(domain, y)}:
                n = ((domain == d) & (y == label)).sum()
                assert abs(((domain[test] == d) & (y[test] == label)).sum() - n / 5) < 1
            for d in "abt":
                assert abs((domain[test] == d).sum() - (domain == d).sum() / 5) < 1

    @pytest.mark.parametrize(("test_size", "train_size"), [(0.2, None), (0.5, None), (0.3, 0.4), (0.1, 0.9)])
    def test_random_splits_take_their_shares(self, test_size, train_size, many):
        domain, y = many
        splitter = SourceTargetShuffleSplit(n_splits=5, test_size=test_size, train_size=train_size)
        for train, test in splits(splitter, y, domain):
            assert not set(train) & set(test)
            for d in "abt":
                n = (domain == d).sum()
                assert (domain[test] == d).sum() == round(test_size * n)
                trained = n - round(test_size * n) if train_size is None else round(train_size * n)
                assert (domain[train] == d).sum() == trained
                for label in (0, 1, -1):
                    n = ((domain == d) & (y == label)).sum()
                    assert abs(((domain[test] == d) & (y[test] == label)).sum() - test_size * n) <= 1.5

    @pytest.mark.parametrize("splitter", BOTH, ids=name)
    def test_the_same_splits_each_time_and_others_for_another_seed(self, splitter, marked):
        def drawn(seed):
            other = type(splitter)(n_splits=4, random_state=seed)
            return [test.tolist() for _, test in splits(other, marked)]

        assert drawn(0) == drawn(0)
        assert drawn(0) != drawn(1)

    def test_random_splits_differ_and_reach_every_row(self, marked):
        tests = [test for _, test in splits(SourceTargetShuffleSplit(n_splits=60), marked)]
        assert len({tuple(test) for test in tests}) > 55
        counts = np.bincount(np.concatenate(tests), minlength=60)
        assert counts.min() > 0
        assert counts.mean() == pytest.approx(12)

    def test_rows_in_order_without_shuffling(self):
        y = np.array([0, 0, 0, 0, -1, -1, -1, -1])
        found = splits(StratifiedDomainKFold(n_splits=2, shuffle=False), y)
        assert [test.tolist() for _, test in found] == [[0, 2, 4, 6], [1, 3, 5, 7]]

    @pytest.mark.parametrize("splitter", BOTH, ids=name)
    @pytest.mark.parametrize(
        "mark",
        [
            lambda y: np.where(y < 0, np.nan, y),
            lambda y: np.where(y < 0, None, np.array(["a", "b", "c"], dtype=object)[y]),
            lambda y: [-1 if code < 0 else "abc"[code] for code in y],
            lambda y: pd.Series(["a", "b", "c", pd.NA], dtype="category").iloc[y],
        ],
        ids=["NaN", "None", "list", "category"],
    )
    def test_marks(self, splitter, mark, marked):
        assert [t.tolist() for _, t in splits(splitter, mark(marked))] == [
            t.tolist() for _, t in splits(splitter, marked)
        ]

    @pytest.mark.parametrize("splitter", BOTH, ids=name)
    def test_one_domain_is_refused(self, splitter, marked):
        for y, which in ((np.abs(marked), "labelled"), (np.full(20, -1), "unlabelled")):
            with pytest.raises(ValueError, match=rf"{name(splitter)} takes labelled rows .* rows are {which}"):
                splits(splitter, y)
        with pytest.raises(ValueError, match="groups holds one only, 'a'"):
            splits(splitter, marked, ["a"] * 60)
        with pytest.raises(ValueError, match=f"{name(splitter)} needs y"):
            next(splitter.split(np.zeros(60)))

    @pytest.mark.filterwarnings("ignore:Class .* has . rows:UserWarning")
    def test_a_domain_too_small_is_named(self, marked):
        y = np.array([0, 1] * 10 + [-1, -1])
        with pytest.raises(ValueError, match=r"needs at least 3 rows of each domain; too small: 'target' with 2\."):
            splits(StratifiedDomainKFold(n_splits=3), y)
        assert len(splits(StratifiedDomainKFold(n_splits=2), y)) == 2
        with pytest.raises(ValueError, match="too small: 'target' with 1"):
            splits(SourceTargetShuffleSplit(), y[:-1])
        for train, test in splits(SourceTargetShuffleSplit(test_size=0.9), y):
            assert (y[train] == -1).sum() == (y[test] == -1).sum() == 1
        with pytest.raises(ValueError, match="too small: 'b' with 1, 'c' with 2"):
            splits(StratifiedDomainKFold(n_splits=3), marked[:20], ["a"] * 17 + ["b", "c", "c"])

    def test_a_rare_class_is_warned_of(self):
        y = np.array([0] * 9 + [1] + [-1] * 10)
        with pytest.warns(UserWarning, match="Class 1 has 1 rows in domain 'source', fewer than n_splits=3"):
            splits(StratifiedDomainKFold(n_splits=3), y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            splits(StratifiedDomainKFold(n_splits=3), np.where(y == 1, 0, y))

    @pytest.mark.parametrize("groups", [["a", "b"], ["a", None] * 30, np.where(np.arange(60) < 30, np.nan, 1.0)])
    def test_malformed_groups(self, groups, marked):
        with pytest.raises(ValueError, match="groups"):
            splits(StratifiedDomainKFold(n_splits=2), marked, groups)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: StratifiedDomainKFold(1), "n_splits must be an integer, at least 2; got 1"),
            (lambda: StratifiedDomainKFold(2.5), "n_splits"),
            (lambda: StratifiedDomainKFold(random_state=1.5), "random_state must be an integer"),
            (lambda: SourceTargetShuffleSplit(test_size=3), "test_size must be a share"),
            (lambda: SourceTargetShuffleSplit(test_size=0.6, train_size=0.5), "must not exceed 1"),
            (lambda: TimeDomainSplit(0), "n_splits must be an integer, at least 1 or None"),
            (lambda: TimeDomainSplit(gap=-1), "gap must be an integer"),
        ],
    )
    def test_parameters(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()


class TestLeaveOneDomainOut:
    def test_each_labelled_domain_in_turn(self, many):
        domain, y = many
        y = np.where(domain == "t", -1, y)
        splitter = LeaveOneDomainOut()
        found = splits(splitter, y, domain)
        assert splitter.get_n_splits(None, y, domain) == len(found) == 2
        for (train, test), left_out in zip(found, "ab"):
            assert np.array_equal(test, np.flatnonzero(domain == left_out))
            assert np.array_equal(train, np.flatnonzero(domain != left_out))

    def test_unlabelled_rows_of_the_tested_domain_take_no_part(self, many):
        domain, y = many
        train, test = splits(LeaveOneDomainOut(), y, domain)[2]
        assert np.array_equal(test, np.flatnonzero((domain == "t") & (y >= 0)))
        assert "t" not in domain[train]
        assert len(train) + len(test) < len(y)

    def test_without_labels_every_domain_counts(self, many):
        domain, _ = many
        assert len(list(LeaveOneDomainOut().split(domain, None, domain))) == 3

    def test_what_cannot_be_split(self, many):
        domain, y = many
        with pytest.raises(ValueError, match="needs each row's domain as groups"):
            splits(LeaveOneDomainOut(), y)
        with pytest.raises(ValueError, match="of the 3 domains in groups only 'a' has any"):
            splits(LeaveOneDomainOut(), np.where(domain == "a", y, -1), domain)
        with pytest.raises(ValueError, match="none has any"):
            splits(LeaveOneDomainOut(), np.full(80, -1), domain)
        with pytest.raises(ValueError, match="expected 70, got 80"):
            splits(LeaveOneDomainOut(), y[:70], domain)


class TestTime:
    def test_training_lies_before_the_test(self):
        period = np.random.default_rng(0).permutation(np.repeat(np.arange(8), 5))
        found = list(TimeDomainSplit(n_splits=3).split(period, groups=period))
        assert [set(period[test].tolist()) for _, test in found] == [{5}, {6}, {7}]
        assert [set(period[train].tolist()) for train, _ in found] == [{*range(n)} for n in (5, 6, 7)]

    def test_gap_and_reach(self):
        period = np.repeat(np.arange(8), 2)
        found = list(TimeDomainSplit(2, gap=1, max_train_periods=3).split(period, groups=period))
        assert [period[train].tolist() for train, _ in found] == [[2, 2, 3, 3, 4, 4], [3, 3, 4, 4, 5, 5]]

    def test_all_periods(self):
        period = np.array(["2020-01", "2020-02", "2020-02", "2020-03"], dtype="datetime64[M]")
        splitter = TimeDomainSplit(n_splits=None)
        found = list(splitter.split(period, groups=period))
        assert [test.tolist() for _, test in found] == [[1, 2], [3]]
        assert splitter.get_n_splits(period, groups=period) == 2

    def test_rows_in_order_of_time(self):
        found = list(TimeDomainSplit(n_splits=4).split(np.zeros((52, 1))))
        assert [len(test) for _, test in found] == pytest.approx([10.4] * 4, abs=1)
        for train, test in found:
            assert np.array_equal(train, np.arange(test[0]))
            assert np.array_equal(test, np.arange(test[0], test[-1] + 1))
        assert found[-1][1][-1] == 51

    def test_periods_without_labels_are_trained_on_only(self):
        period = np.repeat([1, 2, 3, 4], 3)
        y = np.array([0, 1, 0, -1, -1, -1, 1, 0, -1, -1, -1, -1])
        found = list(TimeDomainSplit(n_splits=None).split(y, y, period))
        assert [(train.tolist(), test.tolist()) for train, test in found] == [([0, 1, 2, 3, 4, 5], [6, 7])]
        with pytest.raises(ValueError, match="needs 2 labelled periods with labelled periods before them"):
            list(TimeDomainSplit(n_splits=2).split(y, y, period))

    def test_what_cannot_be_split(self):
        period = np.repeat([1, 2, 3], 3)
        with pytest.raises(ValueError, match=r"n_splits=3, gap=0 .* of 3 periods there are 2"):
            list(TimeDomainSplit(n_splits=3).split(period, groups=period))
        with pytest.raises(ValueError, match="4 rows are too few for 6 periods"):
            list(TimeDomainSplit().split(np.zeros(4)))
        with pytest.raises(ValueError, match="needs each row's period as groups"):
            list(TimeDomainSplit(n_splits=None).split(np.zeros(4)))
        missing = np.array(["2020", "NaT", "2021"], dtype="datetime64[Y]")
        with pytest.raises(ValueError, match=r"missing .* in 1 rows: 1"):
            list(TimeDomainSplit(1).split(missing, groups=missing))


class TestInScikitLearn:
    @pytest.mark.parametrize(
        ("splitter", "shown"),
        [
            (
                StratifiedDomainKFold(3),
                "StratifiedDomainKFold(n_splits=3, random_state=0, shuffle=True, unlabelled=-1)",
            ),
            (LeaveOneDomainOut(), "LeaveOneDomainOut(unlabelled=-1)"),
            (TimeDomainSplit(2), "TimeDomainSplit(gap=0, max_train_periods=None, n_splits=2, unlabelled=-1)"),
        ],
    )
    def test_they_are_cross_validators(self, splitter, shown):
        assert repr(splitter) == shown
        assert check_cv(splitter) is splitter
        assert repr(clone(splitter, safe=False)) == shown

    def test_domains_reach_splitter_and_estimator(self, many):
        domain, y = many
        X = np.random.default_rng(0).normal(size=(80, 3)) + y[:, None]
        model = DomainAdaptedClassifier(loss="coral", max_epochs=2, target_domain="t", random_state=0)
        folds = StratifiedDomainKFold(2)
        with config_context(enable_metadata_routing=True):
            params = {"sample_domain": domain, "groups": domain}
            found = cross_validate(model, X, y, scoring=LabelledScorer(), cv=folds, params=params)["test_score"]
        expected = []
        for train, test in folds.split(X, y, domain):
            fitted = clone(model).fit(X[train], y[train], sample_domain=domain[train])
            expected.append(LabelledScorer()(fitted, X[test], y[test]))
        assert found.tolist() == expected

    def test_a_new_domain_is_predicted(self, many):
        domain, _ = many
        y = np.arange(80) % 2
        X = np.random.default_rng(0).normal(scale=0.3, size=(80, 2)) + y[:, None]
        scores = cross_val_score(LogisticRegression(), X, y, groups=domain, cv=LeaveOneDomainOut())
        assert scores.shape == (3,)
        assert scores.min() > 0.9
        search = GridSearchCV(LogisticRegression(), {"C": [1.0, 10.0]}, cv=TimeDomainSplit(3)).fit(X, y)
        assert search.n_splits_ == 3
        assert search.best_score_ > 0.9
