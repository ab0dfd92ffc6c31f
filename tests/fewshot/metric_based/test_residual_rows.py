"""Prototypical networks on codes: they start as the codes' directions, and leave these where they gain nothing."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import normalize

import sktl
from sktl.fewshot import ProtoNetClassifier, ProtoNetLearner
from sktl.fewshot.meta_training._encoders import EncoderPlan
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.model_selection import episode_scores

OPTIONS = {"n_way": 5, "n_query": 5, "random_state": 0}


def classes(n_classes, n_told, n_noise, seed, n_rows=12):
    """Return rows whose first columns tell classes, and whose others are noise of the same size for all."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), n_rows)
    told = rng.normal(size=(n_classes, n_told))[y] + 0.1 * rng.normal(size=(len(y), n_told))
    return np.hstack([told, rng.normal(size=(len(y), n_noise))]), y


def test_the_network_starts_as_the_directions_of_the_rows():
    X = torch.randn(6, 70, generator=torch.Generator().manual_seed(0))
    encoder = EncoderPlan("residual", InputSpec("feature rows", (70,)), 0).build()
    expected = np.sqrt(10) * normalize(X.numpy())
    np.testing.assert_allclose(encoder(X).detach().numpy(), expected, rtol=1e-5)


def test_codes_that_are_good_stay_as_they_are():
    X, y = classes(9, n_told=80, n_noise=0, seed=0)
    learner = ProtoNetLearner(**OPTIONS, n_episodes=200).fit(X, y)
    assert learner.best_epoch_ == 0
    np.testing.assert_allclose(learner.transform(X), np.sqrt(10) * normalize(X), rtol=1e-5)


def test_poor_codes_gain_on_new_classes():
    X, y = classes(60, n_told=8, n_noise=72, seed=0)
    new = classes(20, n_told=8, n_noise=72, seed=1)
    learner = ProtoNetLearner(**OPTIONS, n_episodes=400).fit(X, y)
    before, after = (
        episode_scores(model, *new, n_way=5, n_shot=1, n_query=5, n_episodes=100).mean
        for model in (ProtoNetClassifier(normalize="l2"), ProtoNetClassifier(encoder=FrozenEstimator(learner)))
    )
    assert learner.best_epoch_ > 0
    assert after > before + 0.1


def test_few_columns_are_standardised_and_take_a_perceptron():
    X, y = classes(9, n_told=8, n_noise=0, seed=0)
    learner = ProtoNetLearner(**OPTIONS, n_episodes=3).fit(X, y)
    assert learner._learned.plan.encoder.backbone == "mlp"
    assert learner.best_epoch_ is None


def test_episodes_have_no_more_classes_than_are_left():
    X, y = classes(6, n_told=80, n_noise=0, seed=0)
    ProtoNetLearner(n_way=6, n_query=5, n_episodes=3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="only 6"):
        ProtoNetLearner(n_way=7, n_query=5, n_episodes=3).fit(X, y)
    with pytest.raises(ValueError, match="leaves 4"):
        ProtoNetLearner(n_way=6, n_query=5, n_episodes=3, validation_fraction=0.25).fit(X, y)


def test_three_classes_are_all_trained_on():
    X, y = classes(3, n_told=80, n_noise=0, seed=0)
    assert ProtoNetLearner(n_way=3, n_query=5, n_episodes=3, random_state=0).fit(X, y).best_epoch_ is None


def test_a_file_keeps_it(tmp_path):
    X, y = classes(60, n_told=8, n_noise=72, seed=0)
    learner = ProtoNetLearner(**OPTIONS, n_episodes=100).fit(X, y)
    learner.save(tmp_path / "learner.safetensors")
    np.testing.assert_array_equal(sktl.load(tmp_path / "learner.safetensors").transform(X), learner.transform(X))


def test_pictures_are_refused():
    X, y = np.zeros((12, 8, 8), np.uint8), np.repeat([0, 1], 6)
    with pytest.raises(ValueError, match="takes feature rows"):
        ProtoNetLearner("residual", n_way=2, n_query=2).fit(X, y)
