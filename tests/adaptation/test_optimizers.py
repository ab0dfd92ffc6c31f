"""An optimizer of one's own is called with groups and lr alone, as all families promise."""

import numpy as np
import pytest
import torch

from sktl.adaptation import (
    DomainAdaptedClassifier,
    DomainAdaptedRegressor,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)) + np.repeat([0.0, 0.5], 30)[:, None]
Y = np.where(np.arange(60) < 30, (X[:, 0] > 0).astype(int), -1)
SHORT = {"max_epochs": 2, "batch_size": 10, "random_state": 0}


def sgd(groups, lr):
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)


def start():
    return DomainAdaptedClassifier(bottleneck=8, **SHORT)


RATE = {"learning_rate": 0.01}  # "auto" goes by the name

CASES = {
    "joint": lambda optimizer: DomainAdaptedClassifier(optimizer=optimizer, weight_decay=0.1, **RATE, **SHORT),
    "regressor": lambda optimizer: DomainAdaptedRegressor(optimizer=optimizer, **RATE, **SHORT),
    "source-free": lambda optimizer: SourceFreeAdaptedClassifier(start(), optimizer=optimizer, **RATE, **SHORT),
    "gradual": lambda optimizer: GradualAdaptedClassifier(start(), n_steps=2, optimizer=optimizer, **RATE, **SHORT),
    "test time": lambda optimizer: TestTimeAdaptedClassifier(
        start(), method="tent", optimizer=optimizer, random_state=0, **RATE
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_by_name_and_by_callable(name):
    y = np.where(Y == -1, np.nan, X[:, 1]) if name == "regressor" else Y
    found, expected = (CASES[name](optimizer).fit(X, y) for optimizer in (sgd, "sgd"))
    answer = "predict" if name == "regressor" else "predict_proba"
    np.testing.assert_allclose(getattr(found, answer)(X), getattr(expected, answer)(X), atol=1e-4)
