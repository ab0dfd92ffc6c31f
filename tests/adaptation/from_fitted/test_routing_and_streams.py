"""Metadata on its way to the source's fit, streams of single rows, and other small things."""

import copy

import numpy as np
import pytest
import sklearn
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.fewshot import EpisodeSampler, ProtoNetLearner
from sktl.finetuning import FineTunedClassifier
from sktl.model_selection import StratifiedDomainKFold


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(200, 3))
    return X, np.where(np.arange(200) < 100, (X[:, 0] > 0).astype(int), -1)


@pytest.fixture(scope="module")
def source(table):
    X, y = table
    return DomainAdaptedClassifier(loss=None, bottleneck=32, max_epochs=2, random_state=0).fit(X[:100], y[:100])


class TestRouting:
    def test_weights_reach_the_source(self, table):
        X, y = table
        weight = np.random.default_rng(1).random(200)
        with sklearn.config_context(enable_metadata_routing=True):
            inner = LogisticRegression().set_fit_request(sample_weight=True)
            model = GradualAdaptedClassifier(inner, n_steps=1).fit(X, y, sample_weight=weight)
        expected = LogisticRegression().fit(X[:100], y[:100], sample_weight=weight[:100])
        assert np.array_equal(model.source_estimator_.coef_, expected.coef_)

    @pytest.mark.parametrize("meta", [SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier])
    def test_networks_too(self, table, meta):
        X, y = table
        weight = np.where(X[:, 1] > 0, 1.0, 1e-9)
        inner = DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0)
        with sklearn.config_context(enable_metadata_routing=True):
            inner.set_fit_request(sample_weight=True, sample_domain=False)
            plain, weighted = (
                meta(inner, random_state=0).fit(X, y, **options) for options in ({}, {"sample_weight": weight})
            )
        assert not np.allclose(plain.predict_proba(X), weighted.predict_proba(X), atol=1e-4)

    def test_what_nobody_takes_is_refused(self, table, source):
        X, y = table
        with pytest.raises(ValueError, match="enable_metadata_routing"):
            GradualAdaptedClassifier(LogisticRegression()).fit(X, y, sample_weight=np.ones(200))
        with sklearn.config_context(enable_metadata_routing=True):
            with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
                GradualAdaptedClassifier(LogisticRegression()).fit(X, y, sample_weight=np.ones(200))
            with pytest.raises(ValueError, match=r"sample_weight would go to the fit of the .* fitted already"):
                TestTimeAdaptedClassifier(source).fit(X, sample_weight=np.ones(200))


class TestSingleRows:
    def test_each_counts_as_one_row_beside_the_source(self, table, source):
        X = table[0][100:112] + 1
        model = TestTimeAdaptedClassifier(source, online=True, prior=20).reset()
        for i in range(12):
            assert model.predict_proba(X[i : i + 1]).shape == (1, 2)
        network = copy.deepcopy(source.module_).double()
        scaled = torch.as_tensor(source._scaler.transform(X))
        with torch.no_grad():
            given = network.bottleneck[0](network.backbone(scaled))  # what the norm is given
        norm, before = (m.bottleneck[1] for m in (model.estimator_.module_, source.module_))
        mean = (20 * before.running_mean + given.sum(0)) / 32
        assert torch.allclose(norm.running_mean.double(), mean, atol=1e-5)
        unbiased = given.var(0)
        assert torch.allclose(norm.running_var.double(), (20 * before.running_var + 12 * unbiased) / 32, atol=1e-4)

    def test_without_a_prior_the_error_says_so(self, table, source):
        with pytest.raises(ValueError, match="fewer than the 2 of a batch"):
            TestTimeAdaptedClassifier(source, online=True).reset().predict(table[0][:1])


def test_dense_fit_and_sparse_predict(table, source):
    X = table[0]
    assert np.array_equal(source.predict_proba(sparse.csr_array(X)), source.predict_proba(X))


@pytest.mark.parametrize(
    "fit",
    [
        lambda X, y, **o: FineTunedClassifier(**o).fit(X, np.abs(y)),
        lambda X, y, **o: DomainAdaptedClassifier(**o).fit(X, y),
        lambda X, y, **o: ProtoNetLearner(n_way=2, n_query=1, n_episodes=1, **o).fit(X, y),
        lambda X, y, **o: GradualAdaptedClassifier(DomainAdaptedClassifier(max_epochs=1, loss=None), **o).fit(X, y),
    ],
)
def test_callbacks_are_looked_at(table, fit):
    with pytest.raises(TypeError, match=r"callbacks\[0\] must be a skorch callback, .* got 'x'"):
        fit(*table, callbacks=["x"])


def test_callbacks_of_the_other_kind(table):
    callback = pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")
    with pytest.raises(TypeError, match="come by set_callbacks"):
        DomainAdaptedClassifier(callbacks=[callback.ProgressBar()]).fit(*table)


def test_errors_of_domains_speak_of_domains(table):
    X, y = table
    with pytest.raises(ValueError, match=r"(?i)sample_domain should be a 1d array"):
        DomainAdaptedClassifier().fit(X, y, sample_domain=np.zeros((200, 2)))
    with pytest.raises(ValueError, match=r"(?i)sample_domain should be a 1d array"):
        GradualAdaptedClassifier(LogisticRegression()).fit(X, y, sample_domain=np.zeros((200, 2)))
    with pytest.raises(ValueError, match=r"(?i)groups should be a 1d array"):
        next(StratifiedDomainKFold().split(X, y, groups=np.zeros((200, 2))))


def test_too_few_rows_a_class_are_said_plainly():
    with pytest.raises(ValueError, match="but all 3 classes have fewer"):
        EpisodeSampler(np.repeat(range(3), 2), n_way=2, n_shot=2, n_query=2)
    with pytest.raises(ValueError, match="but 1 of the 3 classes have fewer"):
        EpisodeSampler([0] * 4 + [1] * 4 + [2], n_way=2, n_shot=2, n_query=2)


def test_columns_of_learners_that_transform():
    X, y = np.random.default_rng(0).normal(size=(12, 2)), np.repeat(range(3), 4)
    learner = ProtoNetLearner(n_way=2, n_query=1, n_episodes=2, random_state=0).fit(X, y)
    names = learner.get_feature_names_out()
    assert len(names) == learner.transform(X).shape[1]
    assert names[0] == "protonetlearner0"
    pandas = pytest.importorskip("pandas", reason="set_output is tested with pandas' frames")
    assert isinstance(learner.set_output(transform="pandas").transform(X), pandas.DataFrame)
