"""The estimators of one task: prototypes as running sums, encoders of every kind, bad support sets."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl import CNNCodesTransformer
from sktl.fewshot import FewShotClassifier, FewShotRegressor, MAMLLearner, ProtoNetClassifier, ProtoNetLearner
from sktl.fewshot.heads import RidgeHead
from sktl.model_selection import EpisodeSplit


def test_prototypes_are_the_nearest_centroids_of_scikit_learn(new_rows):
    X, y = new_rows
    model = ProtoNetClassifier(normalize=None).fit(X, y)
    reference = NearestCentroid().fit(X, y)
    np.testing.assert_allclose(model.prototypes_, reference.centroids_)
    np.testing.assert_array_equal(model.predict(X), reference.predict(X))


@pytest.mark.parametrize("options", [{}, {"normalize": None}, {"distance": "cosine"}, {"normalize": "l2"}])
def test_partial_fit_is_fit_on_all_of_it(options, new_rows):
    X, y = new_rows
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], np.array(list("fedcba"))[y[order]]
    whole = ProtoNetClassifier(**options).fit(X, y)
    parts = ProtoNetClassifier(**options)
    for part in np.array_split(np.argsort(y, kind="stable"), 7):  # class after class, the first part of one class only
        parts.partial_fit(X[part], y[part])
    np.testing.assert_array_equal(parts.classes_, whole.classes_)
    np.testing.assert_array_equal(parts.class_count_, whole.class_count_)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-10)


def test_one_row_a_class_is_centred_by_half_their_mean():
    X = np.array([[3.0, 1.0], [1.0, 3.0]])
    model = ProtoNetClassifier(normalize="center-l2").fit(X, [0, 1])
    np.testing.assert_allclose(model.features(X), (X - 1) / np.linalg.norm(X - 1, axis=1, keepdims=True))


def test_the_centre_stays_that_of_the_first_support_set(new_rows):
    X, y = new_rows
    model = ProtoNetClassifier(normalize="center-l2").fit(X[:40], y[:40])
    before = model.decision_function(X)
    model.partial_fit(X[40:60] + 100, y[40:60])
    np.testing.assert_allclose(model._outputs(X)[:, 1] - model._outputs(X)[:, 0], before)


@pytest.mark.parametrize("labels", [[3, 7], ["yes", "no"], [True, False], [1.0, 2.0], [-1, 10**12]])
def test_labels_of_any_type(labels):
    X = np.array([[0.0], [0.2], [5.0], [5.2]])
    y = np.array(labels).repeat(2)
    for model in (ProtoNetClassifier(), FewShotClassifier()):
        found = model.fit(X, y).predict([[5.1], [0.1]])
        assert found.tolist() == [labels[1], labels[0]]
        np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)
        assert np.isfinite(model.predict_proba(X)).all()


def test_labels_of_another_type_are_refused_later():
    model = ProtoNetClassifier().fit([[0.0], [1.0]], ["a", "b"])
    with pytest.raises(TypeError, match=r"labels of another type than before: \[1\] after \['a', 'b'\]"):
        model.partial_fit([[2.0]], [1])
    assert model.classes_.tolist() == ["a", "b"]


def test_the_scale_moves_probabilities_only(new_rows):
    X, y = new_rows
    sharp, soft = (ProtoNetClassifier(scale=scale).fit(X, y) for scale in (1.0, 0.01))
    np.testing.assert_array_equal(sharp.predict(X), soft.predict(X))
    assert sharp.predict_proba(X).max(1).mean() > soft.predict_proba(X).max(1).mean()


def test_transformers_are_fitted_on_the_support_set_unless_frozen(new_rows):
    X, y = new_rows
    model = ProtoNetClassifier(encoder=make_pipeline(StandardScaler(), PCA(3))).fit(X, y)
    expected = make_pipeline(StandardScaler(), PCA(3)).fit_transform(X)
    np.testing.assert_allclose(model.prototypes_[0], expected[y == 0].mean(0), atol=1e-8)
    scaler = StandardScaler().fit(1000 * X)
    frozen = ProtoNetClassifier(encoder=FrozenEstimator(scaler)).fit(X, y)
    np.testing.assert_allclose(frozen.prototypes_[0], scaler.transform(X[y == 0]).mean(0))
    assert clone(frozen).fit(X, y).encoder_.estimator is scaler


def test_a_backbone_makes_codes_of_pictures():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 80, (8, 32, 32, 3), dtype=np.uint8)
    pictures[::2, ..., 0] += 150
    y = np.array(["red", "dark"])[np.arange(8) % 2]
    for model in (ProtoNetClassifier(network, image_size=32), FewShotClassifier(encoder=network, image_size=32)):
        assert model.fit(pictures[:2], y[:2]).score(pictures, y) == 1.0
        assert model.n_codes_ == 6
    named = ProtoNetClassifier("efficientnet_lite0", image_size=32).fit(pictures[:2], y[:2])
    assert named.prototypes_.shape == (2, 1280)


@pytest.fixture
def stripes(tmp_path):
    """Return paths, arrays and labels of the same eight pictures."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 60, (8, 32, 32, 3), dtype=np.uint8)
    pictures[::2, ::4], pictures[1::2, :, ::4] = 220, 220
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray(picture).save(path)
    return paths, pictures, np.array(["lying", "standing"])[np.arange(8) % 2]


@pytest.mark.parametrize("estimator", [ProtoNetClassifier, FewShotClassifier, FewShotRegressor])
def test_pictures_are_taken_without_a_word_and_rows_as_they_are(estimator, stripes):
    paths, pictures, labels = stripes
    y = labels if estimator is not FewShotRegressor else np.arange(8) % 2
    answers = [
        estimator(image_size=32).fit(X[:4], y[:4]).predict(X)
        for X in (paths, [str(path) for path in paths], [Image.open(path) for path in paths], pictures, pictures / 255)
    ]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    codes = CNNCodesTransformer(image_size=32, engine="torch").fit_transform(pictures)  # the network by another road
    same = estimator().fit(codes[:4], y[:4])
    if estimator is FewShotRegressor:
        np.testing.assert_allclose(same.predict(codes), answers[0], atol=1e-6)
    else:
        np.testing.assert_array_equal(same.predict(codes), answers[0])
    assert same.n_features_in_ == 1280
    assert same.encoder_ is None
    rows = pictures[..., 0].reshape(8, -1)
    flat = estimator(image_size=32, image_shape=(32, 32)).fit(rows[:4], y[:4])
    grey = estimator(image_size=32).fit(pictures[:4, ..., 0], y[:4])
    np.testing.assert_array_equal(flat.predict(rows), grey.predict(pictures[..., 0]))


def test_a_backbone_or_an_encoder_not_both(stripes):
    _, pictures, y = stripes
    with pytest.raises(ValueError, match="Give backbone or encoder, not both"):
        ProtoNetClassifier("efficientnet_lite0", encoder=StandardScaler()).fit(pictures, y)
    with pytest.raises(ValueError, match="backbone goes with a head only"):
        FewShotClassifier(MAMLLearner(), backbone="efficientnet_lite0").fit(pictures, y)
    model = ProtoNetClassifier(image_size=32).fit(pictures, y)
    with pytest.raises(ValueError, match="was fitted on pictures, but X holds a 2-D array"):
        model.predict(pictures.reshape(8, -1))
    with pytest.raises(ValueError, match="was fitted on feature rows, but X holds pictures"):
        ProtoNetClassifier().fit(np.eye(4), y[:4]).predict(pictures)


def test_few_shots_of_real_pictures_at_the_default_size(ants_and_bees):
    X, y = ants_and_bees
    shots = [i for label in ("ants", "bees") for i in np.flatnonzero(y == label)[:4]]
    rest = [i for i in range(len(y)) if i not in shots][:32]
    model = ProtoNetClassifier().fit([X[i] for i in shots], y[shots])
    assert model.score([X[i] for i in rest], y[rest]) > 0.8


def test_a_saved_learner_is_an_encoder(base_rows, new_rows, tmp_path):
    learner = ProtoNetLearner(n_way=3, n_query=4, n_episodes=10, random_state=0).fit(*base_rows)
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    X, y = new_rows
    for encoder in (path, str(path)):
        model = ProtoNetClassifier(encoder).fit(X, y)
        expected = ProtoNetClassifier(FrozenEstimator(learner)).fit(X, y).predict_proba(X)
        np.testing.assert_allclose(model.predict_proba(X), expected)
    assert len(pickle.dumps(model)) < 200_000


def test_episodes_are_a_cross_validator(base_rows, new_rows):
    X, y = new_rows
    cv = EpisodeSplit(n_way=4, n_shot=2, n_query=5, n_episodes=30)
    learner = ProtoNetLearner(n_way=6, n_query=5, n_episodes=150, random_state=0).fit(*base_rows)
    raw = cross_val_score(ProtoNetClassifier(), X, y, cv=cv)
    learned = cross_val_score(ProtoNetClassifier(FrozenEstimator(learner)), X, y, cv=cv)
    assert raw.shape == learned.shape == (30,)
    assert learned.mean() > raw.mean() + 0.15


class Broken(TransformerMixin, BaseEstimator):
    """Returns what no encoder should."""

    def __init__(self, shape=(2, 2), value=0.0):
        self.shape = shape
        self.value = value

    def fit(self, X, y=None):
        self.n_ = len(X)
        return self

    def transform(self, X):
        return np.full((len(X), *self.shape), self.value)


class Grows(Broken):
    def transform(self, X):
        return np.zeros((len(X), len(X)))


@pytest.mark.parametrize("Estimator", [ProtoNetClassifier, FewShotClassifier])
@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (Broken(), ValueError, r"encoder must return codes of shape \(n, n_codes\); Broken returned shape \(4, 2, 2\)"),
        (Broken((3,), np.nan), ValueError, r"encoder.transform\(X\) contains NaN"),
        (FrozenEstimator(StandardScaler()), NotFittedError, "encoder is a frozen StandardScaler that was never fitted"),
        (FrozenEstimator(ProtoNetLearner()), NotFittedError, "encoder is a frozen ProtoNetLearner that was never"),
        (LogisticRegression(), TypeError, "encoder must have a transform method; LogisticRegression has none"),
        (MAMLLearner(), TypeError, "adapts to each task: use FewShotClassifier"),
        ("efficientnet_lite9", ValueError, "efficientnet_lite0"),
        ("nowhere.safetensors", ValueError, "there is no such file"),
    ],
)
def test_encoders_that_cannot_be_used(Estimator, encoder, error, message):
    with pytest.raises(error, match=message):
        Estimator(encoder=encoder).fit(np.arange(8.0).reshape(4, 2), [0, 0, 1, 1])


def test_an_encoder_whose_width_changes_is_named():
    model = ProtoNetClassifier(Grows()).fit(np.zeros((4, 2)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="encoder returned 3 codes a row, but 4 in fit: Grows was changed"):
        model.predict(np.zeros((3, 2)))


def test_a_fitted_learner_must_be_frozen(base_rows):
    learner = ProtoNetLearner(n_way=3, n_query=4, n_episodes=4, random_state=0).fit(*base_rows)
    with pytest.raises(ValueError, match=r"encoder is a fitted ProtoNetLearner that is not frozen"):
        ProtoNetClassifier(learner).fit(*base_rows)
    with pytest.raises(ValueError, match=r"learner is a fitted ProtoNetLearner that is not frozen"):
        FewShotClassifier(learner).fit(*base_rows)
    blank = FewShotClassifier(clone(learner)).fit(*base_rows)  # meta-trained on the support set itself
    assert blank.learner_.n_iter_ == 4


@pytest.mark.parametrize("Estimator", [ProtoNetClassifier, FewShotClassifier])
def test_support_sets_that_cannot_be_learned(Estimator):
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match="at least 2 classes in the support set, but the data contains only one class"):
        Estimator().fit(X, ["a", "a", "a"])
    with pytest.raises(ValueError, match="NaN"):
        Estimator().fit([[np.nan, 0], [0, 0]], [0, 1])
    with pytest.raises(ValueError, match="must have one entry a row"):
        Estimator().fit(X, [0, 1])
    with pytest.raises(ValueError, match="0 sample"):
        Estimator().fit(np.empty((0, 2)), [])


def test_queries_may_be_of_fewer_classes_and_classes_of_one_row(new_rows):
    X, y = new_rows
    support = np.array([0, 20, 21, 40, 41, 42])
    for model in (ProtoNetClassifier(), FewShotClassifier("logistic"), FewShotClassifier("nearest")):
        model.fit(X[support], y[support])
        assert model.predict_proba(X[y == 1]).shape == (20, 3)
        assert 0 <= model.score(X[:20], y[:20]) <= 1
        assert model.score(X[y > 2], y[y > 2]) == 0.0  # labels that the support set does not know


def test_other_misuse_is_told(new_rows):
    X, y = new_rows
    with pytest.raises(ValueError, match=r"learner must be one of 'prototypes'.*Did you mean 'ridge'"):
        FewShotClassifier("rige").fit(X, y)
    with pytest.raises(ValueError, match="learner must be one of 'auto', 'ridge', a meta-learner"):
        FewShotRegressor("nearest").fit(X, X[:, 0])
    with pytest.raises(TypeError, match="learner must be a meta-learner, such as MAMLLearner"):
        FewShotClassifier(StandardScaler()).fit(X, y)
    with pytest.raises(TypeError, match="learns classes only; give MAMLLearner or ReptileLearner"):
        FewShotRegressor(ProtoNetLearner()).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="encoder goes with a head only"):
        FewShotClassifier(MAMLLearner(), encoder="efficientnet_lite0").fit(X, y)
    with pytest.raises(ValueError, match="'transductive' parameter"):
        ProtoNetClassifier(transductive=True).fit(X, y)


def test_a_head_object_may_be_given(new_rows):
    X, y = new_rows
    head = RidgeHead(alpha=5.0)
    one = FewShotClassifier(head).fit(X, y)
    assert clone(one).learner is head
    assert not np.allclose(one.predict_proba(X), FewShotClassifier("ridge").fit(X, y).predict_proba(X))


class TestNormalisation:
    """What "auto" becomes."""

    def test_wide_rows_are_taken_for_codes(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20, 64)) * rng.uniform(0.1, 10, (20, 1)), np.arange(20) % 4
        auto, unit, raw = (ProtoNetClassifier(normalize=how).fit(X, y) for how in ("auto", "l2", None))
        assert (auto.normalize_, unit.normalize_, raw.normalize_) == ("l2", "l2", None)
        assert np.array_equal(auto.predict_proba(X), unit.predict_proba(X))
        assert not np.allclose(auto.prototypes_, raw.prototypes_)
        assert ProtoNetClassifier().fit(X[:, :63], y).normalize_ == "within"
        assert ProtoNetClassifier(transductive="tim").fit(X, y).normalize_ is None

    def test_unit_length_goes_with_cosines(self):
        rng, y = np.random.default_rng(0), np.repeat([0, 1], 10)
        X = 0.3 * rng.normal(size=(2, 64))[y] + rng.normal(size=(20, 64))
        model = ProtoNetClassifier().fit(X, y)
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        means = np.stack([unit[y == k].mean(0) for k in (0, 1)])
        cosines = unit @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        logits = 40 * 10 / (10 + 2) * cosines
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert model.distance_ == "cosine"
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-9)
        squared = ProtoNetClassifier(distance="sqeuclidean").fit(X, y)
        assert not np.allclose(squared.predict_proba(X), expected, atol=1e-3)

    def test_the_distance_follows_what_happens_to_the_codes(self):
        X, y = np.random.default_rng(0).normal(size=(20, 64)), np.arange(20) % 4
        for options, width, expected in (
            ({}, 64, "cosine"), ({}, 8, "sqeuclidean"), ({"normalize": "l2"}, 8, "cosine"),
            ({"normalize": None}, 64, "sqeuclidean"), ({"normalize": "center-l2"}, 64, "sqeuclidean"),
            ({"transductive": "tim"}, 64, "sqeuclidean"), ({"distance": "sqeuclidean"}, 64, "sqeuclidean"),
        ):  # fmt: skip
            assert ProtoNetClassifier(**options).fit(X[:, :width], y).distance_ == expected

    def test_codes_of_a_network_have_unit_length_and_of_other_encoders_their_own(self):
        X, y = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8), np.arange(6) % 2
        model = ProtoNetClassifier(image_size=32).fit(X, y)
        assert model.normalize_ == "l2"
        assert (np.linalg.norm(model.prototypes_, axis=1) <= 1).all()
        codes = CNNCodesTransformer(image_size=32)
        assert ProtoNetClassifier(encoder=codes).fit(X, y).normalize_ == "l2"
        assert ProtoNetClassifier(encoder=FrozenEstimator(codes.fit(X))).fit(X, y).normalize_ == "l2"
        assert ProtoNetClassifier(encoder=StandardScaler()).fit(np.eye(70)[:6], y).normalize_ is None
