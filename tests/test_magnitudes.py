"""Finite numbers that computing would make infinite: a right answer, or an error that says to scale them."""

import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl import (
    DomainAdaptedClassifier,
    FineTunedClassifier,
    FineTunedRegressor,
    ProtoNetClassifier,
    aligners,
    density_ratios,
)
from sktl._device import resolve_device
from sktl._magnitudes import check_finite, fitted_scaler, standardiser
from sktl.advisor import SourceSelector, TransferAdvisor
from sktl.fewshot import FewShotClassifier, FewShotRegressor, MAMLLearner, ProtoNetLearner
from sktl.fewshot.transductive import TIM
from sktl.metrics import distances, transferability
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


def test_scales_of_numbers_whose_squares_vanish():
    rows = np.column_stack([ROWS[:, :2] * 2.0**-600, ROWS[:, 2:], np.full(len(ROWS), 2.0**-600)])
    expected = StandardScaler().fit(np.column_stack([ROWS, np.ones(len(ROWS))])).scale_
    expected[:2] *= 2.0**-600
    np.testing.assert_array_equal(fitted_scaler(StandardScaler(), rows).scale_, expected)
    rows[0, :2] = np.nan
    missing = ROWS[:, :2].copy()
    missing[0] = np.nan
    expected[:2] = StandardScaler().fit(missing).scale_ * 2.0**-600
    np.testing.assert_array_equal(fitted_scaler(StandardScaler(), rows).scale_[:2], expected[:2])


def test_scales_of_sparse_numbers_whose_squares_vanish():
    rows = np.where(np.arange(ROWS.size).reshape(ROWS.shape) % 3, 0.0, ROWS)
    rows = np.column_stack([rows, np.zeros(len(rows))])
    blank = StandardScaler(with_mean=False)
    expected = np.append(blank.fit(rows[:, :-1]).scale_ * 2.0**-600, 1.0)
    found = fitted_scaler(blank, sparse.csr_matrix(rows * 2.0**-600)).scale_
    np.testing.assert_allclose(found, expected, rtol=1e-12)


TINY = 2.0**-600
SOURCE, TARGET = np.random.default_rng(0).normal(size=(2, 40, 3)) + np.array([[[0.0]], [[1.0]]])
HALVES = np.arange(40) % 2
# What is asked of rows; what its answer is multiplied with where the rows are multiplied with a number.
ASKED = {
    "knn_accuracy": (lambda a, b: transferability.knn_accuracy(a + HALVES[:, None] * a.std(), HALVES), 0),
    "linear_probe": (lambda a, b: transferability.linear_probe(a, HALVES), 0),
    "log_me": (lambda a, b: transferability.log_me(a, HALVES), 0),
    "h_score": (lambda a, b: transferability.h_score(a, HALVES), 0),
    "gbc": (lambda a, b: transferability.gbc(a, HALVES), 0),
    "n_leep": (lambda a, b: transferability.n_leep(a, HALVES), 0),
    "proxy_a_distance": (distances.proxy_a_distance, 0),
    "mmd": (lambda a, b: distances.mmd(a, b).pvalue, 0),
    "domain_shift_test": (lambda a, b: distances.domain_shift_test(a, b).statistic, 0),
    "domain_move": (lambda a, b: distances.domain_move(a, HALVES, b).own_neighbours, 0),
    "coral_distance": (distances.coral_distance, 4),
    "frechet_distance": (distances.frechet_distance, 2),
    "sliced_wasserstein_distance": (distances.sliced_wasserstein_distance, 1),
    "linear_cka": (distances.linear_cka, 0),
    "density_ratio": (density_ratios.density_ratio, 0),
    "held-out ratios": (lambda a, b: density_ratios.DiscriminativeRatio(n_folds=2).estimate(a, b), 0),
    "KernelMeanMatching": (lambda a, b: density_ratios.KernelMeanMatching().estimate(a, b), 0),
    "KLIEP": (lambda a, b: density_ratios.KLIEP().estimate(a, b), 0),
    "RuLSIF": (lambda a, b: density_ratios.RuLSIF().estimate(a, b), 0),
    "NearestNeighborRatio": (lambda a, b: density_ratios.NearestNeighborRatio().estimate(a, b), 0),
    "SourceSelector": (lambda a, b: _selected(a, b).source_ranking_["distance"], 0),
    "TransferAdvisor": (lambda a, b: TransferAdvisor(random_state=0).fit(a, HALVES).ranking_["linear"], 0),
}
ALIGNED = ["CORALAligner", "DomainStandardizer", "GeodesicFlowKernel", "JointDistributionAligner",
           "MarginalizedDenoiser", "OptimalTransportAligner", "StructuralCorrespondence", "SubspaceAligner",
           "TransferComponentAnalysis", "TransferKernelLearning"]  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_numbers_whose_squares_vanish_are_answered_rightly_or_refused(name):
    ask, power = ASKED[name]
    expected = np.asarray(ask(SOURCE, TARGET), dtype=float)
    found = _answered(lambda: ask(SOURCE * TINY, TARGET * TINY))
    if found is not None:
        np.testing.assert_allclose(np.asarray(found, dtype=float), expected * TINY**power, rtol=1e-6)


@pytest.mark.parametrize("name", ALIGNED)
def test_aligners_of_numbers_whose_squares_vanish(name):
    rows, domain = np.concatenate([SOURCE, TARGET]), np.repeat([0, 1], 40)
    y = np.concatenate([HALVES, np.full(40, -1)])
    model = getattr(aligners, name)()
    expected = clone(model).fit_transform(rows, y, sample_domain=domain)
    found = _answered(lambda: clone(model).fit_transform(rows * TINY, y, sample_domain=domain))
    if found is not None:
        unit = 1 if np.allclose(np.abs(found).max(), np.abs(expected).max(), rtol=1e-3) else TINY
        np.testing.assert_allclose(found / unit, expected, rtol=1e-5, atol=1e-6)


def _answered(ask):
    """Return the answer, None where it is refused, with the remedy."""
    try:
        return ask()
    except ValueError as error:
        if "Scale the rows" not in str(error):
            raise
        return None


def _selected(source, target):
    rows, domain = np.concatenate([source, source + target, target]), np.repeat([0, 1, 2], 40)
    return SourceSelector(LogisticRegression(), random_state=0).fit(
        rows, np.concatenate([HALVES, HALVES, np.full(40, -1)]), sample_domain=domain
    )
