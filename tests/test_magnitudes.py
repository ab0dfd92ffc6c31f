"""Finite numbers that computing would make infinite: a right answer, or an error that says to scale them."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl import DomainAdaptedClassifier, FineTunedClassifier, FineTunedRegressor, ProtoNetClassifier
from sktl._device import resolve_device
from sktl._magnitudes import check_finite, standardiser
from sktl.fewshot import FewShotClassifier, FewShotRegressor, MAMLLearner, ProtoNetLearner
from sktl.fewshot.transductive import TIM
from tests.stress import inputs

ROWS, LABELS, MARKED, VALUES = inputs.ROWS, inputs.LABELS, inputs.MARKED, inputs.VALUES
LIGHT = {"n_way": 3, "n_query": 2, "n_episodes": 2, "random_state": 0}
SCALED = [FineTunedClassifier(max_steps=2, random_state=0), DomainAdaptedClassifier(max_epochs=1, random_state=0)]


@pytest.fixture(autouse=True)
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("estimator", SCALED, ids=lambda e: type(e).__name__)
def test_standardised_rows_may_be_large(estimator):
    y = MARKED if isinstance(estimator, DomainAdaptedClassifier) else LABELS
    expected = clone(estimator).fit(ROWS, y).predict_proba(ROWS)
    large = clone(estimator).fit(ROWS * 2.0**200, y)
    np.testing.assert_allclose(large.predict_proba(ROWS * 2.0**200), expected, atol=1e-6)
    with pytest.raises(ValueError, match="Scale the rows"):
        clone(estimator).fit(ROWS * 1e200, y)


def test_one_row_far_from_the_others():
    model = clone(SCALED[0]).fit(ROWS, LABELS)
    odd = ROWS.copy()
    odd[3] = np.finfo(np.float64).max
    with pytest.raises(ValueError, match=r"no finite answer for 1 rows: 3\..*Scale the rows"):
        model.predict(odd)
    with pytest.raises(ValueError, match=r"FineTunedClassifier has no finite answer for 2 rows: 0, 2\."):
        check_finite(np.array([[np.nan, 0.0], [1.0, 2.0], [np.inf, 0.0]]), model)
    np.testing.assert_array_equal(check_finite(np.array([1.0, 2.0]), model), [1.0, 2.0])


def test_values_of_a_regression():
    with pytest.raises(ValueError, match="y holds numbers as large as"):
        FineTunedRegressor(max_steps=2).fit(ROWS, VALUES * 1e200)
    with pytest.raises(ValueError, match="y holds numbers as large as"):
        FewShotRegressor().fit(ROWS, VALUES * 1e200)
    groups = inputs.DOMAINS
    with pytest.raises(ValueError, match="y holds numbers as large as"):
        MAMLLearner(**LIGHT).fit(ROWS, VALUES * 1e39, groups=groups)


@pytest.mark.parametrize("estimator", [ProtoNetClassifier(), FewShotClassifier("ridge"), FewShotClassifier("nearest")])
def test_codes_may_be_large(estimator):
    expected = clone(estimator).fit(ROWS, LABELS).predict(ROWS)
    found = clone(estimator).fit(ROWS * 2.0**200, LABELS).predict(ROWS * 2.0**200)
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="Scale the rows"):
        clone(estimator).fit(ROWS * 1e160, LABELS)


@pytest.mark.parametrize("learner", [ProtoNetLearner(**LIGHT), MAMLLearner(**LIGHT)], ids=lambda e: type(e).__name__)
def test_learners(learner):
    with pytest.raises(ValueError, match=r"X holds numbers as large as .* Scale the rows"):
        clone(learner).fit(ROWS * 1e39, LABELS)
    fitted = clone(learner).fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="Scale the rows"):
        fitted.adapt_to(ROWS * 1e60, LABELS)


def test_own_networks_of_the_user():
    with torch.random.fork_rng(devices=[]):
        model = DomainAdaptedClassifier(nn.Linear(4, 8), max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"X holds numbers as large as .* Scale the rows"):
        model.fit(ROWS * 1e39, MARKED)


def test_transductive_methods_called_alone():
    from sktl.fewshot import EpisodeSampler

    episodes = EpisodeSampler(LABELS, n_way=2, n_shot=1, n_query=2).draw(2)
    with pytest.raises(ValueError, match="Scale the rows"):
        TIM().episode_logits(ROWS * 1e39, episodes)


@pytest.mark.parametrize("device", ["xpu", "meta", "hpu", torch.device("meta")])
def test_devices_without_numbers(device):
    with pytest.raises(ValueError, match="Use device='auto', 'cpu', 'cuda' or 'mps'"):
        resolve_device(device)
    for estimator in (ProtoNetLearner(device=device, **LIGHT), FineTunedClassifier(device=device)):
        with pytest.raises(ValueError, match="Use device="):
            estimator.fit(ROWS, LABELS)


def test_folders_without_a_name():
    for name in ("", "  "):
        with pytest.raises(ValueError, match="names no folder"):
            FineTunedClassifier(checkpoint_dir=name, max_steps=1, random_state=0).fit(ROWS, LABELS)
        with pytest.raises(ValueError, match="names no folder"):
            ProtoNetLearner(checkpoint_dir=name, **LIGHT).fit(ROWS, LABELS)


@pytest.mark.parametrize("scale", [1e-170, 1e-290])
def test_columns_whose_squares_vanish_are_standardised(scale):
    rows = np.random.default_rng(0).normal(size=(50, 3)) * [1, 2, 3] + 5
    rows[:, 2] = 7.0
    small = standardiser(rows * [scale, 1, 1])
    assert np.allclose(small.transform(rows * [scale, 1, 1]), StandardScaler().fit_transform(rows))


@pytest.mark.parametrize("estimator", [ProtoNetClassifier(), FewShotClassifier()])
def test_rows_whose_distances_are_all_nothing_are_refused(estimator):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"All numbers in X are small, .* Scale the rows"):
        estimator.fit(X * 1e-170, y)
    estimator.fit(np.r_[X, np.zeros((1, 3))], np.r_[y, 0]).predict(np.full((1, 3), 1e-170))
