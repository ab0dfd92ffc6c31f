"""Several labels a row: scikit-learn's conventions, one logistic regression a label, and training from there."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl.adaptation import SourceFreeAdaptedClassifier
from sktl.features import LogisticRegressionLOO
from sktl.finetuning import FineTunedClassifier
from sktl.finetuning._multilabel import LabelStep


@pytest.fixture(scope="module")
def labelled():
    X, Y = make_multilabel_classification(120, 8, n_classes=4, random_state=0)
    return X, Y


def test_the_head_is_one_logistic_regression_a_label(labelled):
    X, Y = labelled
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    for options in ({}, {"sample_weight": weight}):
        model = FineTunedClassifier(strategy="head", C=1.0).fit(X, Y, **options)
        kept = np.repeat(np.arange(len(X)), options.get("sample_weight", np.ones(len(X), int)))
        peer = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
        peer.fit(X[kept], Y[kept])
        np.testing.assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=2e-3)
        np.testing.assert_array_equal(model.predict(X), (model.predict_proba(X) > 0.5).astype(int))
    chosen = FineTunedClassifier(strategy="head").fit(X, Y)
    penalties = [LogisticRegressionLOO().fit(chosen._scaler.transform(X), labels).C_ for labels in Y.T]
    assert np.isclose(chosen.C_, np.exp(np.mean(np.log(penalties))))


def test_answers_have_the_form_of_scikit_learns(labelled):
    X, Y = labelled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MLPClassifier((4,), max_iter=5, random_state=0).fit(X, Y)
    model = FineTunedClassifier(max_epochs=2, random_state=0).fit(X, Y)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        ours, theirs = getattr(model, method)(X), getattr(peer, method)(X)
        assert (ours.shape, ours.dtype.kind) == (theirs.shape, theirs.dtype.kind)
    assert model.classes_.tolist() == list(peer.classes_)
    assert model.score(X, Y) == accuracy_score(Y, model.predict(X))  # of whole rows
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X) > 0, model.predict(X))
    two = FineTunedClassifier(strategy="head").fit(X, Y[:, :2])  # two labels, not two classes
    assert two.decision_function(X).shape == two.predict_proba(X).shape == (len(X), 2)
    of_sparse = clone(model).fit(X, sparse.csr_matrix(Y))
    np.testing.assert_array_equal(of_sparse.predict_proba(X), model.predict_proba(X))


def test_the_loss_is_the_mean_cross_entropy_of_the_sigmoids():
    module, rng = nn.Identity(), np.random.default_rng(0)
    logits, y, weight = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)), rng.random(5)
    batch = tuple(torch.from_numpy(part) for part in (logits, y.astype(float), weight))
    p = 1 / (1 + np.exp(-logits))
    for smoothing in (0.0, 0.2):
        q = (1 - smoothing) * y + smoothing / 2
        expected = (weight * -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean(1)).mean()
        assert float(LabelStep(smoothing)(module, batch).loss) == pytest.approx(expected)


def test_training_gains_and_its_extras_work(labelled, tmp_path):
    X, Y = labelled
    model = FineTunedClassifier(max_epochs=15, mixup=0.2, label_smoothing=0.05, early_stopping=True, random_state=0)
    model.fit(X, Y)
    assert {"valid_loss", "valid_accuracy"} <= set(model.history_[0])
    assert (model.predict(X) == Y).mean() > 0.75
    again = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "saved")
    for other in (again, FineTunedClassifier.load(tmp_path / "saved")):
        np.testing.assert_allclose(other.predict_proba(X), model.predict_proba(X), atol=1e-6)
    parts = FineTunedClassifier(random_state=0)
    for _ in range(3):
        parts.partial_fit(X, Y, classes=range(4))
    assert parts.predict(X).shape == Y.shape
    search = GridSearchCV(FineTunedClassifier(strategy="head"), {"C": [0.01, 1.0]}, cv=3).fit(X, Y)
    assert 0 < search.best_score_ <= 1
    assert np.isfinite(cross_val_score(search.best_estimator_, X, Y, cv=3, scoring="f1_micro")).all()


def test_labels_that_all_rows_have_or_none(labelled):
    X, Y = labelled
    Y = np.column_stack([Y[:, 0], np.zeros(len(Y), int), np.ones(len(Y), int)])
    for strategy in ("head", "lp-ft"):
        proba = FineTunedClassifier(strategy=strategy, max_epochs=1, random_state=0).fit(X, Y).predict_proba(X)
        assert proba[:, 1].max() < 0.01
        assert proba[:, 2].min() > 0.99


def test_pictures(labelled):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 60, (24, 32, 32, 3), dtype=np.uint8)
    Y = rng.integers(0, 2, (24, 2))
    pictures[Y[:, 0] == 1, ..., 0] += 150
    pictures[Y[:, 1] == 1, ..., 2] += 150
    model = FineTunedClassifier(strategy="head", image_size=32).fit(pictures, Y)
    assert model.score(pictures, Y) == 1.0


def test_what_goes_with_one_label_only(labelled):
    X, Y = labelled
    with pytest.raises(ValueError, match="class_weight weighs rows of one label each"):
        FineTunedClassifier(class_weight="balanced").fit(X, Y)
    model = FineTunedClassifier(max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="one label a row, unlike the first call's"):
        model.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="y has 3 labels a row, but 4"):
        model.partial_fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="Adaptation is of classifiers with one label a row"):
        SourceFreeAdaptedClassifier(model).fit(X)
