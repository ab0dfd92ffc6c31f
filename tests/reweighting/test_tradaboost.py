"""TrAdaBoost against the paper's algorithm, written out plainly, and what it is for."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktl.reweighting import TrAdaBoostClassifier

STUMP = DecisionTreeClassifier(max_depth=1, random_state=0)


@pytest.fixture(scope="module")
def rows():
    """Return rows of two domains whose labels follow other thresholds, and fresh target rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(340, 4))
    domain = np.repeat(["old", "new"], [300, 40])
    truth = np.where(domain == "old", X[:, 0] + X[:, 1] > 0, X[:, 0] + X[:, 1] > 1).astype(int)
    fresh = rng.normal(size=(1000, 4))
    return X, truth, domain, fresh, (fresh[:, 0] + fresh[:, 1] > 1).astype(int)


def tradaboost(X, y, is_target, X_new, n_rounds):
    """Return labels by the algorithm of Dai et al., for labels 0 and 1."""
    w = np.ones(len(y))
    beta = 1 / (1 + np.sqrt(2 * np.log((~is_target).sum()) / n_rounds))
    betas, answers = [], []
    for _ in range(n_rounds):
        h = LogisticRegression().fit(X, y, sample_weight=w / w.mean())
        wrong = np.abs(h.predict(X) - y)
        error = np.sum(w[is_target] * wrong[is_target]) / w[is_target].sum()
        beta_t = error / (1 - error) if error < 0.5 else 1.0
        w = w * np.where(is_target, beta_t**-wrong, beta**wrong)
        betas.append(beta_t)
        answers.append(h.predict(X_new))
    half = slice(n_rounds // 2, None)
    logs = np.log(betas)[half] if np.min(betas[half]) < 1 else -np.ones(n_rounds - n_rounds // 2)
    return (-logs @ np.array(answers)[half] >= -0.5 * logs.sum()).astype(int), w[~is_target]


@pytest.mark.parametrize("n_rounds", [1, 2, 6])
def test_it_is_the_paper_s_algorithm(rows, n_rounds):
    X, y, domain, fresh, _ = rows
    expected, weights = tradaboost(X, y, domain == "new", fresh, n_rounds)
    model = TrAdaBoostClassifier(LogisticRegression(), n_estimators=n_rounds, target_domain="new", random_state=0)
    model.fit(X, y, sample_domain=domain)
    np.testing.assert_allclose(model.source_weights_, weights / weights.mean(), rtol=1e-6)
    assert np.mean(model.predict(fresh) == expected) > 0.98


def test_weights_that_sum_to_one_are_weights(rows):
    X, y, domain, fresh, _ = rows
    model = TrAdaBoostClassifier(LogisticRegression(), n_estimators=4, target_domain="new", random_state=0)
    expected, votes = model.fit(X, y, sample_domain=domain).predict(fresh), model.estimator_weights_
    assert len(set(votes[2:])) > 1
    model.fit(X, y, sample_domain=domain, sample_weight=np.full(len(y), 1 / len(y)))
    np.testing.assert_allclose(model.estimator_weights_, votes)
    np.testing.assert_array_equal(model.predict(fresh), expected)


def test_few_target_rows_and_many_others_beat_either_alone(rows):
    X, y, domain, fresh, truth = rows
    model = TrAdaBoostClassifier(target_domain="new", random_state=0).fit(X, y, sample_domain=domain)
    pooled = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), random_state=0).fit(X, y)
    assert model.score(fresh, truth) > pooled.score(fresh, truth) + 0.05
    against = (X.sum(axis=1) > 0) & (domain == "old") & (X[:, 0] + X[:, 1] < 1) & (y == 1)
    of_source = against[domain == "old"]
    assert model.source_weights_[of_source].mean() < 0.7 * model.source_weights_[~of_source].mean()


def test_several_classes_words_sparse_rows_and_unlabelled_ones(rows):
    X, _, domain, fresh, _ = rows
    words = np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + (domain == "new"), [-0.5, 0.5])].astype(object)
    model = TrAdaBoostClassifier(n_estimators=10, target_domain="new", random_state=0)
    model.fit(X, words, sample_domain=domain)
    truth = np.array(["low", "mid", "top"])[np.digitize(fresh[:, 0] + 1, [-0.5, 0.5])]
    assert model.score(fresh, truth) > 0.8
    assert model.classes_.tolist() == ["low", "mid", "top"]
    proba = model.predict_proba(fresh)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(fresh))
    thin = TrAdaBoostClassifier(n_estimators=10, target_domain="new", random_state=0)
    thin.fit(sparse.csr_array(X), words, sample_domain=domain)
    np.testing.assert_array_equal(thin.predict(sparse.csr_array(fresh)), model.predict(fresh))
    more = np.concatenate([words, np.full(1000, None)])
    both = np.concatenate([domain, np.full(1000, "new")])
    by_mark = TrAdaBoostClassifier(n_estimators=10, random_state=0)  # the target has unlabelled rows
    by_mark.fit(np.concatenate([X, fresh]), more, sample_domain=both)
    np.testing.assert_array_equal(by_mark.predict(fresh), model.predict(fresh))


def test_what_is_missing_is_said(rows):
    X, y, domain, _, _ = rows
    with pytest.warns(UserWarning, match="No labelled row is of the target"):
        TrAdaBoostClassifier(n_estimators=2).fit(X, y)
    with pytest.raises(TypeError, match="takes no sample_weight"):
        TrAdaBoostClassifier(KNeighborsClassifier()).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="holds no label"):
        TrAdaBoostClassifier().fit(X, np.full(340, -1), sample_domain=domain)
    with pytest.raises(ValueError, match="does not occur"):
        TrAdaBoostClassifier(target_domain="odd").fit(X, y, sample_domain=domain)


def test_a_perfect_round_and_a_pipeline(rows):
    X, _, domain, fresh, _ = rows
    y = (X[:, 0] > 0).astype(int)
    model = TrAdaBoostClassifier(STUMP, n_estimators=6, target_domain="new", random_state=0)
    model.fit(X, y, sample_domain=domain)
    assert np.isfinite(model.estimator_weights_).all()
    assert np.mean(model.predict(fresh) == (fresh[:, 0] > 0)) > 0.97
    lined = TrAdaBoostClassifier(make_pipeline(StandardScaler(), LogisticRegression()), n_estimators=3)
    lined.set_params(target_domain="new").fit(X, y, sample_domain=domain)
    assert lined.score(fresh, (fresh[:, 0] > 0).astype(int)) > 0.9
