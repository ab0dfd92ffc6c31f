"""Weights mean in training what they mean in scikit-learn: a row of weight 2 counts as two rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.finetuning._heads import RIDGES, solve_regressor
from sktl.training import unit_mean


@pytest.fixture(scope="module")
def noisy():
    """Sixty rows whose two classes lie over each other, and weights that make one of them heavy."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] + 2 * rng.normal(size=60) > 0).astype(int)
    return X, y, np.where(y == 1, 20.0, 1.0)


def trained(**params):
    return FineTunedClassifier(
        strategy="full", optimizer="sgd", learning_rate=0.01, schedule="constant", random_state=0, **params
    )


def mean_proba(model, X):
    return model.predict_proba(X)[:, 1].mean()


class TestBatchesOfAnySize:
    def test_agree_with_whole_batches_and_with_repeats(self, noisy):
        X, y, weight = noisy
        rows = np.repeat(np.arange(60), weight.astype(int))
        one = trained(batch_size=1, max_epochs=10, max_steps=10**6)
        whole = trained(batch_size=10**6, max_epochs=600, max_steps=600)
        repeated = mean_proba(whole.fit(X[rows], y[rows]), X)
        assert mean_proba(whole.fit(X, y, sample_weight=weight), X) == pytest.approx(repeated, abs=1e-6)
        assert mean_proba(one.fit(X, y, sample_weight=weight), X) == pytest.approx(repeated, abs=0.02)
        assert mean_proba(one.set_params(class_weight={0: 1, 1: 20}).fit(X, y), X) == pytest.approx(repeated, abs=0.02)
        assert repeated > 0.85

    @pytest.mark.parametrize("strategy", ["full", "scratch"])
    def test_the_scale_means_nothing(self, noisy, strategy):
        X, y, weight = noisy
        for params in ({}, {"mixup": 0.4}):
            model = trained(batch_size=4, max_epochs=2, **params).set_params(strategy=strategy)
            expected = model.fit(X, y, sample_weight=weight).predict_proba(X)
            for scale in (1e-30, 10.0, 1e39, 1e300):  # the last two are none of float32
                proba = model.fit(X, y, sample_weight=weight * scale).predict_proba(X)
                assert np.allclose(proba, expected, rtol=1e-5, atol=1e-7), scale
            regressor = FineTunedRegressor(batch_size=4, max_epochs=2, random_state=0)  # with a head that is solved
            expected = regressor.fit(X, X[:, 0], sample_weight=weight).predict(X)
            assert np.allclose(regressor.fit(X, X[:, 0], sample_weight=weight * 10).predict(X), expected, rtol=1e-4)

    @pytest.mark.parametrize("strategy", ["head", "lp-ft"])
    def test_a_head_whose_penalty_is_chosen_knows_no_scale_either(self, noisy, strategy):
        X, y, weight = noisy
        model = FineTunedClassifier(strategy=strategy, max_steps=3, batch_size=10**6, random_state=0)
        expected = model.fit(X, y, sample_weight=weight).predict_proba(X)
        unit = model.C_ if strategy == "head" else None
        for scale in (1e-6, 1 / 60, 7.0, 1e30):
            proba = model.fit(X, y, sample_weight=weight * scale).predict_proba(X)
            assert np.allclose(proba, expected, atol=1e-4), scale
            if unit is not None:
                assert pytest.approx(unit / scale) == model.C_

    def test_history_holds_the_weighted_mean(self, noisy):
        X, y, weight = noisy
        model = trained(batch_size=7, max_epochs=1).set_params(learning_rate=1e-12)
        loss = model.fit(X, y, sample_weight=weight).history_[0]["train_loss"]
        losses = -np.log(model.predict_proba(X)[np.arange(60), y])
        assert loss == pytest.approx(np.average(losses, weights=weight), rel=1e-5)

    def test_frozen_layers_and_pictures(self, small_network, striped):
        X, y = striped
        weight = np.where(y == "lying", 30.0, 1.0)
        for params in ({"strategy": "last", "freeze_until": "0.0"}, {"strategy": "full"}):
            model = FineTunedClassifier(
                small_network, image_size=32, batch_size=1, max_epochs=2, augment=None, learning_rate=0.005,
                random_state=0, optimizer="sgd", **params,
            )  # fmt: skip
            light = model.fit(X, y).predict_proba(X)[:, 0].mean()
            assert model.fit(X, y, sample_weight=weight).predict_proba(X)[:, 0].mean() > light + 0.1

    def test_unit_mean(self):
        weight = np.array([1e-300, 3e-300])
        assert np.allclose(unit_mean(weight), [0.5, 1.5])
        assert unit_mean(weight).dtype == np.float32
        assert np.allclose(unit_mean(np.array([4.0, 8.0]), 2.0), [2, 4])


class TestBalanced:
    def test_rows_of_weight_zero_are_not_counted(self, noisy):
        X, y, _ = noisy
        extra = np.r_[np.arange(60), np.flatnonzero(y == 0), np.flatnonzero(y == 0)]
        weight = np.r_[np.ones(60), np.zeros(len(extra) - 60)]
        for params in ({"strategy": "head"}, {"strategy": "full", "max_epochs": 2}):
            model = FineTunedClassifier(class_weight="balanced", random_state=0, **params)
            expected = model.fit(X, y).predict_proba(X)
            assert np.array_equal(model.fit(X[extra], y[extra], sample_weight=weight).predict_proba(X), expected)

    def test_is_that_of_logistic_regression(self, noisy):
        X, y, _ = noisy
        weight = np.random.default_rng(1).integers(0, 4, 60) * (1.0 + y)
        names = np.array(["no", "yes"], dtype=object)[y]
        head = FineTunedClassifier(strategy="head", C=1.0, class_weight="balanced")
        head.fit(X, names, sample_weight=weight)
        counts = np.bincount(y, weights=weight)
        effective = weight * (weight.sum() / (2 * counts))[y]
        assert np.allclose(head._scaler.mean_, np.average(X, axis=0, weights=effective))
        codes = head._scaler.transform(X)
        peer = LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-8).fit(codes, y, sample_weight=weight)
        assert np.allclose(head.predict_proba(X), peer.predict_proba(codes), atol=1e-3)

    @pytest.mark.parametrize(
        "class_weight", [{0: -1, 1: 1}, {0: np.nan, 1: 1}, {0: np.inf}, {0: "2"}, {1: None}, {0: [1.0]}]
    )
    def test_what_is_no_weight_is_refused(self, noisy, class_weight):
        X, y, weight = noisy
        with pytest.raises(ValueError, match="class_weight must hold finite numbers of at least 0"):
            FineTunedClassifier(strategy="head", class_weight=class_weight).fit(X, y)
        with pytest.raises(ValueError, match="Negative values"):
            FineTunedClassifier(strategy="head").fit(X, y, sample_weight=-weight)

    def test_names_of_no_class_are_refused(self, noisy):
        X, y, _ = noisy
        for class_weight in ({"0": 2, "1": 3}, {0: 2, 7: 1}):
            with pytest.raises(ValueError, match="y has no such class"):
                FineTunedClassifier(strategy="head", class_weight=class_weight).fit(X, y)
        with pytest.raises(ValueError, match=r"zero|all 0|positive"):
            FineTunedClassifier(strategy="head", class_weight={0: 0, 1: 0}).fit(X, y)

    def test_part_of_the_classes_comes_at_a_time(self, noisy):
        X, y, _ = noisy
        found = []
        for class_weight in ({1: 3.0}, {0: 1.0, 1: 3.0}):
            model = FineTunedClassifier(class_weight=class_weight, random_state=0).partial_fit(X, y)
            found.append(model.partial_fit(X[y == 0], y[y == 0]).partial_fit(X[y == 1], y[y == 1]).predict_proba(X))
        assert np.array_equal(*found)


class TestRidge:
    def brute_force(self, codes, target, weight):
        """Leave each distinct row out in turn, refit, and return the strength with the least weighted error."""
        codes = StandardScaler().fit(codes, sample_weight=weight).transform(codes)
        errors = []
        for alpha in RIDGES * weight.sum():
            error = 0.0
            for row in np.unique(codes.round(6), axis=0):
                out = (codes.round(6) == row).all(1)
                model = Ridge(alpha).fit(codes[~out], target[~out], sample_weight=weight[~out])
                left = (target[out] - model.predict(codes[out]).reshape(target[out].shape)) ** 2
                error += (weight[out] * left.sum(1)).sum()
            errors.append(error)
        return Ridge(RIDGES[np.argmin(errors)] * weight.sum()).fit(codes, target, sample_weight=weight).predict(codes)

    @pytest.mark.parametrize(("n", "width"), [(20, 3), (12, 30)])
    @pytest.mark.parametrize("n_outputs", [1, 2])
    def test_alpha_is_that_of_the_brute_force(self, n, width, n_outputs):
        rng = np.random.default_rng(n)
        codes = rng.normal(size=(n, width))
        target = codes[:, :1] + rng.normal(size=(n, n_outputs))
        rows, weight = rng.integers(0, n, 2 * n), rng.uniform(0.2, 5, 2 * n)
        target = target[rows] + 0.3 * rng.normal(size=(2 * n, n_outputs))  # the same codes, other targets
        head = solve_regressor(codes[rows], target, weight, "auto")
        found = codes[rows] @ head.weight.T + head.bias
        assert np.allclose(found, self.brute_force(codes[rows], target, weight).reshape(found.shape), atol=1e-8)

    @pytest.mark.parametrize("params", [{"strategy": "head"}, {"batch_size": 10**6, "max_steps": 5, "max_epochs": 5}])
    def test_weights_are_repeats_whatever_their_scale(self, params):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20, 30)), rng.normal(size=20)
        weight = rng.integers(0, 5, 20)
        model, rows = FineTunedRegressor(random_state=0, **params), np.repeat(np.arange(20), weight)
        expected = model.fit(X[rows], y[rows]).predict(X)
        assert np.abs(expected).max() < np.abs(y).max()  # it does not run through the points
        assert np.allclose(model.fit(X, y, sample_weight=weight).predict(X), expected, atol=1e-5)
        assert np.allclose(model.fit(X, y, sample_weight=weight / 7).predict(X), expected, atol=1e-5)

    def test_one_distinct_row(self):
        head = solve_regressor(np.ones((4, 3)), np.array([1.0, 2.0, 3.0, 6.0]), None, "auto")
        assert np.allclose(head.bias, 3)
        assert not head.weight.any()
