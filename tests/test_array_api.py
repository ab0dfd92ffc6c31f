"""Tensors under array API dispatch give what NumPy arrays give."""

import numpy as np
import pytest
import sklearn.base
import torch

from sktl import DomainAdaptedClassifier, FineTunedClassifier, ProtoNetClassifier
from sktl.fewshot import FewShotClassifier
from sktl.metrics import DOMAIN_SCORERS, get_domain_scorer
from sktl.model_selection import LeaveOneDomainOut, SourceTargetShuffleSplit, StratifiedDomainKFold

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = RNG.integers(0, 2, 60)
PARTLY = np.where(np.arange(60) < 40, Y, -1)


def of_both(function, *arrays):
    expected = function(*arrays)
    with sklearn.config_context(array_api_dispatch=True):
        return expected, function(*(torch.from_numpy(array) for array in arrays))


@pytest.mark.parametrize(
    "estimator",
    [
        ProtoNetClassifier(),
        FewShotClassifier(),
        FineTunedClassifier(max_steps=2, random_state=0),
        DomainAdaptedClassifier(max_epochs=2, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_estimators(estimator):
    y = PARTLY if isinstance(estimator, DomainAdaptedClassifier) else Y
    expected, found = of_both(lambda X, y: sklearn.base.clone(estimator).fit(X, y).predict_proba(X), X, y)
    np.testing.assert_array_equal(found, expected)


def test_splitters():
    for splitter, y in (
        (StratifiedDomainKFold(2), PARTLY),
        (SourceTargetShuffleSplit(2, random_state=0), PARTLY),
        (LeaveOneDomainOut(), Y),
    ):
        groups = (y,) if isinstance(splitter, LeaveOneDomainOut) else ()
        expected, found = of_both(lambda *given, splitter=splitter: list(splitter.split(*given)), X, y, *groups)
        for part, wanted in zip(found, expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(part, wanted, strict=True))


@pytest.mark.parametrize("name", DOMAIN_SCORERS)
def test_scorers(name):
    model = DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(X, PARTLY)
    expected, found = of_both(lambda X, y: get_domain_scorer(name)(model, X, y), X, PARTLY)
    assert found == pytest.approx(expected, abs=1e-12)
