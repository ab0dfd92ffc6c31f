"""Distances of domains, each against another computation or a case with a known answer."""

import itertools
import sys

import numpy as np
import pytest
from scipy import linalg, optimize, stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.density_ratios import density_ratio
from sktl.metrics.distances import (
    coral_distance,
    frechet_distance,
    linear_cka,
    mmd,
    otdd,
    proxy_a_distance,
    sliced_wasserstein_distance,
)

RNG = np.random.default_rng(0)
SOURCE, ALIKE, MOVED = RNG.normal(size=(50, 4)), RNG.normal(size=(60, 4)), RNG.normal(1.5, 2.0, size=(60, 4))
DISTANCES = [coral_distance, frechet_distance, proxy_a_distance, lambda a, b: mmd(a, b).statistic]


def needs_pot():
    pytest.importorskip("ot", reason="optimal transport is computed by POT, an optional package")


@pytest.mark.parametrize("distance", DISTANCES)
def test_domains_apart_are_further(distance):
    assert distance(SOURCE, MOVED) > distance(SOURCE, ALIKE)


def test_proxy_a_distance_by_cross_validation():
    rows, domain = np.concatenate([SOURCE, MOVED]), np.repeat([0, 1], [50, 60])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    odds = cross_val_predict(judge, rows, domain, cv=folds, method="decision_function")
    balanced = odds > np.log(60 / 50)  # as if domains were of one size
    error = np.mean([np.mean(balanced[domain == d] != d) for d in (0, 1)])
    assert proxy_a_distance(SOURCE, MOVED, C=0.1) == pytest.approx(2 * (1 - 2 * error))
    assert proxy_a_distance(SOURCE, SOURCE + 100) == 2
    assert abs(proxy_a_distance(SOURCE, ALIKE)) < 0.6
    assert (density_ratio(SOURCE, MOVED) > 0).all()


def test_mmd_by_loops():
    width = 1.7

    def k(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width**2))

    def mean(pairs):
        return np.mean([k(a, b) for a, b in pairs])

    expected = (
        mean(itertools.permutations(SOURCE, 2))
        + mean(itertools.permutations(MOVED, 2))
        - 2 * mean(itertools.product(SOURCE, MOVED))
    )
    assert mmd(SOURCE, MOVED, bandwidth=width, n_permutations=0).statistic == pytest.approx(expected)
    assert np.isnan(mmd(SOURCE, MOVED, n_permutations=0).pvalue)


def test_mmd_p_value_by_all_divisions():
    rows = RNG.normal(size=(8, 1)) + np.repeat([[0.0], [1.5]], 4, axis=0)
    found = mmd(rows[:4], rows[4:], bandwidth=1.0, n_permutations=4000)
    every = [
        mmd(rows[list(part)], np.delete(rows, part, axis=0), bandwidth=1.0, n_permutations=0).statistic
        for part in itertools.combinations(range(8), 4)
    ]
    assert found.pvalue == pytest.approx(np.mean(np.array(every) >= found.statistic - 1e-12), abs=0.03)


def test_mmd_p_values_are_even_where_domains_are_alike():
    values = [mmd(*np.split(RNG.normal(size=(40, 2)), 2), n_permutations=99).pvalue for _ in range(100)]
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert mmd(SOURCE, MOVED).pvalue < 0.01


@pytest.mark.parametrize("d", [4, 90])
def test_coral_and_frechet_by_matrices(d):
    source, target = RNG.normal(size=(30, d)), RNG.normal(1, 2, size=(40, d))
    S, T = np.cov(source.T), np.cov(target.T)
    assert coral_distance(source, target) == pytest.approx(np.sum((S - T) ** 2) / (4 * d**2))
    gap = source.mean(axis=0) - target.mean(axis=0)
    values, vectors = linalg.eigh(S)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    between = np.sqrt(np.maximum(linalg.eigvalsh(root @ T @ root), 0)).sum()
    expected = gap @ gap + np.trace(S) + np.trace(T) - 2 * between
    assert frechet_distance(source, target) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(source, source) == pytest.approx(0, abs=1e-9)
    assert coral_distance(source, source) == pytest.approx(0, abs=1e-9)


def test_sliced_wasserstein():
    needs_pot()
    # of two single rows it is the root mean square of the distance along random lines: |a - b| / sqrt(d)
    found = sliced_wasserstein_distance(np.zeros((1, 3)), np.full((1, 3), 2.0), n_projections=20_000)
    assert found == pytest.approx(2.0, rel=0.02)
    assert sliced_wasserstein_distance(SOURCE, SOURCE) == pytest.approx(0, abs=1e-9)
    assert sliced_wasserstein_distance(SOURCE, MOVED) == sliced_wasserstein_distance(SOURCE, MOVED)


def test_otdd_by_assignment():
    needs_pot()
    y, z = np.arange(50) % 2, np.arange(50) % 3
    target = MOVED[:50]

    def gaussian(rows):
        return rows.mean(axis=0), np.cov(rows.T)

    def squared(first, second):
        (m, S), (n, T) = first, second
        root = linalg.sqrtm(S).real
        return np.sum((m - n) ** 2) + np.trace(S + T - 2 * linalg.sqrtm(root @ T @ root).real)

    ones = [gaussian(SOURCE[y == c]) for c in range(2)]
    others = [gaussian(target[z == c]) for c in range(3)]
    cost = [[np.sum((a - b) ** 2) + squared(ones[c], others[e]) for b, e in zip(target, z)] for a, c in zip(SOURCE, y)]
    cost = np.array(cost)
    expected = np.sqrt(cost[optimize.linear_sum_assignment(cost)].mean())  # equal masses: a permutation
    assert otdd(SOURCE, y, target, z) == pytest.approx(expected, rel=1e-6)
    assert otdd(SOURCE, y, SOURCE, 1 - y) == pytest.approx(0, abs=1e-6)
    assert otdd(SOURCE, y, target, z, max_rows=20) > 0


def test_cka_by_gram_matrices():
    other = np.tanh(SOURCE @ RNG.normal(size=(4, 7)))
    H = np.eye(50) - 1 / 50
    K, L = H @ SOURCE @ SOURCE.T @ H, H @ other @ other.T @ H
    expected = np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))
    assert linear_cka(SOURCE, other) == pytest.approx(expected)
    turn, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
    assert linear_cka(3 * SOURCE @ turn + 5, other) == pytest.approx(expected)
    assert linear_cka(SOURCE, SOURCE, debiased=True) == pytest.approx(1)
    assert linear_cka(np.ones((50, 2)), other) == 0


def test_debiased_cka_of_unrelated_codes_is_zero_on_average():
    pairs = [RNG.normal(size=(2, 30, 100)) for _ in range(40)]
    assert np.mean([linear_cka(a, b) for a, b in pairs]) > 0.7
    assert abs(np.mean([linear_cka(a, b, debiased=True) for a, b in pairs])) < 0.03


@pytest.mark.parametrize(
    "distance",
    [*DISTANCES, sliced_wasserstein_distance, lambda a, b: otdd(a, np.arange(len(a)) % 2, b, np.arange(len(b)) % 2)],
)
def test_bad_input_is_named(distance):
    with pytest.raises(ValueError, match="4 columns and target 3"):
        distance(SOURCE, MOVED[:, :3])
    with pytest.raises(ValueError, match="source contains NaN"):
        distance(np.where(SOURCE > 1, np.nan, SOURCE), MOVED)
    with pytest.raises(ValueError, match=r"minimum of|at least 2 rows"):
        distance(SOURCE, MOVED[:0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mmd(SOURCE, MOVED, bandwidth=0.0), "bandwidth"),
        (lambda: mmd(SOURCE, MOVED, n_permutations=-1), "n_permutations"),
        (lambda: sliced_wasserstein_distance(SOURCE, MOVED, n_projections=0), "n_projections"),
        (lambda: otdd(SOURCE, np.ones(50), MOVED, np.arange(60) % 2), "one class only"),
        (lambda: otdd(SOURCE, np.arange(50) % 2, MOVED, np.arange(60) % 2, max_rows=0), "max_rows"),
        (lambda: linear_cka(SOURCE, MOVED), "the same rows"),
        (lambda: linear_cka(SOURCE[:3], SOURCE[:3], debiased=True), "at least 4 rows"),
    ],
)
def test_bad_parameters_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_pot_the_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r"sktl\[aligners\]"):
        sliced_wasserstein_distance(SOURCE, MOVED)
    with pytest.raises(ImportError, match=r"sktl\[aligners\]"):
        otdd(SOURCE, np.arange(50) % 2, MOVED, np.arange(60) % 2)
