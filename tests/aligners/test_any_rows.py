"""Two thousand odd sets of rows: aligners give finite numbers of the right shape, or say what is wrong."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from sktl import aligners

N_CASES = 2000
ALIGNERS = [
    aligners.CORALAligner(),
    aligners.CORALAligner(regularization=1e-12),
    aligners.DomainStandardizer(),
    aligners.GeodesicFlowKernel(),
    aligners.JointDistributionAligner(3, max_rounds=3),
    aligners.JointDistributionAligner(3, kernel="rbf", regularization=1e-9),
    aligners.MarginalizedDenoiser(),
    aligners.StructuralCorrespondence(2, min_count=1),
    aligners.SubspaceAligner(),
    aligners.TransferComponentAnalysis(5),
    aligners.TransferComponentAnalysis(3, kernel="rbf"),
    aligners.TransferKernelLearning(),
    aligners.TransferKernelLearning(kernel="linear", damping=2.0),
]


def odd_rows(rng):
    """Return rows and marks: of any small shape, scale and type, with one or more of what goes wrong in practice."""
    n, d = rng.integers(1, 13, size=2)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-8, 8) + rng.choice([0, 0, 1e3, 1e8])
    y = np.where(rng.random(n) < rng.choice([0.1, 0.5, 0.9]), -1, rng.integers(0, 3, n))
    if rng.random() < 0.3:
        X[:, rng.integers(d)] = rng.choice([0.0, 1.0, 1e-300, 1e100])  # a constant column
    if rng.random() < 0.2:
        X[:, rng.integers(d)] *= 10.0 ** rng.uniform(-8, 8)  # of another scale
    if rng.random() < 0.2:
        X[y == -1] = X[0]  # one domain constant
    if rng.random() < 0.2:
        X[rng.integers(n)] = X[rng.integers(n)]  # repeated rows
    if rng.random() < 0.1:
        X = np.repeat(X[:, :1], d, axis=1)  # of rank one
    if rng.random() < 0.1:
        X = np.round(X / (np.abs(X).max() or 1)).astype(int)  # few values
    with np.errstate(over="ignore"):
        return X.astype(np.float32) if rng.random() < 0.3 else X, y


@pytest.mark.parametrize("seed", range(8))
def test_odd_rows_give_finite_numbers_or_an_error(seed):
    rng = np.random.default_rng(seed)
    n_answers = n_aligned = 0
    for _ in range(N_CASES // 8):
        X, y = odd_rows(rng)
        aligner = clone(ALIGNERS[rng.integers(len(ALIGNERS))])
        before = X.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                out = aligner.fit_transform(X, y)
                again = aligner.transform(X)
            except (ValueError, TypeError):
                continue
        n_answers += 1
        n_aligned += aligner.is_aligned_
        np.testing.assert_array_equal(X, before)
        for found in (out, again):
            assert found.shape == (len(X), len(aligner.get_feature_names_out())), aligner
            assert np.isfinite(found).all(), (aligner, X, y)
    assert n_answers > 0.8 * N_CASES / 8
    assert n_aligned > 0.5 * N_CASES / 8  # the others have one domain alone
