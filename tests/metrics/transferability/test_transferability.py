"""Scores of codes and labels, each against another computation or a case with a known answer."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from scipy.special import softmax
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from sktl.metrics.transferability import (
    gbc,
    h_score,
    knn_accuracy,
    knn_leave_one_out,
    leep,
    linear_probe,
    log_me,
    n_leep,
    nce,
    ridge_leave_one_out,
    trans_rate,
)

SCORES = [gbc, h_score, knn_accuracy, linear_probe, log_me, n_leep, trans_rate]


def blobs(n=60, d=8, n_classes=3, apart=2.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    means = rng.normal(size=(n_classes, d)) * apart
    return means[y] + rng.normal(size=(n, d)), y


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_those_of_scikit_learn(k, metric):
    X, y = blobs(apart=0.5)
    # weights that grow with nearness by next to nothing: a majority, ties to the nearer ones
    peer = KNeighborsClassifier(k, metric=metric, algorithm="brute", weights=lambda d: 1 - 1e-6 * d**2)
    expected = cross_val_predict(peer, X, y, cv=LeaveOneOut())
    found = knn_leave_one_out(X, y, n_neighbors=k, metric=metric)
    assert (found == expected).all()
    assert knn_accuracy(X, y, n_neighbors=k, metric=metric) == np.mean(expected == y)


@pytest.mark.parametrize("shape", [(40, 6), (20, 50)])
def test_ridge_is_fitted_without_each_row(shape):
    X, y = blobs(*shape, apart=0.6)
    found = ridge_leave_one_out(X, y, penalties=[0.3])
    penalty = 0.3 * ((X - X.mean(axis=0)) ** 2).sum() / len(X)
    targets = np.eye(3)[y]
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        mean, goal = X[rest].mean(axis=0), targets[rest].mean(axis=0)
        A = X[rest] - mean
        weights = np.linalg.solve(A.T @ A + penalty * np.eye(shape[1]), A.T @ (targets[rest] - goal))
        np.testing.assert_allclose(found.outputs[i], goal + (X[i] - mean) @ weights, atol=1e-9)


def test_ridge_agrees_with_scikit_learn_on_the_penalty():
    X, y = blobs(80, 30, apart=0.3)
    scale = ((X - X.mean(axis=0)) ** 2).sum() / len(X)
    penalties = [1e-3, 1e-2, 1e-1, 1.0, 10.0]
    peer = RidgeCV(alphas=np.array(penalties) * scale).fit(X, np.eye(3)[y])
    found = ridge_leave_one_out(X, y, penalties=penalties)
    assert found.penalty * scale == pytest.approx(peer.alpha_)
    one = RidgeClassifierCV(alphas=[found.penalty * scale], scoring="accuracy").fit(X, y)
    assert linear_probe(X, y, penalties=[found.penalty]) == pytest.approx(one.best_score_)


def test_probes_of_codes_that_say_nothing():
    y = np.repeat([0, 1], 20)
    assert linear_probe(np.ones((40, 3)), y) == 0  # a row left out makes its own class the rarer one
    assert ridge_leave_one_out(np.ones((40, 3)), y).outputs[0] == pytest.approx([19 / 39, 20 / 39])


def test_probes_of_many_classes_and_rows():
    X, y = blobs(3000, 40, 300, apart=3.0)
    assert linear_probe(X, y) > 0.9
    assert knn_accuracy(X, y) > 0.9


@pytest.mark.parametrize("shape", [(30, 4), (20, 40)])
def test_log_me_is_the_largest_evidence(shape):
    X, y = blobs(*shape, n_classes=2, apart=0.4)
    n = len(X)

    def negative_evidence(logs, target):
        alpha, beta = np.exp(logs)
        covariance = X @ X.T / alpha + np.eye(n) / beta  # of y, weights integrated out
        return -stats.multivariate_normal(np.zeros(n), covariance).logpdf(target)

    best = []
    for column in np.eye(2)[y].T:
        starts = [optimize.minimize(negative_evidence, s, column, method="Nelder-Mead") for s in ((0, 0), (3, 2))]
        best.append(-min(found.fun for found in starts))
    assert log_me(X, y) == pytest.approx(np.mean(best) / n, rel=1e-4)


def test_log_me_of_values():
    X, _ = blobs(50, 4)
    rng = np.random.default_rng(1)
    noise, told = rng.normal(size=50), X @ rng.normal(size=4) + 0.1 * rng.normal(size=50)
    assert log_me(X, told, is_regression=True) > log_me(X, noise, is_regression=True)
    both = log_me(X, np.stack([told, noise], axis=1), is_regression=True)
    apart = [log_me(X, values, is_regression=True) for values in (told, noise)]
    assert both == pytest.approx(np.mean(apart))


def test_log_me_is_finite_where_the_fit_is_perfect_or_hopeless():
    y = np.repeat([0, 1], 5)
    assert np.isfinite(log_me(np.eye(2)[y], y))
    assert np.isfinite(log_me(np.zeros((10, 3)), y))


def test_h_score_is_the_sum_of_squared_canonical_correlations():
    X, y = blobs(90, 5, 3, apart=0.5)
    targets = np.eye(3)[y][:, :2]  # the third column is implied
    left, right = CCA(2, scale=False, max_iter=5000, tol=1e-12).fit(X, targets).transform(X, targets)
    correlations = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(2)]
    assert h_score(X, y, shrinkage=0.0) == pytest.approx(np.sum(np.square(correlations)), rel=1e-5)


@pytest.mark.parametrize("shape", [(60, 5), (20, 50)])
def test_regularised_h_score_by_the_inverse(shape):
    X, y = blobs(*shape, apart=0.5)
    n, d = X.shape
    A = X - X.mean(axis=0)
    covariance = A.T @ A / n
    means = np.stack([A[y == c].mean(axis=0) for c in y])
    for share in (0.2, 0.7):
        shrunk = (1 - share) * covariance + share * np.trace(covariance) / d * np.eye(d)
        expected = (1 - share) * np.trace(np.linalg.inv(shrunk) @ means.T @ means / n)
        assert h_score(X, y, shrinkage=share) == pytest.approx(expected)
    assert 0 < h_score(X, y) < 2


def test_gbc_by_integration():
    X, y = blobs(60, 1, 2, apart=1.0)
    parts = [X[y == c, 0] for c in (0, 1)]
    densities = [stats.norm(part.mean(), part.std(ddof=1)).pdf for part in parts]
    overlap, _ = integrate.quad(lambda x: np.sqrt(densities[0](x) * densities[1](x)), -30, 30)
    assert gbc(X, y) == pytest.approx(-2 * overlap, rel=1e-6)
    # independent columns: the overlap is the product of theirs
    wide, y = blobs(60, 2, 2, apart=1.0)
    both = [gbc(wide[:, [i]], y) / -2 for i in range(2)]
    assert gbc(wide, y) == pytest.approx(-2 * np.prod(both))


def test_gbc_of_classes_apart_alone_and_spherical():
    X, y = blobs(apart=30.0)
    assert gbc(X, y) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(gbc(X[:4], ["a", "a", "b", "c"]))
    assert -6 < gbc(blobs(apart=0.2)[0], y, covariance="spherical") < -3
    assert gbc(X, y, n_components=2) <= 0


def test_trans_rate_by_eigenvalues():
    X, y = blobs(40, 6, 2, apart=0.7)
    y = np.where(np.arange(40) < 30, 0, 1)  # of two sizes
    A = X - X.mean(axis=0)

    def rate(Z):
        return np.log1p(np.linalg.svd(Z, compute_uv=False) ** 2 / (len(Z) * 0.01)).sum() / 2

    expected = rate(A) - 0.75 * rate(A[:30]) - 0.25 * rate(A[30:])
    assert trans_rate(X, y, epsilon=0.01) == pytest.approx(expected)


def test_nce_and_leep_by_counting():
    rng = np.random.default_rng(0)
    z, y = rng.integers(0, 3, 50), rng.integers(0, 2, 50)
    table = np.array([[np.sum((z == a) & (y == b)) for b in range(2)] for a in range(3)]) / 50
    conditional = stats.entropy(table.ravel()) - stats.entropy(table.sum(axis=1))  # H(Y|Z) = H(Z, Y) - H(Z)
    assert nce(z, y) == pytest.approx(-conditional)
    assert leep(np.eye(3)[z], y) == pytest.approx(-conditional)  # certain probabilities: the same
    proba = softmax(rng.normal(size=(50, 3)), axis=1)
    given = np.array([[proba[y == b, a].sum() / proba[:, a].sum() for b in range(2)] for a in range(3)])
    expected = np.mean([np.log(sum(given[a, y[i]] * proba[i, a] for a in range(3))) for i in range(50)])
    assert leep(proba, y) == pytest.approx(expected)
    assert nce(y, y) == 0


def test_n_leep_is_leep_of_the_mixture():
    X, y = blobs(60, 1, 3, apart=4.0)
    points = (X - X.mean()) / X.std()  # one principal component, of unit spread
    mixture = GaussianMixture(4, covariance_type="diag", reg_covar=1e-4, random_state=0).fit(points)
    assert n_leep(X, y, n_components=4) == pytest.approx(leep(mixture.predict_proba(points), y), abs=1e-6)
    assert n_leep(np.ones((20, 3)), np.arange(20) % 2) == pytest.approx(-np.log(2))


@pytest.mark.parametrize("score", SCORES)
def test_telling_codes_score_higher(score):
    telling, y = blobs(90, 6, apart=3.0)
    noise = np.random.default_rng(1).normal(size=telling.shape)
    assert score(telling, y) > score(noise, y)
    names = np.array(["cat", "dog", "owl"])[y]
    assert score(telling, names) == score(telling, y)
    assert score(telling.astype(np.float32), y) == pytest.approx(score(telling, y), rel=1e-3)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, np.zeros(len(y))), "one class only"),
        (lambda X, y: (X, y[:-1]), "expected 60, got 59"),
        (lambda X, y: (np.where(X > 1, np.nan, X), y), "codes contains NaN"),
        (lambda X, y: (X[0], y), "Expected 2D array"),
        (lambda X, y: (X * 1e160, y), "codes holds numbers as large"),
        (lambda X, y: (X, np.where(y == 0, np.nan, y)), "NaN or None"),
        (lambda X, y: (X, y + 0.5), "continuous"),
        (lambda X, y: (X[:1], y[:1]), "minimum of 2"),
    ],
)
def test_bad_input_is_named(score, change, message):
    with pytest.raises(ValueError, match=message):
        score(*change(*blobs()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, y: knn_accuracy(X, y, n_neighbors=0), "n_neighbors"),
        (lambda X, y: knn_accuracy(X, y, metric="hamming"), "metric"),
        (lambda X, y: linear_probe(X, y, penalties=[0.0]), "penalties"),
        (lambda X, y: h_score(X, y, shrinkage=2.0), "shrinkage"),
        (lambda X, y: gbc(X, y, covariance="full"), "covariance"),
        (lambda X, y: gbc(X, y, n_components=0), "n_components"),
        (lambda X, y: trans_rate(X, y, epsilon=0), "epsilon"),
        (lambda X, y: n_leep(X, y, n_components=1000), "n_components"),
        (lambda X, y: leep(X, y), "source_proba must hold probabilities"),
        (lambda X, y: nce(y[:5], y), "expected 5, got 60"),
    ],
)
def test_bad_parameters_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*blobs())
