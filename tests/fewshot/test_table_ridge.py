"""Regressions of a handful of rows: columns with units of their own, penalties, and rows far from those seen."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_friedman2
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.fewshot import FewShotClassifier, FewShotRegressor
from sktl.fewshot._table_ridge import OF_MEAN, PENALTIES, PRIOR, AveragedRidge

WINE, KIND = load_wine(return_X_y=True)
CANCER = load_breast_cancer().data
TABLES = {
    "diabetes": load_diabetes(return_X_y=True, scaled=False),
    "wine": (WINE[:, :-1], WINE[:, -1]),
    "cancer": (CANCER[:, 1:], CANCER[:, 0]),
    "friedman": make_friedman2(400, random_state=0),
}


def few(name, n, seed):
    X, y = TABLES[name]
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order[:n]], y[order[:n]], X[order[n : n + 150]], y[order[n : n + 150]]


@pytest.mark.parametrize("n", [5, 20])
def test_defaults_do_not_lose_to_standardised_ridge_regression(n):
    found = []
    for name in TABLES:
        for seed in range(6):
            X, y, X_test, y_test = few(name, n, seed)
            base = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11)))
            found.append([model.fit(X, y).score(X_test, y_test) for model in (FewShotRegressor(), base)])
    ours, theirs = np.median(found, axis=0)
    assert ours > theirs - 0.02


@pytest.mark.parametrize("n", [3, 5, 20])
def test_units_do_not_matter_where_they_differ(n):
    X, y, X_test, _ = few("wine", n, n)
    units = 10.0 ** np.arange(-6, 6)
    expected = FewShotRegressor().fit(X * units, y).predict(X_test * units)
    other = units[::-1]
    np.testing.assert_allclose(FewShotRegressor().fit(X * other, y).predict(X_test * other), expected, rtol=1e-6)


@pytest.mark.parametrize("n_columns", [3, 100])
def test_wide_tables_have_units_too(n_columns):
    rng = np.random.default_rng(0)
    X, units = rng.normal(size=(60, n_columns)), 10 ** rng.uniform(-3, 3, n_columns)
    y = X[:, 0] + 0.1 * rng.normal(size=60)
    expected = FewShotRegressor().fit(X[:30], y[:30]).predict(X[30:])
    found = FewShotRegressor().fit(X[:30] * units, y[:30]).predict(X[30:] * units)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def averaged(X, y):
    """The weights of standardised rows, by the normal densities of each penalty."""
    n, targets = len(X), y - y.mean()
    basis = np.linalg.svd(np.ones((n, 1)))[0][:, 1:]  # of the rows less their mean
    z, length = basis.T @ targets, (X**2).sum() / n
    weights, evidence = [np.zeros(X.shape[1])], [np.log(OF_MEAN) - (n - 1) / 2 * np.log(z @ z)]
    for penalty, prior in zip(PENALTIES * length, PRIOR):
        covariance = basis.T @ (np.eye(n) + X @ X.T / penalty) @ basis
        errors = z @ np.linalg.solve(covariance, z)
        evidence.append(np.log(prior) - np.linalg.slogdet(covariance)[1] / 2 - (n - 1) / 2 * np.log(errors))
        weights.append(np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ targets))
    share = np.exp(np.array(evidence) - max(evidence))
    return share @ np.array(weights) / share.sum()


@pytest.mark.parametrize(("n", "n_columns"), [(4, 2), (12, 3), (6, 9)])
def test_penalties_count_by_their_evidence(n, n_columns):
    rng = np.random.default_rng(n)
    X = StandardScaler().fit_transform(rng.normal(size=(n, n_columns)))
    y = X[:, 0] + rng.normal(size=n)
    both = np.c_[y, 1e9 * rng.normal(size=n)]
    model = FewShotRegressor().fit(X, both)
    for k in range(2):
        expected = X @ averaged(X, both[:, k]) + both[:, k].mean()
        np.testing.assert_allclose(model.predict(X)[:, k], expected, rtol=1e-5, atol=1e-6 * both[:, k].std())


def test_a_head_takes_tasks_together():
    rng = np.random.default_rng(0)
    X, y = (torch.from_numpy(rng.normal(size=shape)) for shape in ((3, 5, 2), (3, 5, 1)))
    head = AveragedRidge().double()
    together = head.outputs(head.adapt_targets(X, y), X)
    apart = [head.outputs(head.adapt_targets(X[k], y[k]), X[k]) for k in range(3)]
    torch.testing.assert_close(together, torch.stack(apart))


def test_without_anything_to_be_learned_the_mean_is_answered():
    model = FewShotRegressor().fit(np.ones((4, 2)), [1.0, 2.0, 3.0, 6.0])
    np.testing.assert_allclose(model.predict([[1.0, 1.0], [5.0, 9.0]]), 3.0)
    assert FewShotRegressor().fit([[0.0], [1.0], [2.0]], [7.0, 7.0, 7.0]).predict([[5.0]]) == pytest.approx(7.0)


def test_columns_that_hardly_vary_do_not_decide():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    X[:, 1] = 0
    X[3, 1] = 1e-3
    model = FewShotRegressor().fit(X, X[:, 0])
    near, far = model.predict([[0.5, 2e-3], [0.5, 1e6]])
    assert near == pytest.approx(far)
    assert far == pytest.approx(0.5, abs=0.1)


def test_columns_that_rounding_alone_varies_count_for_nothing():
    X = np.c_[np.arange(6.0), [0.1 + 0.2, 0.3] * 3]
    y = 2 * X[:, 0]
    alone = FewShotRegressor().fit(X[:, :1], y).predict(X[:, :1])
    np.testing.assert_allclose(FewShotRegressor().fit(X, y).predict(X), alone)


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-160, 1e-12, 1e12, 1e100])
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_any_scale_and_number_of_rows(n, scale):
    X, y, X_test, _ = few("wine", n, 0)
    assert np.isfinite(FewShotRegressor().fit(X * scale, y).predict(X_test * scale)).all()
    assert np.isfinite(FewShotRegressor().fit(X, y * scale).predict(X_test)).all()


@pytest.mark.parametrize(
    ("model", "y"), [(FewShotRegressor("ridge"), WINE[:, 0]), (FewShotClassifier("nearest"), KIND)], ids=repr
)
def test_a_named_head_says_that_units_decide(model, y):
    with pytest.warns(UserWarning, match=r"units of their own, .* the largest columns decide. Put StandardScaler"):
        model.fit(WINE, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(StandardScaler().fit_transform(WINE), y)
        model.fit(np.tile(WINE, 5), y)  # codes of a network: some of its units hardly vary
        type(model)().fit(WINE, y)
