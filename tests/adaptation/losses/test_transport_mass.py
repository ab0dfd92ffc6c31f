"""The mass that a transport plan moves, and which labels are none."""

import numpy as np
import pandas as pd
import pytest
import torch

from sktl._unlabelled import is_labelled
from sktl.adaptation.losses import sinkhorn_plan


def scaled(cost, e, r, n_iter):
    """Return the unbalanced plan by the scalings of its formula, the entropy against the product of the masses."""
    n, m = cost.shape
    e, r = e * cost.mean(), r * cost.mean()
    kernel, u, v = np.exp(-cost / e) / (n * m), np.ones(n), np.ones(m)
    for _ in range(n_iter):
        u = (1 / n / (kernel @ v)) ** (r / (r + e))
        v = (1 / m / (kernel.T @ u)) ** (r / (r + e))
    return u[:, None] * kernel * v


@pytest.mark.parametrize("times", [1, 8, 32])
def test_repeated_rows_change_no_mass(times):
    cost = np.random.default_rng(0).random((8, 6))
    once = scaled(cost, 0.05, 0.1, 30)
    repeated = sinkhorn_plan(torch.from_numpy(np.tile(cost, (times, times))), reach=0.1).numpy()
    assert repeated.sum() == pytest.approx(once.sum(), rel=1e-9)
    assert np.allclose(repeated[:8, :6] * times**2, once, atol=1e-12)


def test_missing_of_every_kind_is_unlabelled():
    labels = np.array([1, None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), pd.Timestamp("2020"), "a"], dtype=object)
    assert is_labelled(labels).tolist() == [True, False, False, False, False, False, True, True]
    assert is_labelled(np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), None).tolist() == [True, False]
