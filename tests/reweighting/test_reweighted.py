"""Estimators that weigh source rows: what they are fitted with, and how they read marks and domains."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktl.aligners import CORALAligner
from sktl.density_ratios import DENSITY_RATIOS, DensityRatio, DiscriminativeRatio, RuLSIF
from sktl.reweighting import WEIGHTERS, ReweightedClassifier, ReweightedRegressor, TrAdaBoostClassifier

each = pytest.mark.parametrize("weighter", WEIGHTERS)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(150, 2)), rng.normal(loc=[1, 0], size=(120, 2))])
    truth = (X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=270) > 1).astype(int)
    return X, np.where(np.arange(270) < 150, truth, -1), truth


@each
def test_the_estimator_is_fitted_with_the_weights(rows, weighter):
    X, y, _ = rows
    before = X.copy(), y.copy()
    model = ReweightedClassifier(LogisticRegression(), weighter=weighter).fit(X, y)
    alone = LogisticRegression().fit(X[:150], y[:150], sample_weight=model.weights_)
    np.testing.assert_array_equal(model.estimator_.coef_, alone.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), alone.decision_function(X))
    assert np.isclose(model.weights_.mean(), 1)
    ratio = model.density_ratio_**model.flattening_
    np.testing.assert_allclose(model.weights_, ratio / ratio.mean(), atol=1e-5)
    assert np.isclose(model.effective_sample_size_, ratio.sum() ** 2 / (ratio**2).sum())
    assert hasattr(model, "class_weights_") == (weighter in ("bbse", "em", "rlls"))
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])


@each
def test_rows_of_weight_zero_are_as_if_they_were_not_there(rows, weighter):
    X, y, _ = rows
    weight = np.where(y == -1, 1, np.random.default_rng(0).integers(0, 3, len(y)))
    model = ReweightedClassifier(LogisticRegression(), weighter=weighter)
    expected = model.fit(X[weight > 0], y[weight > 0], sample_weight=weight[weight > 0]).predict_proba(X)
    np.testing.assert_array_equal(model.fit(X, y, sample_weight=weight).predict_proba(X), expected)
    with pytest.raises(ValueError, match="0 for all labelled rows"):
        model.fit(X, y, sample_weight=y == -1)


def test_rows_have_the_ratio_of_the_method(rows):
    X, y, _ = rows
    for weighter in (DiscriminativeRatio(), RuLSIF(0.3, n_centres=20)):
        model = ReweightedClassifier(LogisticRegression(), weighter=weighter).fit(X, y)
        np.testing.assert_array_equal(model.density_ratio_, weighter.estimate(X[:150], X[150:]))
    flat = ReweightedClassifier(LogisticRegression(), flattening=0.5).fit(X, y)
    np.testing.assert_allclose(flat.weights_, flat.density_ratio_**0.5 / np.mean(flat.density_ratio_**0.5))
    none = ReweightedClassifier(LogisticRegression(), flattening=0.0).fit(X, y)
    np.testing.assert_allclose(none.weights_, 1)


@pytest.mark.parametrize("weighter", ["bbse", "em", "rlls"])
def test_shares_of_digits_are_found_and_help(weighter):
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    source, rest = order[:700], order[700:]
    keep = np.where(y[rest] < 5, 0.1, 1.0)  # small digits become rare
    target = rest[rng.random(len(rest)) < keep]
    both = np.r_[source, target]
    marked = np.where(np.arange(len(both)) < 700, y[both], -1)
    noisy = X / 16 + rng.normal(scale=0.5, size=X.shape)  # so that classes are confused
    model = ReweightedClassifier(LogisticRegression(C=0.1), weighter=weighter).fit(noisy[both], marked)
    true = np.bincount(y[target], minlength=10) / len(target)
    source_share = np.bincount(y[source], minlength=10) / 700
    assert np.abs(model.target_prior_ - true).sum() < 0.5 * np.abs(source_share - true).sum()
    plain = LogisticRegression(C=0.1).fit(noisy[source], y[source])
    assert model.score(noisy[target], y[target]) > plain.score(noisy[target], y[target])


def test_marks_domains_and_labelled_target_rows(rows):
    X, y, truth = rows
    domain = np.where(np.arange(270) < 150, "old", "new")
    plain = ReweightedClassifier(LogisticRegression()).fit(X, y)
    words = np.array(["no", "yes", "-1"])[y]
    for labels in (words, np.where(y == -1, np.nan, y), np.where(y == -1, None, y).astype(object)):
        other = ReweightedClassifier(LogisticRegression()).fit(X, labels, sample_domain=domain)
        np.testing.assert_array_equal(other.estimator_.coef_, plain.estimator_.coef_)
    some = np.where(np.arange(270) < 160, truth, -1)  # ten target rows have labels
    model = ReweightedClassifier(LogisticRegression(), target_domain="new").fit(X, some, sample_domain=domain)
    assert model.weights_.shape == (160,)
    assert model.density_ratio_.shape == (150,)
    np.testing.assert_array_equal(model.weights_[150:], 1)
    signed = ReweightedClassifier(LogisticRegression(), unlabelled=None, target_domain="new")
    assert signed.fit(X, np.where(truth, 1, -1), sample_domain=domain).classes_.tolist() == [-1, 1]


def test_weights_of_ones_own_are_multiplied(rows):
    X, y, _ = rows
    own = np.linspace(0.5, 2, 270)
    model = ReweightedClassifier(LogisticRegression()).fit(X, y, sample_weight=own)
    alone = LogisticRegression().fit(X[:150], y[:150], sample_weight=model.weights_ * own[:150])
    np.testing.assert_array_equal(model.estimator_.coef_, alone.coef_)


def test_pipelines_searches_and_tables(rows):
    X, y, _ = rows
    inner = ReweightedClassifier(make_pipeline(StandardScaler(), LogisticRegression())).fit(X, y)
    assert inner.predict(X).shape == (270,)
    outer = make_pipeline(CORALAligner(), ReweightedClassifier(LogisticRegression())).fit(X, y)
    assert outer.classes_.tolist() == [0, 1]
    grid = {"weighter__C": [0.01, 1.0], "estimator__C": [1.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(ReweightedClassifier(LogisticRegression()), grid, cv=2).fit(X, y)
    assert search.best_estimator_.weighter.C in (0.01, 1.0)
    search = ReweightedClassifier(GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)).fit(X, y)
    assert search.estimator_.best_params_["C"] in (0.1, 1.0)
    table = pd.DataFrame(X, columns=["a", "b"])
    assert ReweightedClassifier(LogisticRegression()).fit(table, y).feature_names_in_.tolist() == ["a", "b"]
    thin = ReweightedClassifier(LogisticRegression(), weighter="kliep").fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(thin.predict_proba(sparse.csr_array(X)), thin.predict_proba(X))


@pytest.mark.parametrize("weighter", DENSITY_RATIOS)
def test_regressors(rows, weighter):
    X, _, _ = rows
    values = X[:, 0] ** 2 - 1
    y = np.where(np.arange(270) < 150, values, np.nan)
    model = ReweightedRegressor(Ridge(), weighter=weighter).fit(X, y)
    np.testing.assert_array_equal(model.estimator_.coef_, Ridge().fit(X[:150], y[:150], model.weights_).coef_)
    assert model.score(X[150:], values[150:]) > Ridge().fit(X[:150], y[:150]).score(X[150:], values[150:])
    assert make_pipeline(CORALAligner(), clone(model)).fit(X, y).predict(X).shape == (270,)


def test_a_collapse_is_said(rows):
    X, y, _ = rows
    far = X + np.where(y == -1, 6, 0)[:, None]
    weighter = DiscriminativeRatio(C=1e4)
    with pytest.warns(UserWarning, match=r"worth \d.*Lower flattening"):
        model = ReweightedClassifier(LogisticRegression(), weighter=weighter, flattening=1.0).fit(far, y)
    assert model.effective_sample_size_ < 15
    with pytest.warns(UserWarning, match=r"overlap little: .*ReweightedClassifier are worth \d.*The power 0\.\d"):
        model = ReweightedClassifier(LogisticRegression(), weighter=weighter).fit(far, y)
    assert model.effective_sample_size_ == pytest.approx(0.3 * 150, rel=0.01)
    assert 0 < model.flattening_ < 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ReweightedClassifier(LogisticRegression()).fit(X, y)


def test_bad_input_is_named(rows):
    X, y, _ = rows
    model = ReweightedClassifier(LogisticRegression())
    with pytest.raises(TypeError, match="takes no sample_weight"):
        ReweightedClassifier(KNeighborsClassifier()).fit(X, y)
    with pytest.raises(TypeError, match=r"no predict_proba"):
        ReweightedClassifier(RidgeClassifier(), weighter="em").fit(X, y)
    assert ReweightedClassifier(RidgeClassifier(), weighter="rlls").fit(X, y).class_weights_.shape == (2,)
    with pytest.raises(ValueError, match="holds no label"):
        model.fit(X, np.full(270, -1))
    with pytest.raises(ValueError, match="2 labelled"):
        clone(model).set_params(weighter="bbse").fit(X[149:], y[149:])
    with pytest.raises(ValueError, match="weighter"):
        clone(model).set_params(weighter="odd").fit(X, y)
    with pytest.raises(ValueError, match=r"density ratio must be one of .*got 'bbse'"):
        ReweightedRegressor(Ridge(), weighter="bbse").fit(X, y)
    with pytest.warns(UserWarning, match="no target row"):
        plain = model.fit(X[:150], y[:150])
    np.testing.assert_array_equal(plain.estimator_.coef_, LogisticRegression().fit(X[:150], y[:150]).coef_)


@pytest.mark.parametrize(
    "inner", [GaussianNB(), LogisticRegression(), SVC(random_state=0)], ids=lambda inner: type(inner).__name__
)
def test_a_class_whose_rows_are_all_far_from_the_target_stays_a_class(inner):
    class OnlyNear(DensityRatio):
        def _estimate(self, source, target):
            return (source[:, 0] < 5).astype(float)

    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(20, 2)) + place for place in ([0, 0], [1, 3], [50, 0], [0, 1])])
    y = np.repeat([0, 1, 2, -1], 20)
    model = ReweightedClassifier(inner, weighter=OnlyNear()).fit(X, y)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    assert set(np.unique(model.weights_[y[:60] == 2])) == {1e-6}
    answers = model.predict_proba(X) if hasattr(model, "predict_proba") else model.decision_function(X)
    assert np.isfinite(answers).all()
    assert 2 not in model.predict(X[60:])


def test_classes_are_not_learned_by_regressors(rows):
    X, y, _ = rows
    for kind in (ReweightedClassifier, TrAdaBoostClassifier):
        with pytest.raises(TypeError, match=f"{kind.__name__} learns classes, and Ridge is a regressor"):
            kind(Ridge()).fit(X, y)
