"""Agreement with many models."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sktl.metrics import ConsensusScorer, consensus_scores


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    truth = np.arange(150) % 3
    X = rng.normal(size=(150, 2)) + 1.5 * np.eye(3)[truth, :2]
    return X, np.where(np.arange(150) < 60, truth, -1), truth


@pytest.fixture(scope="module")
def models(rows):
    """Models of a few rows each, which err differently."""
    X, y, _ = rows
    return [LogisticRegression().fit(X[i * 10 : i * 10 + 12], y[i * 10 : i * 10 + 12]) for i in range(4)]


def test_scores_are_agreement_with_the_mean(rows, models):
    X, y, _ = rows
    probas = [model.predict_proba(X[60:]) for model in models]
    together = sum(probas).argmax(1)
    expected = [(model.predict(X[60:]) == together).mean() for model in models]
    assert consensus_scores(probas).tolist() == expected
    scorer = ConsensusScorer(models)
    assert [scorer(model, X, y) for model in models] == expected
    assert len(set(expected)) > 1


def test_a_model_that_errs_alone_scores_lowest():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 500)
    wrong = [np.where(rng.random(500) < share, rng.integers(0, 4, 500), truth) for share in (0.2, 0.3, 0.4, 0.9)]
    scores = consensus_scores([np.eye(4)[labels] for labels in wrong])
    assert np.array_equal(np.argsort(-scores), np.arange(4))


def test_in_a_search_clones_refer_to_the_fitted_models(rows, models):
    X, y, _ = rows
    scorer = clone(ConsensusScorer(models, unlabelled=-1))
    assert scorer.estimators is models
    assert pickle.loads(pickle.dumps(scorer))(models[0], X, y) == scorer(models[0], X, y)

    class OfLabelled(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X[y >= 0], y[y >= 0])

    search = GridSearchCV(OfLabelled(), {"C": [1e-3, 1.0]}, scoring=scorer, cv=StratifiedKFold(3))
    scores = clone(search).fit(X, y).cv_results_["mean_test_score"]
    assert ((scores > 0.3) & (scores <= 1)).all()


def test_what_cannot_be_compared(rows, models):
    X, y, _ = rows
    two = LogisticRegression().fit(X[:60], np.minimum(y[:60], 1))
    with pytest.raises(ValueError, match=r"models of the same classes; the scored one has \[0, 1, 2\].*\[0, 1\]"):
        ConsensusScorer([two])(models[0], X, y)
    with pytest.raises(ValueError, match="at least one fitted estimator"):
        ConsensusScorer([])(models[0], X, y)
    with pytest.raises(ValueError, match="needs unlabelled target rows"):
        ConsensusScorer(models)(models[0], X[:60], y[:60])
    with pytest.raises(ValueError, match="probabilities of one shape"):
        consensus_scores([np.ones((3, 2)), np.ones((4, 2))])
    with pytest.raises(ValueError, match="probabilities of one shape"):
        consensus_scores([])
