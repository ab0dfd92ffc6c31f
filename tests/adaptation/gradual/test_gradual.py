"""The classifier that follows an order of domains."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier, GradualAdaptedClassifier
from sktl.adaptation.gradual._domain_order import steps_of, with_neighbours
from sktl.adaptation.gradual._self_training import Labelled, SelfTraining, confident


@pytest.fixture(scope="module")
def turning():
    """Two classes that turn by 2.4 radians over 1,200 rows, of which the first 200 have labels; X, y, truth, period."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2.4, 1200)
    truth = np.tile([3, 7], 600)
    X = np.where(truth == 7, 1, -1)[:, None] * np.c_[np.cos(angle), np.sin(angle)] + rng.normal(
        scale=0.3, size=(1200, 2)
    )
    period = np.arange(1200) // 100
    return X, np.where(period < 2, truth, -1), truth, period


class TestOrder:
    @pytest.mark.parametrize(
        "inner",
        [LogisticRegression(), RandomForestClassifier(20, random_state=0), RidgeClassifier(),
         make_pipeline(StandardScaler(), LogisticRegression()),
         DomainAdaptedClassifier(loss=None, bottleneck=8, max_epochs=10, random_state=0)],
        ids=lambda e: type(e).__name__,
    )  # fmt: skip
    def test_follows_where_the_direct_way_fails(self, inner, turning):
        X, y, truth, _ = turning
        model = GradualAdaptedClassifier(inner, random_state=0, max_epochs=2).fit(X, y)
        assert model.source_estimator_.score(X[1100:], truth[1100:]) < 0.6
        assert model.score(X[1100:], truth[1100:]) > 0.8
        direct = GradualAdaptedClassifier(inner, n_steps=1, random_state=0, max_epochs=2).fit(X[np.r_[:200, 1100:1200]],
                                                                                 y[np.r_[:200, 1100:1200]])  # fmt: skip
        assert direct.score(X[1100:], truth[1100:]) < 0.6

    def test_domains_give_the_order(self, turning):
        X, y, truth, period = turning
        shuffled = np.random.default_rng(1).permutation(1200)
        model = GradualAdaptedClassifier(LogisticRegression())
        model.fit(X[shuffled], y[shuffled], sample_domain=period[shuffled])
        assert list(model.estimators_) == list(range(2, 12))
        assert model.score(X[1100:], truth[1100:]) > 0.9
        assert model.fit(X[::-1], y[::-1]).score(X[1100:], truth[1100:]) < 0.85  # the farthest rows come first

    def test_dates_and_lists(self, turning):
        X, y, truth, period = turning
        months = np.datetime64("2020-01") + period
        assert next(iter(steps_of(np.arange(200, 1200), months, "sorted", 1))) == months[200].item()
        names = np.array([f"m{p}" for p in period])  # m10 sorts before m2
        with pytest.warns(UserWarning, match="'m11' comes before 'm2'"):
            assert list(steps_of(np.arange(200, 1200), names, "sorted", 1))[:3] == ["m10", "m11", "m2"]
        listed = GradualAdaptedClassifier(LogisticRegression(), order=[f"m{p}" for p in range(2, 12)])
        assert listed.fit(X, y, sample_domain=names).score(X[1100:], truth[1100:]) > 0.9

    def test_each_step_is_the_papers(self, turning):
        X, y, _, period = turning
        model = GradualAdaptedClassifier(LogisticRegression(), drop=0.2).fit(X, y, sample_domain=period)
        expected = LogisticRegression().fit(X[:200], y[:200])
        for step in range(2, 12):
            rows = X[period == step]
            proba = expected.predict_proba(rows)
            certainty, codes = proba.max(1), proba.argmax(1)
            gone: list[int] = []  # a fifth of the rows, the least sure ones, but no more than 30 % of a class
            for row in np.argsort(certainty):
                if len(gone) < 20 and (codes[gone] == codes[row]).sum() < int(0.3 * (codes == codes[row]).sum()):
                    gone.append(row)
            surest = np.setdiff1d(np.arange(100), gone)
            expected = LogisticRegression().fit(rows[surest], expected.classes_[proba[surest].argmax(1)])
        assert np.allclose(model.estimator_.coef_, expected.coef_, rtol=1e-3)

    def test_all_rows_can_be_kept(self, turning):
        X, y, _, period = turning
        some = period < 5
        model = GradualAdaptedClassifier(LogisticRegression(), keep="all", drop=0.0)
        model.fit(X[some], y[some], sample_domain=period[some])
        rows, labels = X[:200], y[:200]
        for step in range(2, 5):
            expected = LogisticRegression().fit(rows, labels)
            rows, labels = np.r_[rows, X[period == step]], np.r_[labels, expected.predict(X[period == step])]
        assert np.allclose(model.estimator_.coef_, LogisticRegression().fit(rows, labels).coef_, rtol=1e-3)

    @pytest.mark.parametrize("keep", ["step", "all"])
    def test_what_a_network_learns(self, keep, turning):
        X, y, *_ = turning
        inner = DomainAdaptedClassifier(loss=None, bottleneck=8, max_epochs=3, random_state=0).fit(X[:200], y[:200])
        meta = GradualAdaptedClassifier(inner, keep=keep, drop=0.2, max_epochs=1, random_state=0)
        training, before = SelfTraining(meta, X, inner.classes_), Labelled(np.arange(200), y[:200])
        after, known = training.step(inner, np.arange(200, 300), before, 0, "a")
        assert len(known.rows) == {"step": 80, "all": 280}[keep]
        own = known.rows >= 200
        assert np.array_equal(known.labels[own], inner.predict(X[known.rows[own]]))
        assert np.array_equal(known.labels[~own], y[known.rows[~own]])
        assert not np.array_equal(after.predict_proba(X), inner.predict_proba(X))


class TestSeveralTargets:
    @pytest.fixture
    def model(self, turning):
        X, y, _, period = turning
        near = period < 6
        return GradualAdaptedClassifier(LogisticRegression(), order=None).fit(
            X[near], y[near], sample_domain=period[near]
        )

    def test_each_from_the_source(self, model, turning):
        X, y, _, period = turning
        one = np.isin(period, (0, 1, 5))
        alone = GradualAdaptedClassifier(LogisticRegression(), order=None).fit(
            X[one], y[one], sample_domain=period[one]
        )
        assert np.allclose(alone.estimators_[5].coef_, model.estimators_[5].coef_)
        assert list(model.estimators_) == [2, 3, 4, 5]

    def test_rows_go_to_the_model_of_their_domain(self, model, turning):
        X, _, truth, period = turning
        rows = np.flatnonzero((period >= 2) & (period < 6))[::-3]
        proba = model.predict_proba(X[rows], sample_domain=period[rows])
        for i in (0, 50, 100):
            own = model.estimators_[int(period[rows[i]])]
            assert np.allclose(proba[i], own.predict_proba(X[rows[i : i + 1]])[0])
        by_domain = model.predict(X[rows], sample_domain=period[rows])
        assert (by_domain == truth[rows]).mean() > (model.predict(X[rows]) == truth[rows]).mean()

    def test_unknown_domain(self, model, turning):
        with pytest.raises(
            ValueError, match=r"sample_domain has 9, which fit has not adapted to; the domains are 2, 3"
        ):
            model.predict(turning[0][:2], sample_domain=[2, 9])


class TestPseudoLabels:
    def test_the_least_sure_are_left_out(self):
        proba = np.array([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7], [0.45, 0.55]])
        kept, codes = confident(proba, 0.5)
        assert kept.tolist() == [1, 2]
        assert codes.tolist() == [0, 0, 1, 1]
        kept, codes = confident(np.array([-3.0, 0.1, 2.0]), 0.3)
        assert kept.tolist() == [0, 2]
        assert codes.tolist() == [0, 1, 1]

    def test_no_class_shrinks_by_being_less_sure(self):
        proba = np.array([[0.9, 0.1]] * 40 + [[0.4, 0.6]] * 40)
        kept, codes = confident(proba, 0.2)
        assert np.bincount(codes[kept]).tolist() == [36, 28]  # one and a half times 20 % of the less sure class go

    def test_rows_go_where_they_are_less_sure(self):
        rng = np.random.default_rng(0)
        certainty = np.where(np.arange(200) < 100, rng.uniform(0.9, 1, 200), rng.uniform(0.5, 0.9, 200))
        proba = np.c_[certainty, 1 - certainty]
        proba[100:] = proba[100:, ::-1]
        for drop in (0.0, 0.1, 0.5, 0.8):
            kept, codes = confident(proba, drop)
            gone = np.setdiff1d(np.arange(200), kept)
            assert len(gone) == round(drop * 200)
            of_second = gone[codes[gone] == 1]
            assert len(of_second) == min(100, round(1.5 * drop * 100))
            assert set(of_second) == set(100 + np.argsort(certainty[100:])[: len(of_second)])  # the least sure ones

    @pytest.mark.parametrize(("n_steps", "n_rows"), [(10, 300), (20, 300), (20, 1000)])
    def test_it_holds_where_nothing_drifts(self, n_steps, n_rows):
        gains, centres = [], np.array([[0, 0], [3, 0], [0, 3.0]])
        for seed in range(20):
            rng = np.random.default_rng(seed)
            truth = rng.integers(3, size=3060)
            X = centres[truth] + rng.normal(size=(3060, 2))
            source = LogisticRegression().fit(X[:60], truth[:60])
            model = GradualAdaptedClassifier(source, n_steps=n_steps).fit(X[60 : 60 + n_rows])
            assert min(map(len, steps_of(np.arange(n_rows), None, "sorted", n_steps, 100).values())) >= 100
            gains.append(model.score(X[1060:], truth[1060:]) - source.score(X[1060:], truth[1060:]))
        assert np.mean(gains) > -0.01

    def test_no_class_is_forgotten(self):
        rng = np.random.default_rng(0)
        truth = np.tile([0, 1, 2], 40)
        X = np.eye(3)[truth] * 4 + rng.normal(scale=0.3, size=(120, 3))
        start = LogisticRegression().fit(X, truth)
        some = np.flatnonzero(truth < 2)[:40]
        training = SelfTraining(GradualAdaptedClassifier(LogisticRegression()), X, start.classes_)
        after, known = training.step(start, some, Labelled(np.arange(120), truth), 0, "a")
        assert after.classes_.tolist() == [0, 1, 2]
        assert (known.labels == 2).sum() == 40
        assert np.isin(known.rows[known.labels < 2], some).all()

    def test_a_class_that_was_never_seen_has_no_probability(self):
        rng = np.random.default_rng(0)
        truth = np.tile([0, 1, 2], 40)
        X = np.eye(3)[truth] * 4 + rng.normal(scale=0.3, size=(120, 3))
        fitted = LogisticRegression().fit(X, truth)
        model = GradualAdaptedClassifier(fitted, n_steps=1).fit(X[truth != 1])
        assert model.classes_.tolist() == [0, 1, 2]
        proba = model.predict_proba(X)
        assert proba.shape == (120, 3)
        assert (proba[:, 1] == 0).all()
        assert set(model.predict(X)) == {0, 2}

    def test_a_step_of_one_class_is_left_out(self, turning):
        X, y, truth, _ = turning
        fitted = LogisticRegression().fit(X[:200], y[:200])
        with pytest.warns(UserWarning, match=r"All rows of step 0 are predicted to be 3; the step is left out"):
            model = GradualAdaptedClassifier(fitted, n_steps=1).fit(X[:200][truth[:200] == 3] * 3)
        assert model.estimator_ is fitted


class TestStarts:
    def test_fitted_or_frozen(self, turning):
        X, y, *_ = turning
        fitted = LogisticRegression().fit(X[:200], y[:200])
        coef = fitted.coef_.copy()
        whole = GradualAdaptedClassifier(LogisticRegression()).fit(X, y)
        for inner in (fitted, FrozenEstimator(fitted), make_pipeline(fitted)):
            model = GradualAdaptedClassifier(inner).fit(X[200:])
            assert np.allclose(model.predict_proba(X), whole.predict_proba(X), atol=1e-6)
        assert np.array_equal(fitted.coef_, coef)

    def test_not_fitted(self, turning):
        with pytest.raises(NotFittedError, match="LogisticRegression is not fitted"):
            GradualAdaptedClassifier(LogisticRegression()).fit(turning[0])

    def test_network_goes_on_from_what_it_has_learned(self, turning, values_of):
        X, y, *_ = turning
        inner = DomainAdaptedClassifier(loss=None, max_epochs=10, random_state=0).fit(X[:200], y[:200])
        before = values_of(inner)
        model = GradualAdaptedClassifier(inner, n_steps=1, max_epochs=1, learning_rate=1e-5, random_state=0).fit(
            X[200:300]
        )
        after = values_of(model.estimator_)
        assert all(np.allclose(before[n], after[n], atol=0.01) for n in before if "running" not in n and "num" not in n)
        assert any(not np.array_equal(before[n], after[n]) for n in before)

    def test_seed(self, turning):
        X, y, *_ = turning
        inner = DomainAdaptedClassifier(loss=None, max_epochs=3, random_state=0).fit(X[:200], y[:200])
        models = [
            GradualAdaptedClassifier(inner, n_steps=2, max_epochs=1, random_state=s).fit(X[200:]) for s in (0, 0, 1)
        ]
        proba = [model.predict_proba(X) for model in models]
        assert np.array_equal(proba[0], proba[1])
        assert not np.array_equal(proba[0], proba[2])

    def test_hides_what_the_estimator_lacks(self):
        assert not hasattr(GradualAdaptedClassifier(RidgeClassifier()), "predict_proba")
        assert hasattr(clone(GradualAdaptedClassifier(LogisticRegression())), "predict_proba")


class TestBadInput:
    @pytest.mark.parametrize(
        ("params", "domain", "message"),
        [
            ({}, np.zeros(5), "sample_domain must have one entry a row: expected 1200, got 5"),
            ({}, [None] * 1200, r"sample_domain is missing \(NaN or None\) in 1200 rows: 0, 1"),
            ({}, np.full(1200, np.datetime64("NaT")), "sample_domain is missing"),
            ({}, np.array([1, "a"] * 600, dtype=object), "cannot be sorted"),
            ({"order": None}, None, "order=None speaks of domains, but fit was given no sample_domain"),
            ({"order": [2, 3]}, np.arange(1200) // 100, r"order must name each target domain once: .* lacks 4, 5"),
            ({"order": [*range(2, 12), 99]}, np.arange(1200) // 100, "No target row is of 99"),
            ({"n_steps": 5000}, None, r"n_steps=5000 parts need at least as many target rows; got 1000"),
            ({"drop": 1.0}, None, "The 'drop' parameter"),
            ({"order": "random"}, None, "The 'order' parameter"),
        ],
    )  # fmt: skip
    def test_is_named(self, params, domain, message, turning):
        X, y, *_ = turning
        model = GradualAdaptedClassifier(LogisticRegression(), **params)
        with pytest.raises(ValueError, match=message):
            model.fit(X, y, sample_domain=domain)
        assert not hasattr(model, "estimator_")

    def test_nan(self, turning):
        X, y, *_ = turning
        X = X.copy()
        X[700, 1] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            GradualAdaptedClassifier(LogisticRegression()).fit(X, y)

    def test_a_step_of_too_few_rows_for_a_batch(self, turning):
        X, y, *_ = turning
        inner = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(X[:200], y[:200])
        with pytest.raises(ValueError, match="fewer than the 64 of a batch"):
            GradualAdaptedClassifier(inner, n_steps=10, batch_size=64).fit(X[200:240])


def test_a_small_step_learns_from_its_neighbours_too():
    steps = {"a": np.array([7, 8]), "b": np.array([1]), "c": np.array([2, 3, 4, 5, 6])}
    found = {name: rows.tolist() for name, rows in with_neighbours(steps, 4).items()}
    assert found == {"a": [7, 8, 1, 2], "b": [7, 8, 1, 2], "c": [2, 3, 4, 5, 6]}
    assert with_neighbours({"a": np.array([3])}, 9)["a"].tolist() == [3]
