"""Prototypes of feature rows: columns with units of their own, and probabilities that can be believed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.exceptions import WeightsError
from sktl.fewshot import FewShotClassifier, ProtoNetClassifier
from sktl.fewshot._row_metric import row_metric, scatter_of


def few(load, n, seed):
    X, y = load(return_X_y=True)
    rng = np.random.default_rng(seed)
    picked = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    train, test = (np.concatenate([part[s] for part in picked]) for s in (slice(n), slice(n, n + 30)))
    return X[train], y[train], X[test], y[test]


def metric_of(X, y, weight=None):
    counts = np.bincount(y, weight)
    w = np.ones(len(y)) if weight is None else weight
    return row_metric(scatter_of(X, weight), np.stack([w[y == k] @ X[y == k] for k in range(len(counts))]), counts)


def test_the_covariance_is_that_within_classes_drawn_to_equal_spread():
    X, y, *_ = few(load_iris, 20, 0)
    metric = metric_of(X - X.mean(0), y)
    within = sum((X[y == k] - X[y == k].mean(0)).T @ (X[y == k] - X[y == k].mean(0)) for k in range(3))
    within /= X.var(0).mean()  # its columns' units do not differ
    free, d = len(y) - 3, X.shape[1]
    level = (np.trace(within) / d + 2) / (free + 2)
    wanted = (within + 3 * d * level * np.eye(d)) / (free + 3 * d) * X.var(0).mean()
    np.testing.assert_allclose(np.linalg.inv(metric @ metric.T), wanted, rtol=1e-9, atol=1e-12)


def test_one_row_a_class_knows_nothing_of_directions():
    X = np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 4.0]])
    metric = metric_of(X - X.mean(0), np.arange(3))
    np.testing.assert_allclose(metric, np.eye(2) / np.sqrt(X.var(0).mean()), rtol=1e-9)


def test_a_weight_of_two_is_two_rows():
    X, y, *_ = few(load_wine, 5, 1)
    X, twice = X - X.mean(0), np.where(np.arange(len(y)) % 4 == 0, 2.0, 1.0)
    which = np.repeat(np.arange(len(y)), twice.astype(int))
    np.testing.assert_allclose(metric_of(X, y, twice), metric_of(X[which], y[which]), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_units_of_columns_do_not_matter_where_they_differ(n):
    X, y, X_test, _ = few(load_wine, n, n)
    units = 10.0 ** np.random.default_rng(0).integers(-6, 7, X.shape[1])
    model, other = ProtoNetClassifier().fit(X, y), ProtoNetClassifier().fit(X * units, y)
    np.testing.assert_allclose(model.predict_proba(X_test), other.predict_proba(X_test * units), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("estimator", [ProtoNetClassifier, FewShotClassifier])
@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_defaults_do_not_lose_to_logistic_regression(load, estimator):
    found = []
    for seed in range(8):
        X, y, X_test, y_test = few(load, 5, seed)
        base = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
        proba = [model.predict_proba(X_test) for model in (estimator().fit(X, y), base)]
        found.append([(np.mean(p.argmax(1) == y_test), log_loss(y_test, p)) for p in proba])
    (accuracy, loss), (of_base, loss_of_base) = np.mean(found, axis=0)
    assert accuracy > of_base - 0.02
    assert loss < loss_of_base + 0.05


def test_named_heads_take_rows_as_they_are():
    X, y, X_test, _ = few(load_wine, 5, 6)
    auto, ridge, logistic = (FewShotClassifier(name).fit(X, y) for name in ("auto", "ridge", "logistic"))
    metric = metric_of(X - X.mean(0), y)
    seen = FewShotClassifier("logistic").fit((X - X.mean(0)) @ metric, y)
    expected = seen.predict_proba((X_test - X.mean(0)) @ metric)
    np.testing.assert_allclose(auto.predict_proba(X_test), expected, rtol=1e-6)
    assert (ridge._metric, logistic._metric) == (None, None)
    wide = np.tile(X, 5)
    assert isinstance(FewShotClassifier().fit(wide, y).learner_, type(ridge.learner_))


@pytest.mark.parametrize("distance", ["sqeuclidean", "cosine"])
def test_probabilities_of_directions_can_be_believed(distance):
    X, y, X_test, y_test = few(load_digits, 20, 0)
    model = ProtoNetClassifier(distance=distance).fit(X, y)
    assert log_loss(y_test, model.predict_proba(X_test)) < 0.6  # factors of 1 and 10 have 2.0 and 1.2


def test_rows_may_come_in_parts():
    X, y, X_test, _ = few(load_wine, 5, 2)
    order = np.random.default_rng(0).permutation(len(y))
    whole, parts = ProtoNetClassifier().fit(X[order], y[order]), ProtoNetClassifier()
    for some in np.array_split(order, 4):
        parts.partial_fit(X[some], y[some])
    np.testing.assert_allclose(parts.predict_proba(X_test), whole.predict_proba(X_test), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(parts.features(X_test), whole.features(X_test), rtol=1e-6, atol=1e-8)


def test_files_and_modules_say_the_same(tmp_path):
    X, y, X_test, _ = few(load_wine, 5, 3)
    model = ProtoNetClassifier().fit(X, y)
    model.save(tmp_path / "model.safetensors")
    other = ProtoNetClassifier.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(other.predict_proba(X_test), model.predict_proba(X_test))
    logits = model.torch_module_(torch.from_numpy(X_test).float())
    np.testing.assert_allclose(torch.softmax(logits, 1).detach().numpy(), model.predict_proba(X_test), atol=1e-4)
    np.testing.assert_allclose(
        other.partial_fit(X_test[:5], y[:5]).predict_proba(X_test),
        model.partial_fit(X_test[:5], y[:5]).predict_proba(X_test),
    )


def test_a_file_whose_scatter_no_rows_can_have_is_refused(tmp_path):
    X, y, *_ = few(load_wine, 5, 4)
    model = ProtoNetClassifier().fit(X, y)
    model._scatter = -model._scatter
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError):
        ProtoNetClassifier.load(tmp_path / "model.safetensors")


def test_transductive_methods_see_rows_in_that_metric():
    X, y, X_test, y_test = few(load_wine, 5, 5)
    right = [np.mean(ProtoNetClassifier(transductive="tim", normalize=how).fit(X, y).predict(X_test) == y_test)
             for how in ("auto", None)]  # fmt: skip
    assert right[0] > 0.85 > right[1]
