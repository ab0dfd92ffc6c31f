"""Regressions of a handful of feature rows: columns with units of their own, and the penalty."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine, make_friedman2
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.fewshot import FewShotClassifier, FewShotRegressor
from sktl.fewshot._table_ridge import PENALTIES, table_ridge

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


def test_columns_of_one_unit_keep_their_proportions():
    X = np.random.default_rng(0).normal(size=(20, 3)) * [1.0, 2.0, 4.0]
    y = X @ [1.0, -1.0, 0.5]
    model = FewShotRegressor().fit(X, y)
    alpha = PENALTIES[0]  # y has no noise
    centred = X - X.mean(0)
    penalty = alpha * (centred**2).sum() / len(X) * np.eye(3)
    weight = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean()))
    np.testing.assert_allclose(model.predict(X), centred @ weight + y.mean(), rtol=1e-6)


def test_outputs_of_other_units_count_alike():
    X, y, *_ = few("friedman", 20, 0)
    both = np.c_[y, X[:, 0] * 1e9]
    assert table_ridge(X, both).log_alpha == table_ridge(X, both * [1e9, 1e-9]).log_alpha


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
