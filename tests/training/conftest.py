"""Small networks and data that do not touch the global generators."""

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread():
    """On networks this small a second thread only waits, for long where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_module():
    def make(*layers, seed=0):
        """Build layers given as (class, *arguments), with weights of this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nn.Sequential(*(layer[0](*layer[1:]) for layer in layers))

    return make


@pytest.fixture
def mlp(make_module):
    def make(seed=0, dropout=0.0):
        layers = [(nn.Linear, 4, 8), (nn.ReLU,), *([(nn.Dropout, dropout)] if dropout else []), (nn.Linear, 8, 3)]
        return make_module(*layers, seed=seed)

    return make


@pytest.fixture
def rows():
    """Fifty rows of four features in three classes."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(50, 4, generator=generator)
    return X, (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()


@pytest.fixture
def weights_of():
    def flat(module):
        return nn.utils.parameters_to_vector(module.parameters()).detach().clone()

    return flat
