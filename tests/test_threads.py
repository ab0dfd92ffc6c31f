"""Fits in several threads give what one thread gives, and leave torch's global generator alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sktl import DomainAdaptedClassifier, FineTunedClassifier, FineTunedRegressor
from sktl._draws import OwnDraws
from sktl.fewshot import MAMLLearner, MatchingNetLearner, ProtoNetLearner, RelationNetLearner, ReptileLearner
from sktl.fewshot._learned import LearnedMethod

N_THREADS = 4
EPISODES = {"n_way": 2, "n_shot": 1, "n_query": 1, "n_episodes": 8, "meta_batch_size": 4, "random_state": 0}


def with_dropout():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5))


ESTIMATORS = [
    FineTunedClassifier(max_steps=20, random_state=0),
    FineTunedRegressor(max_steps=20, random_state=0),
    DomainAdaptedClassifier(max_epochs=5, random_state=0),
    DomainAdaptedClassifier(with_dropout, max_epochs=5, random_state=0),
    *(
        learner(**EPISODES)
        for learner in (ProtoNetLearner, MatchingNetLearner, RelationNetLearner, MAMLLearner, ReptileLearner)
    ),
]


@pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_threads_fit_the_same(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.repeat([0, 1, 2, 3], 10)
    target = y.copy()
    if isinstance(estimator, DomainAdaptedClassifier):
        target[::2] = -1
    together = threading.Barrier(N_THREADS)

    def outputs(waits):
        if waits:
            together.wait()
        found = clone(estimator).fit(X, target)
        return found.transform(X) if hasattr(found, "transform") else learned(found, X)

    expected = outputs(False)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(outputs, [True] * N_THREADS))
    assert torch.equal(before, torch.get_rng_state())
    for values in found:
        np.testing.assert_array_equal(values, expected)


def learned(fitted, X):
    if hasattr(fitted, "predict_proba"):
        return fitted.predict_proba(X)
    if hasattr(fitted, "predict"):
        return fitted.predict(X)
    (found,) = [value for value in vars(fitted).values() if isinstance(value, LearnedMethod)]
    return np.concatenate([value.numpy().ravel() for value in found.tensors.values()])


def drawn():
    ones = torch.ones(30)
    return [
        *nn.Linear(3, 4).parameters(), *nn.LSTM(3, 4).parameters(), torch.rand(3), torch.randn(2, 2), torch.randperm(7),
        torch.randint(5, (4,)), torch.randint(2, 9, (4,)), torch.randn_like(ones), torch.bernoulli(ones / 2),
        nn.Dropout()(ones), nn.Dropout2d()(torch.ones(2, 8, 2, 2)), nn.RReLU()(-ones), torch.multinomial(ones, 3),
        nn.init.trunc_normal_(torch.empty(5)), nn.init.orthogonal_(torch.empty(3, 3)), torch.normal(0.0, 1.0, (3,)),
        torch.distributions.Dirichlet(torch.ones(3)).sample(), nn.functional.gumbel_softmax(ones),
    ]  # fmt: skip


def test_own_draws_are_those_of_the_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = drawn()
    before = torch.get_rng_state()
    with OwnDraws(5):
        found = drawn()
    assert torch.equal(before, torch.get_rng_state())
    for value, wanted in zip(found, expected, strict=True):
        assert torch.equal(value, wanted)
