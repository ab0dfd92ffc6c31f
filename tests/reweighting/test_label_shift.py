"""Shares of classes, against general solvers and known shifts."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sktl.reweighting import BBSE, RLLS, SaerensEM, get_weighter
from sktl.reweighting._label_shift import confusion
from sktl.reweighting._rlls import shrunken
from sktl.reweighting._saerens import calibration

METHODS = [BBSE(), BBSE(soft=True), RLLS(), SaerensEM(), SaerensEM(calibrate=False)]


def drawn(rng, prior, n, sharpness=1.0):
    """Return classes, and a classifier's probabilities that are calibrated for equal shares where sharpness is 1."""
    y = rng.choice(len(prior), n, p=prior)
    x = rng.normal(size=(n, len(prior))) + 1.5 * np.eye(len(prior))[y]
    proba = np.exp(sharpness * 1.5 * x)
    return y, proba / proba.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_known_shift_is_found(method):
    rng = np.random.default_rng(0)
    y, source = drawn(rng, [1 / 3] * 3, 4000)
    _, target = drawn(rng, [0.6, 0.1, 0.3], 4000)
    np.testing.assert_allclose(method.estimate(y, source, target), [1.8, 0.3, 0.9], atol=0.12)
    np.testing.assert_allclose(method.estimate(y, source, source), 1, atol=0.12)


def test_calibration_mends_probabilities_that_are_too_sure():
    rng = np.random.default_rng(0)
    y, source = drawn(rng, [1 / 3] * 3, 4000, sharpness=4)
    _, target = drawn(rng, [0.6, 0.1, 0.3], 4000, sharpness=4)
    errors = [np.abs(m.estimate(y, source, target) - [1.8, 0.3, 0.9]).max() for m in METHODS[3:]]
    assert errors[0] < 0.12 < errors[1]
    sharpness, bias = calibration(y, np.log(source.clip(1e-12)))
    assert 0.22 < sharpness < 0.28
    assert np.ptp(bias) < 0.3


def test_bbse_solves_the_confusions():
    rng = np.random.default_rng(0)
    y, source = drawn(rng, [0.2, 0.3, 0.5], 500)
    _, target = drawn(rng, [0.4, 0.3, 0.3], 300)
    C = np.zeros((3, 3))
    for row, label in zip(source, y):
        C[row.argmax(), label] += 1 / 500
    np.testing.assert_allclose(confusion(y, np.eye(3)[source.argmax(1)]), C)
    expected = np.linalg.solve(C, np.bincount(target.argmax(1)) / 300)
    prior = np.bincount(y) / 500
    np.testing.assert_allclose(BBSE().estimate(y, source, target), expected / (prior @ expected))


@pytest.mark.parametrize("rho", [1e-6, 0.01, 0.1, 10.0])
def test_rlls_minimises_norms_that_are_not_squared(rho):
    rng = np.random.default_rng(0)
    for seed in range(3):
        C = np.diag(rng.uniform(0.1, 0.3, 4)) + rng.uniform(0, 0.05, (4, 4))
        b = rng.normal(scale=0.3, size=4)

        def loss(theta, C=C, b=b):
            return np.linalg.norm(C @ theta - b) + rho * np.linalg.norm(theta)

        starts = [np.full(4, 0.01), rng.uniform(-0.9, 1, 4), np.linalg.lstsq(C, b)[0].clip(-0.99)]
        best = min(
            minimize(
                loss, s, bounds=[(-1, None)] * 4, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-10}
            ).fun
            for s in starts
        )
        assert loss(shrunken(C, b, rho)) <= best + 1e-6, seed


def test_saerens_is_the_papers_iteration():
    rng = np.random.default_rng(0)
    y, source = drawn(rng, [0.5, 0.5], 500)
    _, target = drawn(rng, [0.8, 0.2], 300)
    prior = np.bincount(y) / 500
    q = prior.copy()
    for _ in range(5000):
        posterior = target * q / prior
        posterior /= posterior.sum(axis=1, keepdims=True)
        q = posterior.mean(axis=0)
    np.testing.assert_allclose(SaerensEM(calibrate=False, tol=1e-9).estimate(y, source, target), q / prior, rtol=1e-4)


def test_what_cannot_be_told_is_said():
    proba = np.full((6, 2), 0.5)
    with pytest.warns(UserWarning, match="cannot be told apart"):
        BBSE().estimate([0, 1, 0, 1, 0, 1], proba, proba)
    with pytest.raises(ValueError, match="no source row"):
        BBSE().estimate([0] * 6, proba, proba)
    with pytest.raises(ValueError, match="column numbers"):
        BBSE().estimate(["a"] * 6, proba, proba)
    with pytest.raises(ValueError, match="proba_target 3"):
        RLLS().estimate([0, 1] * 3, proba, np.full((4, 3), 1 / 3))
    with pytest.raises(ValueError, match="Did you mean 'rlls'"):
        get_weighter("rls")
