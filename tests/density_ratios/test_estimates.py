"""Estimates of density ratios, against other solvers, closed forms and known ratios."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.base import clone

from sktl._mixture import shares
from sktl.density_ratios import (
    DENSITY_RATIOS,
    KLIEP,
    DiscriminativeRatio,
    KernelMeanMatching,
    NearestNeighborRatio,
    RuLSIF,
    density_ratio,
    get_density_ratio,
)
from sktl.density_ratios._kernel_mean_matching import lowest, projected, solved
from sktl.density_ratios._rulsif import coefficients

each = pytest.mark.parametrize("name", DENSITY_RATIOS)


@pytest.fixture(scope="module")
def shifted():
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 1)), rng.normal(loc=0.8, scale=0.8, size=(300, 1))


@each
def test_a_known_ratio_is_found(name, shifted):
    source, target = shifted
    x = source[:, 0]
    true = np.exp(-0.5 * ((x - 0.8) / 0.8) ** 2 + 0.5 * x**2) / 0.8
    found = get_density_ratio(name).estimate(source, target)
    least = {"nearest_neighbor": 0.5, "kmm": 0.6}.get(name, 0.9)  # their ratios are those of single rows
    assert spearmanr(found, true).statistic > least
    assert abs(np.average(x, weights=found) - 0.8) < (
        0.5 if name == "nearest_neighbor" else 0.25
    )  # its smoothing draws to the source
    assert 0.6 < found.mean() < 1.4


def test_kernel_mean_matching_solves_the_papers_problem():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(12, 2)), rng.normal(loc=0.7, size=(9, 2))
    K, k = (np.exp(-cdist(source, rows, "sqeuclidean") / (2 * 1.5**2)) for rows in (source, target))
    kappa, slack = 12 / 9 * k.sum(axis=1), 0.1
    best = minimize(
        lambda b: b @ K @ b / 2 - kappa @ b, np.ones(12), jac=lambda b: K @ b - kappa, bounds=[(0, 3)] * 12,
        constraints={"type": "ineq", "fun": lambda b: np.array([1.1 - b.mean(), b.mean() - 0.9])},
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    found = KernelMeanMatching(1.5, largest=3, slack=slack).estimate(source, target)
    assert found.min() >= 0
    assert found.max() <= 3
    assert 0.9 - 1e-9 <= found.mean() <= 1.1 + 1e-9
    assert found @ K @ found / 2 - kappa @ found <= best.fun + 1e-3 * abs(best.fun)


def test_projection_and_lowest_point():
    rng = np.random.default_rng(1)
    for low, high in ((0.9, 1.1), (1.0, 1.0), (0.0, 0.5)):
        b = rng.normal(scale=3, size=20)
        near = projected(b, 2.0, low, high)
        assert low - 1e-6 <= near.mean() <= high + 1e-6
        least = lowest(b, 2.0, low, high)
        for _ in range(200):
            other = rng.uniform(0, 2, 20)
            other *= rng.uniform(low, high) / other.mean()
            if other.max() <= 2:
                assert np.sum((b - near) ** 2) <= np.sum((b - other) ** 2) + 1e-9
                assert b @ least <= b @ other + 1e-9
    assert np.allclose(solved(np.eye(3), np.array([1.0, 2.0, 0.5]), 10, 0.0, 9.0), [1, 2, 0.5])


def test_many_rows_are_matched_in_parts(shifted):
    source, target = shifted
    whole = KernelMeanMatching().estimate(source, target)
    parts = KernelMeanMatching(max_rows=150).estimate(source, target)
    assert abs(np.average(source[:, 0], weights=whole) - np.average(source[:, 0], weights=parts)) < 0.05


def test_kliep_reaches_the_largest_likelihood(shifted):
    source, target = shifted[0][:40], shifted[1][:30]
    A = np.exp(-cdist(target, target[:8], "sqeuclidean") / 2)
    means = np.exp(-cdist(source, target[:8], "sqeuclidean") / 2).mean(axis=0)
    best = minimize(
        lambda a: -np.log(A @ a).mean(), np.full(8, 1 / 8) / means, bounds=[(0, None)] * 8,
        constraints={"type": "eq", "fun": lambda a: a @ means - 1}, method="SLSQP", options={"ftol": 1e-12},
    )  # fmt: skip
    found = shares(A / means, 1e-6)
    assert np.isclose(found.sum(), 1)
    assert np.isclose(np.log(A / means @ found).mean(), -best.fun, atol=1e-5)
    assert np.isclose(KLIEP(sigma=1.0).estimate(source, target).mean(), 1)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_rulsif_is_the_closed_form(alpha):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(30, 2)), rng.normal(loc=0.5, size=(20, 2))
    at_source, at_target = (np.exp(-cdist(rows, target, "sqeuclidean") / (2 * 0.9**2)) for rows in (source, target))
    H = alpha * at_target.T @ at_target / 20 + (1 - alpha) * at_source.T @ at_source / 30
    expected = np.linalg.solve(H + 0.2 * np.eye(20), at_target.mean(axis=0))
    np.testing.assert_allclose(coefficients(at_source, at_target, alpha, [0.2])[0], expected)
    found = RuLSIF(alpha, sigma=0.9, regularization=0.2).estimate(source, target)
    np.testing.assert_allclose(found, (at_source @ expected).clip(0), rtol=1e-6)


def test_no_relative_ratio_is_far_above_its_bound():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(300, 1)), rng.normal(loc=3.0, size=(300, 1))
    relative, plain = (RuLSIF(alpha).estimate(source, target).max() for alpha in (0.5, 0.0))
    assert relative < 2.5 < plain


def test_nearest_neighbours_are_counted(shifted):
    source, target = shifted
    nearest = cdist(target, source).argmin(axis=1)
    counts = np.array([np.sum(nearest == i) for i in range(len(source))]) + 1
    np.testing.assert_allclose(NearestNeighborRatio().estimate(source, target), counts * 400 / (300 + 400))


def test_discriminative_is_the_function(shifted):
    np.testing.assert_array_equal(DiscriminativeRatio().estimate(*shifted), density_ratio(*shifted))


@each
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scale_does_not_matter(name, scale, shifted):
    source, target = shifted
    plain, scaled = (
        get_density_ratio(name).estimate(unit * source[:100], unit * target[:100]) for unit in (1.0, scale)
    )
    np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-4)


@each
def test_sparse_rows_are_dense_ones(name):
    rng = np.random.default_rng(0)
    source, target = (np.where(rng.random((40, 6)) < 0.5, 0.0, rng.random((40, 6))) for _ in range(2))
    dense = get_density_ratio(name).estimate(source, target)
    found = get_density_ratio(name).estimate(sparse.csr_array(source), sparse.csc_matrix(target))
    np.testing.assert_allclose(found, dense, rtol=0.1 if name == "discriminative" else 1e-4, atol=1e-4)


def degenerate():
    rng = np.random.default_rng(1)
    for n_source, n_target, d in ((1, 9, 2), (9, 1, 2), (2, 2, 1), (7, 6, 40), (30, 30, 3)):
        source, target = rng.normal(size=(n_source, d)), rng.normal(size=(n_target, d))
        yield source, target
        yield source, target + 1e6  # disjoint
        yield source * 0, target * 0  # constant
        yield source, target * 0
        yield source * 1e-8, target * 1e8


@each
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_degenerate_rows_give_finite_ratios_or_an_error(name):
    n_answers = 0
    for source, target in degenerate():
        try:
            found = get_density_ratio(name).estimate(source, target)
        except ValueError:
            continue
        n_answers += 1
        assert found.shape == (len(source),)
        assert np.isfinite(found).all()
        assert found.min() >= 0
    assert n_answers >= (15 if name == "discriminative" else 25)  # a classifier needs two rows of each domain


@each
def test_nothing_changes(name, shifted):
    source, target = (rows[:60].copy() for rows in shifted)
    estimate = get_density_ratio(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = estimate.estimate(source, target)
    np.testing.assert_array_equal(first, clone(estimate).estimate(source, target))
    np.testing.assert_array_equal(source, shifted[0][:60])
    with pytest.raises(ValueError, match="columns"):
        estimate.estimate(source, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="no row"):
        estimate.estimate(source, target[:0])
    with pytest.raises(ValueError, match="NaN"):
        estimate.estimate(source, target * np.nan)


def test_names():
    with pytest.raises(ValueError, match="Did you mean 'kliep'"):
        get_density_ratio("klipe")
    with pytest.raises(ValueError, match="no kernel"):
        KLIEP(sigma=1e-3).estimate(np.zeros((5, 1)), np.arange(5.0)[:, None] + 9)
