"""The recommended pipeline, and the logistic regression that chooses its own penalty."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl import CNNCodesTransformer, make_codes_classifier
from sktl import _logistic as logistic
from sktl.features import LogisticRegressionLOO


@parametrize_with_checks([LogisticRegressionLOO()])
def test_scikit_learn_checks(estimator, check):
    state = np.random.get_state()
    check(estimator)
    if "order_invariance" in str(check):  # it permutes rows by NumPy's global generator
        np.random.set_state(state)


@pytest.fixture(params=["more columns than rows", "more rows than columns", "two classes"])
def few(request):
    X, y = load_digits(return_X_y=True)
    X = Normalizer().fit_transform(X)
    if request.param == "more columns than rows":
        return X[:40], y[:40]
    if request.param == "two classes":
        return X[y < 2][:30], y[y < 2][:30]
    wine, kinds = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(wine)[::4], kinds[::4]


class TestSolution:
    @pytest.mark.parametrize("C", [0.3, 30.0])
    def test_is_that_of_scikit_learn(self, few, C):
        X, y = few
        weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
        model = LogisticRegressionLOO(C).fit(X, y, weight)
        peer = LogisticRegression(C=C, tol=1e-8, max_iter=10_000).fit(X, y, weight)
        assert np.allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-4)
        assert np.array_equal(model.predict(X), peer.predict(X))
        assert np.allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
        assert model.C_ == C
        assert np.isnan(model.loo_log_loss_)

    def test_weights_are_repeats(self, few):
        X, y = few
        weight = np.random.default_rng(1).integers(0, 4, len(X))
        by_weight = LogisticRegressionLOO().fit(X, y, weight)
        by_rows = LogisticRegressionLOO().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
        assert np.isclose(by_weight.C_, by_rows.C_)
        assert np.isclose(by_weight.loo_log_loss_, by_rows.loo_log_loss_)
        assert np.allclose(by_weight.predict_proba(X), by_rows.predict_proba(X), atol=1e-4)


class TestLeavingOneOut:
    @pytest.mark.parametrize("strength", [1.0, 10.0, 100.0])
    def test_is_what_fits_without_each_row_give(self, few, strength):
        X, y = few
        data = logistic._Rows.of(X, y, np.ones(len(X)))
        C = strength / np.square(data.scores).sum(1).mean()
        found = logistic.leave_one_out_logits(data, logistic._solved(data, C, 1000), C)
        losses = logistic._log_losses(found, y)
        true = np.empty(len(X))
        for i in range(len(X)):
            rest = np.arange(len(X)) != i
            model = LogisticRegression(C=C, tol=1e-6, max_iter=10_000).fit(X[rest], y[rest])
            true[i] = -model.predict_log_proba(X[i : i + 1])[0, y[i]]
        assert 0.5 < losses.mean() / true.mean() < 2  # one step stands for a whole fit
        assert np.corrcoef(np.log(losses), np.log(true))[0, 1] > 0.97
        inside = logistic._log_losses(data.scores @ (s := logistic._solved(data, C, 1000)).weight.T + s.bias, y)
        assert losses.mean() > inside.mean()

    def test_both_systems_give_the_same(self):
        rng = np.random.default_rng(0)
        scores, curvature = rng.normal(size=(12, 10)), rng.uniform(0.05, 0.25, 12)
        small = logistic._influences(scores, curvature, 2.0)
        wide = logistic._influences(np.hstack([scores, np.zeros((12, 9))]), curvature, 2.0)
        assert np.allclose(small, wide)

    def test_the_penalty_follows_the_noise(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(300, 5)), rng.integers(0, 2, 300)
        noise = LogisticRegressionLOO().fit(X, y)
        clear = LogisticRegressionLOO().fit(X, (X[:, 0] > 0).astype(int))
        assert noise.C_ < 0.1 * clear.C_
        assert noise.loo_log_loss_ < 0.75  # chance is 0.69

    def test_balanced_counts_weights_and_their_scale_means_nothing(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(60, 4))
        y = np.array(["a", "b", "c"])[(X[:, 0] + rng.normal(size=60) > 0).astype(int) + (X[:, 1] > 1)]
        weight = rng.integers(0, 3, 60)
        kept, repeated = weight > 0, np.repeat(np.arange(60), weight)
        for class_weight in (None, "balanced", {"a": 3.0}):
            model = LogisticRegressionLOO(class_weight=class_weight)
            expected = model.fit(X, y, sample_weight=weight).predict_proba(X)
            others = [
                model.fit(X[kept], y[kept], sample_weight=weight[kept]).predict_proba(X),
                model.fit(X[repeated], y[repeated]).predict_proba(X),
                model.fit(X, y, sample_weight=weight * 1e-6).predict_proba(X),
                model.fit(X, y, sample_weight=weight * 1e30).predict_proba(X),
            ]
            for proba in others:
                assert np.allclose(proba, expected, atol=1e-4)

    def test_many_rows_are_looked_at_in_part(self, monkeypatch):
        X, y = load_digits(return_X_y=True)
        X = Normalizer().fit_transform(X[:400])
        whole = LogisticRegressionLOO().fit(X, y[:400])
        monkeypatch.setattr(logistic, "MOST_WORK", 10 * 150**3)
        part = LogisticRegressionLOO().fit(X, y[:400])
        assert 0.09 < part.C_ / whole.C_ < 11
        assert part.score(X, y[:400]) > 0.95

    def test_the_only_row_of_a_class_tells_nothing(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(6, 40))
        model = LogisticRegressionLOO().fit(X, np.arange(6))
        assert np.isclose(model.C_ * np.square(X - X.mean(0)).sum(1).mean(), 100)  # the middle strength
        assert np.isnan(model.loo_log_loss_)
        y = np.r_[np.repeat(np.arange(3), 6), np.arange(3, 12)]
        rows = 0.8 * rng.normal(size=(12, 40))[y] + rng.normal(size=(27, 40))
        model = LogisticRegressionLOO().fit(rows, y)
        told = np.flatnonzero(y < 3)
        losses = []
        for i in told:
            others = LogisticRegression(C=model.C_, max_iter=1000).fit(np.delete(rows, i, 0), np.delete(y, i))
            losses.append(-others.predict_log_proba(rows[[i]])[0, y[i]])
        assert np.isclose(model.loo_log_loss_, np.mean(losses), rtol=0.2)

    def test_rows_without_differences(self):
        model = LogisticRegressionLOO().fit(np.ones((4, 3)), [0, 1, 1, 1])
        assert np.allclose(model.predict_proba(np.ones((1, 3))), [[0.25, 0.75]], atol=0.01)


class TestPipeline:
    def test_steps(self):
        model = make_codes_classifier(C=3.0, class_weight="balanced")
        assert isinstance(model, Pipeline)
        assert list(model.named_steps) == ["codes", "unit_length", "classifier"]
        assert model.get_params()["classifier__C"] == 3.0
        assert model["classifier"].class_weight == "balanced"
        assert model["codes"].backbone == "efficientnet_lite0"

    def test_what_makes_the_codes(self):
        own = CNNCodesTransformer(image_size=32)
        assert make_codes_classifier(own)["codes"] is own
        assert make_codes_classifier("resnet18")["codes"].backbone == "resnet18"

    def test_few_digits(self):
        X, y = load_digits(return_X_y=True)
        train = np.concatenate([np.flatnonzero(y == k)[:3] for k in range(10)])
        test = np.arange(1000, 1100)
        model = make_codes_classifier(CNNCodesTransformer(image_size=64, engine="torch")).fit(X[train], y[train])
        codes = model["codes"].transform(X[test])
        plain = Pipeline([("scale", StandardScaler()), ("classifier", LogisticRegression(max_iter=1000))])
        plain.fit(model["codes"].transform(X[train]), y[train])
        assert model["classifier"].score(Normalizer().transform(codes), y[test]) > plain.score(codes, y[test])
        found = log_loss(y[test], model.predict_proba(X[test]))
        assert found < log_loss(y[test], plain.predict_proba(codes))
        assert found < np.log(10)
