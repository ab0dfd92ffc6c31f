"""Estimators that are fitted inside are seeded from outside, and splitters draw anew where they are told so."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.model_selection import EpisodeSplit, SourceTargetShuffleSplit, StratifiedDomainKFold


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(120, 3))
    return X, np.where(np.arange(120) < 60, (X[:, 0] > 0).astype(int), -1)


def inner(**options):
    return make_pipeline(StandardScaler(), DomainAdaptedClassifier(loss=None, max_epochs=1, **options))


@pytest.mark.parametrize("meta", [SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier, GradualAdaptedClassifier])
def test_one_seed_fixes_everything(table, meta):
    def fitted(seed, **options):
        settings = {} if meta is TestTimeAdaptedClassifier else {"max_epochs": 1}
        model = meta(inner(**options), random_state=seed, **settings)
        return (
            model.fit(*table).decision_function(table[0])
            if meta is not GradualAdaptedClassifier
            else model.fit(*table).predict_proba(table[0])
        )

    first = fitted(0)
    assert np.array_equal(first, fitted(0))
    of_state = fitted(np.random.RandomState(0))
    assert np.array_equal(of_state, fitted(np.random.RandomState(0)))
    if meta is TestTimeAdaptedClassifier:  # the others draw several seeds
        assert np.array_equal(first, of_state)
    assert not np.array_equal(first, fitted(1))
    assert not np.array_equal(first, fitted(0, random_state=5))  # its own seed stays


def test_classifiers_that_are_fitted_anew(table):
    X, y = table
    model = GradualAdaptedClassifier(DecisionTreeClassifier(max_features=1), n_steps=1, random_state=0).fit(X, y)
    again = GradualAdaptedClassifier(DecisionTreeClassifier(max_features=1), n_steps=1, random_state=0).fit(X, y)
    assert model.estimator_.random_state == again.estimator_.random_state
    assert isinstance(model.estimator_.random_state, int)


SPLITTERS = [StratifiedDomainKFold, SourceTargetShuffleSplit, lambda **o: EpisodeSplit(2, 1, 2, n_episodes=3, **o)]


@pytest.mark.parametrize("make", SPLITTERS)
def test_splitters(table, make):
    X, y = table
    y = np.where(y == -1, y, y)

    def split(splitter):
        return [tuple(map(tuple, parts)) for parts in splitter.split(X, y)]

    fixed, free, state = make(random_state=3), make(random_state=None), make(random_state=np.random.RandomState(0))
    before = np.random.get_state()[1].copy()
    assert split(fixed) == split(fixed)
    assert split(free) != split(free)
    first, second = split(state), split(state)
    assert first != second
    assert split(make(random_state=np.random.RandomState(0))) == first
    assert np.array_equal(before, np.random.get_state()[1])
    with pytest.raises(ValueError, match=r"random_state must be an integer, at least 0, .* or None"):
        make(random_state="x")
