"""A layer registered under two names, or with tied weights, learns as its twin that is written out."""

import copy

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktl._functional import call_with
from sktl.fewshot import FewShotClassifier, MAMLLearner, MetaLSTMLearner, ReptileLearner


class Reused(nn.Module):
    """One layer, registered once and called twice."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


class Tied(nn.Module):
    """Two layers that hold the same tensors."""

    def __init__(self, layer):
        super().__init__()
        self.first, self.second = layer, copy.deepcopy(layer)
        self.second.weight, self.second.bias = layer.weight, layer.bias

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def registered_twice(layer):
    return nn.Sequential(layer, nn.Tanh(), layer)


def linear():
    layer = nn.utils.skip_init(nn.Linear, 6, 6)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for value in layer.parameters():
            value.copy_(torch.from_numpy(rng.normal(scale=0.4, size=tuple(value.shape))))
    return layer


@pytest.mark.parametrize("build", [registered_twice, Tied, Reused])
def test_other_values_are_taken_everywhere_and_the_own_ones_come_back(build):
    layer, x = linear(), torch.ones(2, 6)
    network = build(layer)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    values = {name: torch.full_like(value, 0.1) for name, value in network.named_parameters()}
    hidden = np.tanh(np.full((2, 6), 0.7))
    expected = hidden.sum(axis=1, keepdims=True) * 0.1 + 0.1
    np.testing.assert_allclose(call_with(network, values, x).numpy(), np.repeat(expected, 6, axis=1), rtol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(isinstance(value, nn.Parameter) for value in network.parameters())


RECIPES = {
    "maml, first order": lambda **shared: MAMLLearner(order=1, inner_steps=2, **shared),
    "maml, second order": lambda **shared: MAMLLearner(order=2, inner_steps=2, **shared),
    "implicit": lambda **shared: MAMLLearner(order="implicit", inner_steps=2, **shared),
    "reptile": lambda **shared: ReptileLearner(inner_steps=2, **shared),
    "meta-lstm": lambda **shared: MetaLSTMLearner(inner_steps=2, **shared),
}


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("build", [registered_twice, Tied])
def test_meta_training_equals_that_of_the_twin(recipe, build):
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=2, size=(8, 6))
    X = (np.repeat(centres, 8, axis=0) + rng.normal(size=(64, 6))).astype(np.float32)
    y = np.repeat(np.arange(8), 8)
    probabilities = []
    for network in (build(linear()), Reused(linear())):
        learner = RECIPES[recipe](
            backbone=network, n_way=3, n_shot=2, n_query=3, n_episodes=6, random_state=0, validation_fraction=0.0
        ).fit(X, y)
        few = FewShotClassifier(FrozenEstimator(learner)).fit(X[:24:2], y[:24:2])
        probabilities.append(few.predict_proba(X[1:24:2]))
    np.testing.assert_allclose(probabilities[0], probabilities[1], atol=1e-5)
