"""The test of two domains: its errors without a shift, its power with one, and its parts against independent ones."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from sktl.density_ratios import DiscriminativeRatio
from sktl.metrics.distances import _shift_test as module
from sktl.metrics.distances import domain_move, domain_shift_test, mmd, proxy_a_distance


def test_domains_alike_are_seldom_told_apart():
    rng = np.random.default_rng(0)
    found = [domain_shift_test(rng.normal(size=(40, 4)), rng.normal(size=(30, 4)), random_state=i) for i in range(24)]
    pvalues = np.array([one.pvalue for one in found])
    assert (pvalues < 0.05).sum() <= 4  # of 24; 5 have a chance below 1 %
    assert (pvalues < 0.5).mean() > 0.25  # and not too cautious
    assert abs(np.mean([one.statistic for one in found]) - 0.5) < 0.1
    assert np.mean([one.feature_pvalues.min() < 0.05 for one in found]) < 0.2


def test_a_shift_its_column_and_its_rows_are_found():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(150, 5)), rng.normal(size=(120, 5))
    target[:40, 3] += 4  # a third of the rows
    found = domain_shift_test(source, target)
    assert found.pvalue < 0.01
    assert found.feature_pvalues.argmin() == 3
    assert (np.delete(found.feature_pvalues, 3) > 0.05).all()
    assert found.row_scores[:40].mean() > found.row_scores[40:].mean() + 0.5
    assert found.row_scores.shape == (120,)


def test_parts_are_those_of_the_definitions(monkeypatch):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 2)), rng.normal(loc=0.5, size=(30, 2))
    seen = {}

    class Judge:
        def __init__(self, rows, is_target, random_state):
            seen.setdefault("learned", rows)

        def scores(self, rows):
            seen.setdefault("tested", rows)
            return rows[:, 0]

    monkeypatch.setattr(module, "_Judge", Judge)
    found = domain_shift_test(source, target)
    both = np.concatenate([seen["learned"], seen["tested"]])
    assert len(np.unique(both, axis=0)) == len(both) == 70  # no row is learned from and tested
    is_target = np.isin(seen["tested"][:, 0], target[:, 0])
    assert is_target.sum() == 15
    assert np.isclose(found.statistic, roc_auc_score(is_target, seen["tested"][:, 0]))
    p = np.sort([ks_2samp(source[:, i], target[:, i]).pvalue for i in range(2)])
    np.testing.assert_allclose(np.sort(found.feature_pvalues), [min(2 * p[0], p[1]), p[1]])
    np.testing.assert_array_equal(np.argsort(found.row_scores), np.argsort(target[:, 0]))


@pytest.mark.parametrize("n_columns", [4, 30])
@pytest.mark.parametrize("kind", ["mean", "scale", "scale of one column", "covariance"])
def test_shifts_of_each_kind_are_found(kind, n_columns):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(300, n_columns)), rng.normal(size=(300, n_columns))
    if kind == "mean":
        target[:, 1] += 0.6
    elif kind == "scale":
        target *= 1.4
    elif kind == "scale of one column":
        target[:, 1] *= 2
    else:
        target = np.sqrt(0.6) * target + np.sqrt(0.4) * rng.normal(size=(300, 1))
    found = domain_shift_test(source, target)
    assert found.pvalue < 0.01
    if kind == "scale":  # the far rows are the odd ones
        assert np.corrcoef(found.row_scores, np.linalg.norm(target, axis=1))[0, 1] > 0.7


def test_log_ratios_are_those_of_the_densities():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(4000, 1)), rng.normal(scale=1.5, size=(2000, 1))
    found = domain_shift_test(source, target).row_scores
    near = np.abs(target[:, 0]) < 3
    true = -np.log(1.5) + target[near, 0] ** 2 * (1 - 1 / 1.5**2) / 2
    assert np.abs(found[near] - true).mean() < 0.25


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scale_does_not_matter(scale):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 2)), rng.normal(loc=0.5, size=(30, 2))
    plain, scaled = domain_shift_test(source, target), domain_shift_test(source * scale, target * scale)
    assert np.isclose(plain.pvalue, scaled.pvalue)
    np.testing.assert_allclose(plain.row_scores, scaled.row_scores, rtol=1e-3, atol=1e-3)


def test_degenerate_rows_and_bad_input():
    found = domain_shift_test(np.ones((10, 2)), np.ones((12, 2)))
    assert found.statistic == 0.5
    assert found.pvalue > 0.4
    apart = domain_shift_test(np.zeros((20, 1)), np.ones((20, 1)))
    assert apart.statistic == 1
    assert apart.pvalue < 0.001
    wide = np.random.default_rng(0).normal(size=(20, 200))
    assert domain_shift_test(wide[:10], wide[10:]).pvalue > 0.01
    with pytest.raises(ValueError, match="at least 8 rows"):
        domain_shift_test(wide[:7], wide)
    with pytest.raises(ValueError, match="columns"):
        domain_shift_test(wide, wide[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        domain_shift_test(wide * np.nan, wide)
    with pytest.raises(ValueError, match="random_state"):
        domain_shift_test(wide, wide, random_state=-1)


@pytest.mark.parametrize("scale", [1e-150, 1e-200, 1e-300, 1e140])
def test_scales_whose_squares_are_no_numbers(scale):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 2)), rng.normal(loc=1.5, size=(30, 2))
    plain, scaled = domain_shift_test(source, target), domain_shift_test(source * scale, target * scale)
    assert scaled.statistic == plain.statistic > 0.8
    np.testing.assert_allclose(scaled.row_scores, plain.row_scores, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("measure", [
    domain_shift_test, mmd, proxy_a_distance, DiscriminativeRatio().estimate,
    lambda source, target: domain_move(source, np.arange(40) % 2, target),
])  # fmt: skip
def test_columns_of_data_frames_are_told_by_name(measure):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["age", "height"])
    assert measure(rows, rows) is not None
    assert measure(rows, rows.to_numpy()[:, ::-1]) is not None  # no names there
    with pytest.raises(ValueError, match="other columns: they stand in another order"):
        measure(rows, rows[["height", "age"]])
    with pytest.raises(ValueError, match="only one of them has 'height', 'weight'"):
        measure(rows, rows.rename(columns={"height": "weight"}))
