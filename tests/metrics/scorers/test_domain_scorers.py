"""Scorers without target labels, against independent computations."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import sktl.density_ratios._discriminative as ratio_module
import sktl.metrics.scorers._neighborhood_density as snd_module
from sktl._codes import codes
from sktl.adaptation import DomainAdaptedClassifier
from sktl.metrics import (
    DOMAIN_SCORERS,
    BatchNuclearNormScorer,
    DeepEmbeddedValidationScorer,
    EntropyScorer,
    ImportanceWeightedScorer,
    InformationMaximizationScorer,
    LabelledScorer,
    ReverseValidationScorer,
    SoftNeighborhoodDensityScorer,
    SourceTargetScorer,
    deep_embedded_risk,
    density_ratio,
    get_domain_scorer,
    mutual_information,
    nuclear_norm_share,
    soft_neighborhood_density,
)

N = 90
OF_TARGET = [
    EntropyScorer(),
    InformationMaximizationScorer(),
    SoftNeighborhoodDensityScorer(),
    BatchNuclearNormScorer(),
]
OF_BOTH = [
    ImportanceWeightedScorer(),
    DeepEmbeddedValidationScorer(),
    DeepEmbeddedValidationScorer("log_loss"),
    ReverseValidationScorer(LogisticRegression()),
    SourceTargetScorer(),
]


def by_name(scorer):
    return repr(scorer)


@pytest.fixture(scope="module")
def rows():
    """Three classes in the plane; the target is moved. X, y with -1 in the second half, the truth."""
    rng = np.random.default_rng(0)
    truth = np.arange(2 * N) % 3
    X = np.array([[2.0, 0], [-1, 1.7], [-1, -1.7]])[truth] + rng.normal(scale=0.7, size=(2 * N, 2))
    X[N:] += [0.7, 0.4]
    y = truth.copy()
    y[N:] = -1
    return X, y, truth


@pytest.fixture(scope="module")
def model(rows):
    X, y, _ = rows
    return LogisticRegression().fit(X[: N // 2], y[: N // 2])


@pytest.fixture(scope="module")
def proba():
    return np.random.default_rng(1).dirichlet([0.3, 0.5, 0.7, 0.4], size=60)


class TestFormulas:
    def test_entropy_and_information(self, rows, model):
        X, y, _ = rows
        p = model.predict_proba(X[N:])
        entropies = np.array([-sum(v * np.log(v) for v in row) for row in p])
        mean = p.mean(axis=0)
        assert EntropyScorer()(model, X, y) == pytest.approx(-entropies.mean())
        expected = -(mean * np.log(mean)).sum() - entropies.mean()
        assert InformationMaximizationScorer()(model, X, y) == pytest.approx(expected)

    def test_information_at_its_bounds(self):
        assert mutual_information(np.eye(4)[np.arange(40) % 4]) == pytest.approx(np.log(4))
        assert mutual_information(np.eye(4)[np.zeros(40, dtype=int)]) == pytest.approx(0)
        assert mutual_information(np.full((40, 4), 0.25)) == pytest.approx(0)

    @pytest.mark.parametrize("temperature", [0.05, 0.5])
    @pytest.mark.parametrize("at_once", [1, 200, 2**22])
    def test_neighborhood_density(self, temperature, at_once, proba, monkeypatch):
        monkeypatch.setattr(snd_module, "VALUES_AT_ONCE", at_once)
        total = 0.0
        for i, p in enumerate(proba):
            near = [np.exp(p @ q / np.sqrt((p @ p) * (q @ q)) / temperature) for j, q in enumerate(proba) if j != i]
            share = np.array(near) / sum(near)
            total -= (share * np.log(share)).sum()
        assert soft_neighborhood_density(proba, temperature) == pytest.approx(total / len(proba))

    def test_neighborhood_density_of_clusters(self):
        # Four groups of ten: nine neighbours each, all alike.
        assert soft_neighborhood_density(np.eye(4)[np.arange(40) % 4]) == pytest.approx(np.log(9), rel=1e-4)

    def test_nuclear_norm(self, proba):
        singular = np.sqrt(np.linalg.eigvalsh(proba.T @ proba))
        assert nuclear_norm_share(proba) == pytest.approx(singular.sum() / np.sqrt(4 * 60))
        assert nuclear_norm_share(np.eye(4)[np.arange(40) % 4]) == pytest.approx(1)
        assert nuclear_norm_share(np.eye(4)[np.zeros(40, dtype=int)]) == pytest.approx(0.5)  # one of sqrt(4)
        assert nuclear_norm_share(np.full((3, 4), 0.25)) <= 1

    def test_deep_embedded_risk(self):
        rng = np.random.default_rng(0)
        losses, weights = rng.random(50), rng.gamma(2.0, 0.5, 50)
        covariance = np.cov(losses * weights, weights, ddof=0)
        eta = -covariance[0, 1] / covariance[1, 1]
        expected = (losses * weights).mean() + eta * weights.mean() - eta
        assert deep_embedded_risk(losses, weights) == pytest.approx(expected)
        assert deep_embedded_risk(losses, np.ones(50)) == pytest.approx(losses.mean())
        assert deep_embedded_risk(np.full(50, 0.3), weights) == pytest.approx(0.3)  # whatever the weights

    def test_the_control_variate_lowers_the_variance(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(300, 200))
        weights = np.exp(0.8 * x - 0.32)  # of N(0.8, 1) over N(0, 1)
        losses = (x > 0.2).astype(float)
        plain = (weights * losses).mean(axis=1)
        ours = np.array([deep_embedded_risk(loss, weight) for loss, weight in zip(losses, weights)])
        truth = 0.7257  # P(N(0.8, 1) > 0.2)
        assert np.square(ours - truth).mean() < 0.5 * np.square(plain - truth).mean()
        assert ours.mean() == pytest.approx(truth, abs=0.02)


class TestDensityRatio:
    def test_of_two_normal_distributions(self):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(4000, 1)), rng.normal(loc=1.0, size=(4000, 1))
        found = np.log(density_ratio(source, target))
        np.testing.assert_allclose(found, source[:, 0] - 0.5, atol=0.25)

    def test_sizes_of_the_domains_do_not_matter(self):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(2000, 2)), rng.normal(size=(400, 2))
        ratio = density_ratio(source, target)
        assert ratio.mean() == pytest.approx(1, abs=0.05)
        assert np.quantile(ratio, [0.02, 0.98]) == pytest.approx(1, abs=0.3)

    def test_sparse_rows_are_compared_alike(self):
        rng = np.random.default_rng(0)
        source, target = rng.random((60, 5)) * (rng.random((60, 5)) > 0.5), rng.random((50, 5))
        dense = density_ratio(source, target)
        found = density_ratio(sparse.csr_matrix(source), sparse.csr_matrix(target))
        np.testing.assert_allclose(found, dense, rtol=0.02)

    def test_rows_are_judged_unseen(self):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(60, 200)), rng.normal(size=(60, 200))  # no difference but by memory
        seen = make_pipeline(StandardScaler(), LogisticRegression()).fit(
            np.concatenate([source, target]), np.repeat([0, 1], 60)
        )
        assert seen.decision_function(source).max() < 0
        assert 0.3 < (density_ratio(source, target) > 1).mean() < 0.7

    def test_strength_is_the_likeliest_on_held_out_rows(self):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(80, 30)), rng.normal(size=(160, 30)) + 0.3
        X, domain = np.concatenate([source, target]), np.repeat([0, 1], [80, 160])
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        losses = {}
        for C in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            judge = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=500))
            losses[C] = log_loss(domain, cross_val_predict(judge, X, domain, cv=folds, method="predict_proba"))
        best = min(losses, key=losses.get)
        assert 1e-4 < best < 1.0
        assert np.array_equal(density_ratio(source, target), density_ratio(source, target, C=best))

    def test_ratios_of_domains_that_cannot_be_told_apart_are_near_one(self):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(150, 200)), rng.normal(size=(300, 200))
        np.testing.assert_allclose(density_ratio(source, target), 1, atol=0.5)
        assert density_ratio(source, target, C=1.0).max() > 10

    def test_many_rows_are_learned_from_in_part(self, monkeypatch):
        rng = np.random.default_rng(0)
        source, target = rng.normal(size=(1500, 1)), rng.normal(loc=1.0, size=(300, 1))
        monkeypatch.setattr(ratio_module, "FITTED_ROWS", 500)
        np.testing.assert_allclose(np.log(density_ratio(source, target, C=1.0)), source[:, 0] - 0.5, atol=0.6)

    def test_a_domain_of_one_row(self):
        with pytest.raises(ValueError, match="at least 2 rows of each; got 1 labelled and 5 unlabelled"):
            density_ratio(np.zeros((1, 2)), np.zeros((5, 2)))


class TestWeighted:
    def test_importance_weighted_is_a_weighted_mean(self, rows, model):
        X, y, _ = rows
        weights = density_ratio(X[:N], X[N:])
        right = model.predict(X[:N]) == y[:N]
        assert ImportanceWeightedScorer()(model, X, y) == pytest.approx((weights * right).sum() / weights.sum())
        balanced = ImportanceWeightedScorer("balanced_accuracy")(model, X, y)
        expected = balanced_accuracy_score(y[:N], model.predict(X[:N]), sample_weight=weights)
        assert balanced == pytest.approx(expected)
        log = ImportanceWeightedScorer("neg_log_loss", C=0.1)(model, X, y)
        weights = density_ratio(X[:N], X[N:], C=0.1)
        assert log == pytest.approx(-log_loss(y[:N], model.predict_proba(X[:N]), sample_weight=weights))

    @pytest.mark.parametrize("loss", ["zero_one", "log_loss"])
    def test_deep_embedded_validation(self, loss, rows, model):
        X, y, _ = rows
        p = model.predict_proba(X[:N])
        losses = {"zero_one": p.argmax(1) != y[:N], "log_loss": -np.log(p[np.arange(N), y[:N]])}[loss]
        expected = -deep_embedded_risk(losses, density_ratio(X[:N], X[N:]))
        assert DeepEmbeddedValidationScorer(loss)(model, X, y) == pytest.approx(expected)

    def test_source_and_target_add_up(self, rows, model):
        X, y, _ = rows
        information = InformationMaximizationScorer()(model, X, y) / np.log(3)
        assert 0 < information < 1
        accuracy, balanced = (ImportanceWeightedScorer(name)(model, X, y) for name in ("accuracy", "balanced_accuracy"))
        assert SourceTargetScorer()(model, X, y) == pytest.approx(accuracy + information)
        scorer = SourceTargetScorer("balanced_accuracy", weight=0.5)
        assert scorer(model, X, y) == pytest.approx(balanced + 0.5 * information)

    def test_an_unknown_class_is_a_loss(self, rows):
        X, y, _ = rows
        some = np.flatnonzero((y == 0) | (y == 1))
        model = LogisticRegression().fit(X[some], y[some])
        assert np.isfinite(DeepEmbeddedValidationScorer("log_loss")(model, X, y))

    @pytest.mark.parametrize("scorer", [ImportanceWeightedScorer(), DeepEmbeddedValidationScorer()], ids=by_name)
    def test_nearer_to_the_truth_than_the_source(self, scorer):
        rng = np.random.default_rng(0)
        X = np.concatenate([rng.normal(size=(1500, 1)), rng.normal(loc=1.0, size=(1500, 1))])
        truth = (np.abs(X[:, 0]) < 1).astype(int)
        y = np.where(np.arange(3000) < 1500, truth, -1)

        class Left(LogisticRegression):  # right on the left, where the source is and the target is not
            def predict(self, X):
                return (X[:, 0] > -1).astype(int)

        model = Left().fit(X[:1500], y[:1500])
        in_source, in_target = ((model.predict(X[part]) == truth[part]).mean() for part in (y >= 0, y < 0))
        found = scorer(model, X, y) + (1 if isinstance(scorer, DeepEmbeddedValidationScorer) else 0)
        assert abs(in_source - in_target) > 0.25
        assert abs(found - in_target) < 0.06

    def test_domains_are_compared_in_the_space_of_the_estimator(self, rows):
        X, y, _ = rows
        adapted = DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(X, y)
        assert np.array_equal(codes(adapted, X, "scorer"), adapted.features(X))
        pipe = make_pipeline(StandardScaler(), DomainAdaptedClassifier(max_epochs=2, random_state=0)).fit(X, y)
        assert np.array_equal(codes(pipe, X, "scorer"), pipe[-1].features(pipe[0].transform(X)))
        plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        assert np.array_equal(codes(plain, X, "scorer"), plain[0].transform(X))
        search = GridSearchCV(plain, {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
        assert np.array_equal(codes(search, X, "scorer"), codes(search.best_estimator_, X, "scorer"))
        assert np.array_equal(codes(make_pipeline(LogisticRegression()).fit(X, y), X, "scorer"), X)
        with pytest.raises(TypeError, match="neither features"):
            codes(plain[-1], [["a.png"], ["b.png"]], "scorer")


class TestLabelled:
    def test_any_metric_on_labelled_rows(self, rows, model):
        X, y, _ = rows
        assert LabelledScorer()(model, X, y) == model.score(X[:N], y[:N])
        expected = -log_loss(y[:N], model.predict_proba(X[:N]))
        assert LabelledScorer("neg_log_loss")(model, X, y) == pytest.approx(expected)
        assert LabelledScorer(lambda estimator, X, y: len(X))(model, X, y) == N
        assert LabelledScorer()(model, X[:N], y[:N]) == model.score(X[:N], y[:N])

    def test_sparse_frames_and_lists(self, rows):
        X, y, _ = rows
        X = np.abs(X)
        forest = RandomForestClassifier(5, random_state=0).fit(X[:N], y[:N])
        expected = InformationMaximizationScorer()(forest, X, y)
        for other in (sparse.csr_matrix(X), X.tolist()):
            assert InformationMaximizationScorer()(forest, other, y) == expected
        frame = pd.DataFrame(X, index=np.arange(len(X))[::-1], columns=["a", "b"])
        forest = RandomForestClassifier(5, random_state=0).fit(frame[:N], y[:N])
        assert InformationMaximizationScorer()(forest, frame, pd.Series(y, index=frame.index)) == expected


class TestReverse:
    def test_by_codes(self, rows, model):
        X, y, _ = rows
        reverse = LogisticRegression().fit(X[N:], model.predict(X[N:]))
        scorer = ReverseValidationScorer(LogisticRegression())
        assert scorer(model, X, y) == reverse.score(X[:N], y[:N])
        assert scorer.reverse_estimator.get_params() == LogisticRegression().get_params()
        assert not hasattr(scorer.reverse_estimator, "coef_")

    def test_by_a_clone_that_adapts_back(self, rows):
        X, y, _ = rows
        model = DomainAdaptedClassifier(loss="coral", max_epochs=5, random_state=0).fit(X, y)
        back = np.concatenate([np.full(N, -1), model.predict(X[N:])])
        expected = clone(model).fit(X, back).score(X[:N], y[:N])
        assert ReverseValidationScorer()(model, X, y) == expected
        text = np.where(y < 0, None, np.array(["a", "b", "c"], dtype=object)[y])
        named = DomainAdaptedClassifier(loss="coral", max_epochs=5, random_state=0).fit(X, text)
        assert ReverseValidationScorer()(named, X, text) == expected
        nan = np.where(y < 0, np.nan, y)
        assert ReverseValidationScorer(unlabelled=np.nan)(clone(model).fit(X, nan), X, nan) == expected

    def test_wrong_labels_do_not_come_back(self, rows, model):
        X, y, _ = rows

        class Turned(LogisticRegression):
            def predict(self, X):
                return (super().predict(X) + 1) % 3

        turned = Turned().fit(X[:N], y[:N])
        scorer = ReverseValidationScorer(LogisticRegression())
        assert scorer(turned, X, y) < 0.2 < 0.8 < scorer(model, X, y)

    def test_one_predicted_class(self, rows):
        X, y, _ = rows

        class One(LogisticRegression):
            def predict(self, X):
                return np.ones(len(X), dtype=int)

        for scorer in (ReverseValidationScorer(), ReverseValidationScorer(LogisticRegression())):
            assert scorer(One().fit(X[:N], y[:N]), X, y) == pytest.approx((y[:N] == 1).mean())


class TestMarks:
    @pytest.mark.parametrize("scorer", [*OF_TARGET, *OF_BOTH, LabelledScorer()], ids=by_name)
    @pytest.mark.parametrize(
        "mark",
        [
            lambda y: np.where(y < 0, None, np.array(["a", "b", "c"], dtype=object)[y]),
            lambda y: [-1 if code < 0 else "abc"[code] for code in y],
            lambda y: np.where(y < 0, "-1", np.array(["a", "b", "c"])[y]),
            lambda y: pd.Series(["a", "b", "c", pd.NA], dtype="category").iloc[y],
        ],
        ids=["None", "list", "text", "category"],
    )
    def test_text(self, scorer, mark, rows, model):
        X, y, _ = rows
        marked = mark(y)
        kept = list(marked)
        named = LogisticRegression().fit(X[: N // 2], np.array(["a", "b", "c"], dtype=object)[y[: N // 2]])
        assert scorer(named, X, marked) == pytest.approx(scorer(model, X, y))
        assert [a is b or a == b for a, b in zip(kept, marked)] == [True] * len(y)

    @pytest.mark.parametrize("scorer", [*OF_TARGET, *OF_BOTH, LabelledScorer()], ids=by_name)
    def test_numbers(self, scorer, rows, model):
        X, y, _ = rows
        expected = scorer(model, X, y)
        assert scorer(model, X, np.where(y < 0, np.nan, y)) == pytest.approx(expected)
        other = clone(scorer).set_params(unlabelled=9)
        assert other(model, X, np.where(y < 0, 9, y)) == pytest.approx(expected)

    def test_order_of_rows_does_not_matter(self, rows, model):
        X, y, _ = rows
        order = np.random.default_rng(0).permutation(len(y))
        for scorer in [*OF_TARGET, LabelledScorer()]:
            assert scorer(model, X[order], y[order]) == pytest.approx(scorer(model, X, y))


class TestBadInput:
    @pytest.mark.parametrize("scorer", [*OF_TARGET, *OF_BOTH], ids=by_name)
    def test_no_unlabelled_row(self, scorer, rows, model):
        X, _, truth = rows
        with pytest.raises(ValueError, match=rf"{type(scorer).__name__} needs unlabelled target rows, but all 180"):
            scorer(model, X, truth)

    @pytest.mark.parametrize("scorer", [*OF_BOTH, LabelledScorer()], ids=by_name)
    def test_no_labelled_row(self, scorer, rows, model):
        X, y, _ = rows
        with pytest.raises(ValueError, match=rf"{type(scorer).__name__} needs labelled rows, but all 90 rows are -1"):
            scorer(model, X[N:], y[N:])

    @pytest.mark.parametrize("scorer", OF_TARGET, ids=by_name)
    def test_target_alone_is_enough_for_some(self, scorer, rows, model):
        X, y, _ = rows
        assert scorer(model, X[N:], y[N:]) == scorer(model, X, y)

    @pytest.mark.parametrize("scorer", [*OF_TARGET, *OF_BOTH, LabelledScorer()], ids=by_name)
    def test_y_is_missing_or_too_short(self, scorer, rows, model):
        X, y, _ = rows
        with pytest.raises(ValueError, match="needs y, with -1 where"):
            scorer(model, X, None)
        with pytest.raises(ValueError, match="expected 180, got 170"):
            scorer(model, X, y[:170])

    def test_no_probabilities(self, rows):
        X, y, _ = rows
        machine = LinearSVC(random_state=0).fit(X[:N], y[:N])
        for scorer in [*OF_TARGET, DeepEmbeddedValidationScorer("log_loss"), SourceTargetScorer()]:
            with pytest.raises(TypeError, match="LinearSVC has no predict_proba"):
                scorer(machine, X, y)
        assert 0.5 < ImportanceWeightedScorer()(machine, X, y) <= 1
        assert 0.5 < ReverseValidationScorer(LogisticRegression())(machine, X, y) <= 1

    def test_probabilities_of_a_diverged_model(self, rows, model):
        X, y, _ = rows
        broken = clone(model).fit(X[:N], y[:N])
        broken.coef_ = broken.coef_ * np.nan
        broken.predict_proba = lambda X: np.full((len(X), 3), np.nan)
        with pytest.raises(ValueError, match="NaN or infinite"):
            EntropyScorer()(broken, X, y)

    def test_one_target_row(self, rows, model):
        X, y, _ = rows
        with pytest.raises(ValueError, match="needs at least 2; got 1"):
            SoftNeighborhoodDensityScorer()(model, X[: N + 1], y[: N + 1])

    @pytest.mark.parametrize(
        "scorer",
        [
            SoftNeighborhoodDensityScorer(temperature=0),
            ImportanceWeightedScorer(C=-1),
            ImportanceWeightedScorer(random_state=None),
            DeepEmbeddedValidationScorer("hinge"),
            LabelledScorer(3),
            LabelledScorer("accurate"),
            ReverseValidationScorer("logistic"),
        ],
        ids=by_name,
    )
    def test_parameters(self, scorer, rows, model):
        X, y, _ = rows
        with pytest.raises(ValueError, match=r"parameter of|not a valid"):
            scorer(model, X, y)

    def test_names(self):
        with pytest.raises(ValueError, match=r"must be one of 'domain_default'.*Did you mean 'entropy'"):
            get_domain_scorer("entropie")


class TestManners:
    @pytest.mark.parametrize("name", DOMAIN_SCORERS)
    def test_scorers_are_parameter_objects(self, name, rows, model):
        X, y, _ = rows
        scorer = get_domain_scorer(name, unlabelled=-1)
        expected = scorer(model, X, y)
        assert isinstance(expected, float)
        assert clone(scorer)(model, X, y) == expected
        copy = pickle.loads(pickle.dumps(scorer))
        assert copy(model, X, y) == expected
        assert repr(copy) == repr(scorer)
        assert repr(scorer).startswith(type(scorer).__name__)

    @pytest.mark.parametrize("name", DOMAIN_SCORERS)
    def test_better_models_score_higher(self, name, rows):
        X, y, _ = rows
        good = LogisticRegression(C=10.0).fit(X[:N], y[:N])
        mixed = LogisticRegression(C=0.01).fit(X[:N], np.random.default_rng(0).permutation(y[:N]))
        scorer = get_domain_scorer(name)
        if name == "soft_neighborhood_density":  # a model that tells nothing apart has only neighbours
            assert scorer(mixed, X, y) > scorer(good, X, y)
        else:
            assert scorer(good, X, y) > scorer(mixed, X, y)

    def test_threads(self, rows, model):
        X, y, _ = rows
        for scorer in [*OF_TARGET, *OF_BOTH]:
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda _: scorer(model, X, y), range(8)))  # noqa: B023
            assert len(set(found)) == 1

    def test_in_searches(self, rows):
        X, y, _ = rows
        model = DomainAdaptedClassifier(max_epochs=2, random_state=0)
        scores = cross_val_score(model, X, y, scoring=ImportanceWeightedScorer(), cv=3)
        assert np.array_equal(scores, cross_val_score(model, X, y, scoring=ImportanceWeightedScorer(), cv=3))
        several = {name: get_domain_scorer(name) for name in ("entropy", "labelled")}
        search = GridSearchCV(model, {"loss": [None, "coral"]}, scoring=several, refit="entropy", cv=3).fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_labelled"]).all()
        scorer = SoftNeighborhoodDensityScorer()
        search = GridSearchCV(model, {"loss": ["coral"]}, scoring=scorer, cv=3)
        assert clone(search).get_params()["scoring__temperature"] == 0.05

    def test_as_selection_of_epochs(self, rows):
        X, y, _ = rows
        scorer = get_domain_scorer()
        model = DomainAdaptedClassifier(max_epochs=4, selection=scorer, random_state=0).fit(X, y)
        noted = [row["selection_score"] for row in model.history_]
        assert model.best_epoch_ == 1 + int(np.argmax(noted))
        assert scorer(model, X, y) == pytest.approx(max(noted))
