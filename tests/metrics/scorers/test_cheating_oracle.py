"""The oracle, which takes the true labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate

from sktl.adaptation import DomainAdaptedClassifier
from sktl.metrics import CheatingOracleScorer


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 2
    X = rng.normal(size=(120, 3)) + 2.0 * truth[:, None]
    X[60:] += 1.5
    return X, np.where(np.arange(120) < 60, truth, -1), truth


@pytest.fixture(scope="module")
def model(rows):
    X, y, _ = rows
    return LogisticRegression().fit(X[:60], y[:60])


def test_it_scores_unlabelled_rows_by_the_truth(rows, model):
    X, y, truth = rows
    expected = model.score(X[60:], truth[60:])
    assert CheatingOracleScorer()(model, X, y, true_labels=truth) == expected
    assert CheatingOracleScorer(truth)(model, X, y) == expected
    hidden = np.where(np.arange(120) < 60, -1, truth)  # labels of labelled rows are not looked at
    assert CheatingOracleScorer(hidden)(model, X, y) == expected
    log = CheatingOracleScorer(truth, scoring="neg_log_loss")(model, X, y)
    assert log == pytest.approx(-log_loss(truth[60:], model.predict_proba(X[60:])))


def expected_scores(X, y, truth, folds):
    scores = []
    for train, test in folds.split(X, y):
        target = test[y[test] < 0]
        model = DomainAdaptedClassifier(loss="cdan", max_epochs=3, random_state=0).fit(X[train], y[train])
        scores.append(model.score(X[target], truth[target]))
    return scores


def test_as_metadata_in_a_search(rows):
    X, y, truth = rows
    folds = StratifiedKFold(3)
    model = DomainAdaptedClassifier(loss="cdan", max_epochs=3, random_state=0)
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(model, {"loss": ["cdan"]}, scoring=CheatingOracleScorer(), cv=folds)
        search.fit(X, y, true_labels=truth)
        explicit = CheatingOracleScorer().set_score_request(true_labels=True)
        again = cross_validate(model, X, y, scoring=explicit, cv=folds, params={"true_labels": truth})
    expected = expected_scores(X, y, truth, folds)
    assert [search.cv_results_[f"split{i}_test_score"][0] for i in range(3)] == expected
    assert again["test_score"].tolist() == expected


def test_by_the_index_of_pandas(rows):
    X, y, truth = rows
    index = np.random.default_rng(0).permutation(120)
    oracle = CheatingOracleScorer(pd.Series(truth, index=index).sort_index())
    folds = StratifiedKFold(3)
    model = DomainAdaptedClassifier(loss="cdan", max_epochs=3, random_state=0)
    search = GridSearchCV(model, {"loss": ["cdan"]}, scoring=oracle, cv=folds).fit(X, pd.Series(y, index=index))
    expected = expected_scores(X, y, truth, folds)
    assert [search.cv_results_[f"split{i}_test_score"][0] for i in range(3)] == expected


def test_what_is_missing_is_named(rows, model):
    X, y, truth = rows
    with pytest.raises(ValueError, match="needs true_labels, one a row"):
        CheatingOracleScorer()(model, X, y)
    with pytest.raises(ValueError, match="expected 100, got 120"):
        CheatingOracleScorer(truth)(model, X[:100], y[:100])
    with pytest.raises(ValueError, match="needs unlabelled target rows"):
        CheatingOracleScorer(truth)(model, X, truth)
    with pytest.raises(ValueError, match="no label for 60 of the 60 unlabelled rows"):
        CheatingOracleScorer(y)(model, X, y)
