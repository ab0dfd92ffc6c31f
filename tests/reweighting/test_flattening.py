"""Weights that would leave a few rows alone are flattened."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from sktl.adaptation import stack_domains
from sktl.reweighting import ReweightedClassifier, ReweightedRegressor
from sktl.reweighting._flattening import LEAST_WORTH, effective_size, flattened

RNG = np.random.default_rng(0)


def test_the_power_is_the_largest_that_leaves_enough():
    ratios = np.exp(4 * RNG.normal(size=200))
    with pytest.warns(UserWarning, match="The domains overlap little"):
        weights, power = flattened(ratios, "auto", "Someone")
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights, ratios**power / np.mean(ratios**power))
    assert effective_size(weights) == pytest.approx(LEAST_WORTH * 200, rel=1e-2)
    more = ratios ** (power + 0.02)
    assert more.sum() ** 2 / (more**2).sum() < LEAST_WORTH * 200


def test_weights_that_are_worth_enough_stay():
    ratios = RNG.uniform(0.5, 2, size=100)
    weights, power = flattened(ratios, "auto", "Someone")
    assert power == 1
    np.testing.assert_allclose(weights, ratios / ratios.mean())


@pytest.mark.parametrize("ratios", [[1.0], [0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0], [1e-320, 1.0, 0, 0], [1e300, 1e-300]])
def test_extreme_ratios_give_finite_weights(ratios):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weights, power = flattened(np.array(ratios), "auto", "Someone")
    assert np.isfinite(weights).all()
    assert 0 <= power <= 1
    assert weights.mean() == pytest.approx(1)


def test_weights_of_classes_are_left():
    ratios = np.r_[np.zeros(90), np.full(10, 10.0)]
    assert flattened(ratios, "auto", "Someone", is_of_rows=False)[1] == 1


@pytest.mark.filterwarnings("ignore:The domains overlap little:UserWarning")
class TestDefault:
    @pytest.mark.parametrize("shift", ["moved", "blurred"])
    def test_loses_little_where_the_domains_hardly_overlap(self, shift):
        X, y = load_digits(return_X_y=True)
        target = X[900:].reshape(-1, 8, 8)
        target = (target + np.roll(target, 1, axis=2)) / 2
        target = target if shift == "moved" else (target + np.roll(target, -1, axis=1)) / 2
        target = target.reshape(-1, 64)
        plain = LogisticRegression(max_iter=3000).fit(X[:900], y[:900])
        model = ReweightedClassifier(LogisticRegression(max_iter=3000))
        model.fit(*stack_domains(X[:900], y[:900], target)[:2])
        assert model.score(target, y[900:]) > plain.score(target, y[900:]) - 0.05
        as_they_are = ReweightedClassifier(LogisticRegression(max_iter=3000), flattening=1.0)
        with pytest.warns(UserWarning, match="a few rows decide"):
            as_they_are.fit(*stack_domains(X[:900], y[:900], target)[:2])
        assert as_they_are.score(target, y[900:]) < plain.score(target, y[900:]) - 0.1

    def test_gains_where_rows_are_frequent_elsewhere(self):
        rng = np.random.default_rng(0)
        X, target = rng.normal(size=(400, 5)), rng.normal(size=(400, 5))
        target[:, 0] += 1.5
        y, truth = (np.where(np.abs(rows[:, 0]) < 1, 0, 1) for rows in (X, target))
        both = stack_domains(X, y, target)[:2]
        linear = LogisticRegression()
        assert (
            ReweightedClassifier(linear).fit(*both).score(target, truth) > linear.fit(X, y).score(target, truth) + 0.3
        )

    def test_of_a_regressor(self):
        rng = np.random.default_rng(0)
        X = np.r_[rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + 4]
        y = np.r_[X[:200, 0] ** 2, np.full(200, np.nan)]
        model = ReweightedRegressor(Ridge()).fit(X, y)
        assert model.effective_sample_size_ == pytest.approx(LEAST_WORTH * 200, rel=0.02)
        assert model.flattening_ < 1
