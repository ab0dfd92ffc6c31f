"""Prototypes of weighted rows, and of several labels a row."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from sktl.fewshot import FewShotClassifier, ProtoNetClassifier, _protonet_classifier

OPTIONS = [{"normalize": None}, {"distance": "cosine"}, {"normalize": "l2"}, {"normalize": "center-l2"}]


@pytest.mark.parametrize("options", [*OPTIONS, {}])
def test_a_weight_is_a_number_of_repeats(options, new_rows):
    X, y = new_rows
    repeats = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = ProtoNetClassifier(**options).fit(X, y, sample_weight=repeats)
    repeated = ProtoNetClassifier(**options).fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats))
    np.testing.assert_allclose(weighted.prototypes_, repeated.prototypes_)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-9)
    if options.get("normalize") == "center-l2":
        return
    parts = ProtoNetClassifier(**options)
    for part in np.array_split(np.arange(len(y)), 3):
        parts.partial_fit(X[part], y[part], sample_weight=repeats[part])
    np.testing.assert_allclose(parts.prototypes_, repeated.prototypes_, atol=1e-9)
    np.testing.assert_allclose(parts.predict_proba(X), repeated.predict_proba(X), atol=1e-9)


def test_weights_are_checked(new_rows):
    X, y = new_rows
    for wrong in (np.full(len(y), -1.0), np.ones(len(y) - 1)):
        with pytest.raises(ValueError, match="sample_weight"):
            ProtoNetClassifier().fit(X, y, sample_weight=wrong)
    with pytest.raises(ValueError, match="at least one non-zero"):
        ProtoNetClassifier().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="transductive method takes no sample_weight"):
        ProtoNetClassifier(transductive="tim").fit(X, y, sample_weight=np.ones(len(y)))


@pytest.fixture(scope="module")
def labelled():
    return make_multilabel_classification(80, 6, n_classes=4, random_state=0)


@pytest.mark.parametrize("options", OPTIONS[:3])
def test_several_labels_are_one_against_the_rest(options, labelled):
    X, Y = labelled
    Y = np.column_stack([Y, np.zeros(len(Y), int), np.ones(len(Y), int)])  # none has the one, all have the other
    model = ProtoNetClassifier(**options).fit(X, Y)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        reference = OneVsRestClassifier(ProtoNetClassifier(**options)).fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(model.predict(X), reference.predict(X))
    np.testing.assert_allclose(model.predict_log_proba(X)[:, :4], np.log(reference.predict_proba(X))[:, :4], atol=1e-6)
    parts = ProtoNetClassifier(**options)
    for part in np.array_split(np.arange(len(Y)), 3):
        parts.partial_fit(X[part], Y[part])
    np.testing.assert_allclose(parts.predict_proba(X), model.predict_proba(X))


def test_several_labels_come_as_scikit_learn_gives_them(labelled):
    X, Y = labelled
    model = ProtoNetClassifier().fit(X, Y)
    peer = MLPClassifier((4,), max_iter=5, random_state=0).fit(X, Y)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        ours, theirs = getattr(model, method)(X), getattr(peer, method)(X)
        assert (ours.shape, ours.dtype.kind) == (theirs.shape, theirs.dtype.kind)
    assert model.classes_.tolist() == list(peer.classes_)
    assert model.decision_function(X[:, :]).shape == Y.shape
    assert model.score(X, Y) == accuracy_score(Y, model.predict(X))
    np.testing.assert_array_equal(ProtoNetClassifier().fit(X, sparse.csr_matrix(Y)).predict(X), model.predict(X))
    two = ProtoNetClassifier().fit(X, Y[:, :2])  # not two classes
    assert two.decision_function(X).shape == two.predict_proba(X).shape == (len(X), 2)
    assert np.isfinite(cross_val_score(ProtoNetClassifier(), X, Y, cv=3, scoring="f1_macro")).all()
    assert ProtoNetClassifier(encoder=PCA(3)).fit(X, Y).predict(X).shape == Y.shape


def test_forms_of_y_are_not_mixed(labelled):
    X, Y = labelled
    model = ProtoNetClassifier().fit(X, Y)
    for other in (Y[:, 0], Y[:, :3]):
        with pytest.raises(ValueError, match=r"shape that it had in the first call, \(n, 4\)"):
            model.partial_fit(X, other)
    with pytest.raises(ValueError, match=r"in the first call, \(n,\)"):
        ProtoNetClassifier().fit(X, Y[:, 0]).partial_fit(X, Y)
    with pytest.raises(ValueError, match="takes no several labels a row"):
        ProtoNetClassifier(transductive="tim").fit(X, Y)


def test_logarithms_stay_finite(new_rows):
    X, y = new_rows
    for model in (ProtoNetClassifier(scale=1e4), FewShotClassifier("nearest")):
        model.fit(X, y)
        logs = model.predict_log_proba(X)
        assert np.isfinite(logs).all()
        np.testing.assert_allclose(np.exp(logs), model.predict_proba(X), atol=1e-12)
    two = y < 2
    knn = KNeighborsClassifier(1).fit(X[two], y[two])
    near = FewShotClassifier("nearest").fit(X[two], y[two])
    np.testing.assert_array_equal(near.predict(X), knn.predict(X))


def test_weights_and_several_labels_are_saved(labelled, new_rows, tmp_path):
    several = ProtoNetClassifier().fit(*labelled)
    weighted = ProtoNetClassifier().fit(*new_rows, sample_weight=np.linspace(0.1, 1, len(new_rows[1])))
    for model, X in ((several, labelled[0]), (weighted, new_rows[0])):
        model.save(tmp_path / "model")
        loaded = ProtoNetClassifier.load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("options", [
    {}, {"normalize": "within"}, {"normalize": "center-l2"}, {"distance": "cosine"}, {"normalize": None},
    {"transductive": "tim"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("what", ["labels", "weights", "several labels"])
def test_rows_in_blocks_are_rows_at_once(options, what, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), np.arange(50) % 3
    X[:, :3] += 2 * np.eye(3)[y]
    if what != "labels" and "transductive" in options:
        return  # they take neither
    weight = {"sample_weight": rng.integers(0, 3, 50)} if what == "weights" else {}
    y = np.eye(3, dtype=int)[y] if what == "several labels" else y

    def answers():
        model = ProtoNetClassifier(**options).fit(X[:30], y[:30], **{k: v[:30] for k, v in weight.items()})
        model.partial_fit(X[30:], y[30:], **{k: v[30:] for k, v in weight.items()})
        return np.asarray(model.predict_proba(X))

    expected = answers()
    monkeypatch.setattr(_protonet_classifier, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(answers(), expected, rtol=1e-9, atol=1e-12)
