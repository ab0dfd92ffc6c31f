"""Saved and loaded: every estimator that can be saved answers as before, whatever its labels and its network."""

import datetime
import json

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from torch import nn

import sktl
from sktl._saving import Codec
from sktl.adaptation.losses import CDAN
from sktl.exceptions import WeightsError
from sktl.fewshot import ProtoNetLearner
from sktl.fewshot.transductive import TIM
from sktl.training import encode_tensors, read_tensors

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))
Y = np.where(X[:, 0] > 0, "right", "left")
MARKED = np.where(np.arange(60) < 40, (X[:, 0] > 0).astype(int), -1)
PICTURES = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
OF_PICTURES = np.arange(24) % 2
FEW = {"n_way": 2, "n_query": 2, "n_episodes": 3, "random_state": 0}

LABELS = {
    "days": np.array(["2020-02-01", "2021-03-04"], "M8[D]"),
    "nanoseconds": np.array(["2020-02-01T00:00:00.000000001", "2021-03-04"], "M8[ns]"),
    "differences": np.array([5, 7], "m8[h]"),
    "text": np.array(["a", "b\u00e9"]),
    "objects": np.array(["a", "bb"], object),
    "truths": np.array([False, True]),
    "small numbers": np.array([3, 9], np.uint8),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_come_back(labels, tmp_path):
    y = labels[(X[:, 0] > 0).astype(int)]
    model = sktl.ProtoNetClassifier().fit(X, y)
    model.save(tmp_path / "model")
    loaded = sktl.ProtoNetClassifier.load(tmp_path / "model")
    assert loaded.classes_.dtype == labels.dtype
    assert list(loaded.classes_) == list(labels)
    assert loaded.predict(X).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("name", ["days", "nanoseconds", "differences"])
@pytest.mark.parametrize("estimator", [sktl.FineTunedClassifier(max_epochs=1, random_state=0)])
def test_dates_are_classes(name, estimator, tmp_path):
    y = LABELS[name][(X[:, 0] > 0).astype(int)]
    model = estimator.fit(X, y)
    model.save(tmp_path / "model")
    loaded = type(estimator).load(tmp_path / "model")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.classes_.dtype == LABELS[name].dtype


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2020, 2, 1), datetime.datetime(2020, 2, 1, 3, 4, 5, 6), datetime.timedelta(1, 2, 3), b"a\xff",
        np.datetime64("2020-02-01T03", "h"), np.timedelta64(5, "D"), [1, (2.5, None)], {"a": {1: True}}, float("inf"),
    ],
    ids=repr,
)  # fmt: skip
def test_values_come_back(value):
    codec = Codec()
    found = codec.from_json(json.loads(json.dumps(codec.to_json(value))))
    assert type(found) is type(value)
    assert found == value


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


ADAPTED = {
    "rows": ({}, X, MARKED),
    "shared statistics": ({"batch_norm": "shared", "bottleneck": None, "head": "weight_norm"}, X, MARKED),
    "a loss with parameters": ({"loss": [CDAN(entropy=True), "mcc"]}, X, MARKED),
    "target statistics": ({"batch_norm": "target", "loss": "dann"}, X, MARKED),
    "pictures": ({"backbone": "squeezenet1_1", "weights": None, "image_size": 32}, PICTURES, OF_PICTURES),
    "the embedded network": ({"image_size": 32}, PICTURES, OF_PICTURES),
}


@pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")
@pytest.mark.parametrize(("options", "data", "y"), ADAPTED.values(), ids=ADAPTED)
def test_adapted_classifiers(options, data, y, tmp_path):
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    model = sktl.DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=2, batch_size=4, random_state=0, **options)
    model.fit(data, y).save(tmp_path / "model")
    loaded = sktl.DomainAdaptedClassifier.load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(data), model.predict_proba(data))
    assert np.array_equal(loaded.features(data), model.features(data))
    assert repr(loaded.get_params()) == repr(model.get_params())
    assert loaded.history_ == model.history_


def test_an_adapted_network_of_the_users(tmp_path):
    y = np.where(np.arange(24) % 3 == 0, -1, OF_PICTURES)
    model = sktl.DomainAdaptedClassifier(network(), max_epochs=1, batch_size=4, random_state=0).fit(PICTURES, y)
    model.save(tmp_path / "model")
    with pytest.raises(WeightsError, match=r"load\(path, backbone=\.\.\.\)"):
        sktl.DomainAdaptedClassifier.load(tmp_path / "model")
    loaded = sktl.DomainAdaptedClassifier.load(tmp_path / "model", backbone=network())
    assert np.array_equal(loaded.predict_proba(PICTURES), model.predict_proba(PICTURES))
    with pytest.raises(WeightsError, match="do not fit the network"):
        sktl.DomainAdaptedClassifier.load(tmp_path / "model", backbone=nn.Sequential(network(), nn.ReLU()))


LEARNER = ProtoNetLearner(**FEW).fit(X, Y)
PROTOTYPES = {
    "rows": ({"normalize": "center-l2"}, X, Y),
    "a transductive method": ({"transductive": TIM(n_iter=3)}, X, Y),
    "a learner": ({"encoder": FrozenEstimator(LEARNER)}, X, Y),
    "the embedded network": ({"image_size": 32}, PICTURES, OF_PICTURES),
}


@pytest.mark.parametrize(("options", "data", "y"), PROTOTYPES.values(), ids=PROTOTYPES)
def test_prototypes(options, data, y, tmp_path):
    model = sktl.ProtoNetClassifier(**options).fit(data[:20], y[:20])
    model.save(tmp_path / "model")
    loaded = sktl.ProtoNetClassifier.load(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(data), model.predict_proba(data))
    again = [one.partial_fit(data[20:], y[20:]).predict_proba(data) for one in (loaded, model)]
    assert np.array_equal(*again)
    assert np.array_equal(loaded.fit(data, y).predict_proba(data), model.fit(data, y).predict_proba(data))


def test_prototypes_of_a_network_of_the_users(tmp_path):
    model = sktl.ProtoNetClassifier(nn.Sequential(network(), nn.Flatten()).eval(), image_size=32)
    model.fit(PICTURES, OF_PICTURES).save(tmp_path / "model")
    with pytest.raises(WeightsError, match=r"load\(path, backbone=\.\.\.\)"):
        sktl.ProtoNetClassifier.load(tmp_path / "model")
    same, other = (nn.Sequential(network(), nn.Flatten()).eval() for _ in range(2))
    loaded = sktl.ProtoNetClassifier.load(tmp_path / "model", backbone=same)
    assert np.array_equal(loaded.predict_proba(PICTURES), model.predict_proba(PICTURES))
    with torch.no_grad():
        other[0][0].weight.mul_(2)
    with pytest.raises(WeightsError, match="other values of its network"):
        sktl.ProtoNetClassifier.load(tmp_path / "model", backbone=other)


def test_a_transformer_is_code(tmp_path):
    model = sktl.ProtoNetClassifier(encoder=PCA(2)).fit(X, Y)
    with pytest.raises(TypeError, match="is a PCA, and files hold no code"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


class OwnTIM(TIM):
    """A method of the user's own."""


def test_a_transductive_method_of_the_users_is_code(tmp_path):
    model = sktl.ProtoNetClassifier(transductive=OwnTIM()).fit(X, Y)
    with pytest.raises(TypeError, match=r"transductive .*OwnTIM.*predictions need it"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_what_training_alone_needs_is_left_out_with_a_word(tmp_path):
    def schedule(step, n_steps):
        return 1.0

    model = sktl.FineTunedClassifier(schedule=schedule, max_steps=2, random_state=0).fit(X, Y)
    with pytest.warns(UserWarning, match="schedule of this FineTunedClassifier") as said:
        model.save(tmp_path / "model")
    assert said[0].filename == __file__
    found = sktl.FineTunedClassifier.load(tmp_path / "model")
    assert np.array_equal(found.predict_proba(X), model.predict_proba(X))


def test_learners_have_the_same_verbs(tmp_path):
    LEARNER.save(tmp_path / "model")
    assert np.array_equal(ProtoNetLearner.load(tmp_path / "model").transform(X), LEARNER.transform(X))
    with pytest.raises(WeightsError, match="holds a ProtoNetLearner, not a MAMLLearner"):
        sktl.fewshot.MAMLLearner.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["attributes"].update(n_outputs_=2**40), "sizes"),
        (lambda h: h["spec"]["InputSpec"].update(shape={"tuple": [10**9]}), "sizes"),
        (lambda h: h["spec"]["InputSpec"].update(kind=5), "kind of a InputSpec cannot be"),
        (lambda h: h["params"].update(n_way=-3), "n_way"),
        (lambda h: h.update({"class": "EpisodeSampler"}), "holds a EpisodeSampler"),
        (lambda h: h["attributes"].update(history_={"list": [5]}), "history_ cannot be"),
        (lambda h: h.pop("seed"), "lacks 'seed'"),
    ],
)
def test_what_is_made_up_is_named(change, message, tmp_path):
    LEARNER.save(tmp_path / "model")
    tensors, header = read_tensors(tmp_path / "model")
    change(header)
    (tmp_path / "model").write_bytes(encode_tensors(tensors, header))
    with pytest.raises(WeightsError, match=message):
        sktl.load(tmp_path / "model")
