"""Pipelines of codes and a classifier as ONNX files: what is run without sktl is what sktl predicts."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from sktl import CNNCodesTransformer, make_codes_classifier
from sktl.features import LogisticRegressionLOO, pipeline_to_onnx
from sktl.features._pipeline_to_onnx import part_of
from sktl.fewshot import ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier

CALIBRATED = CalibratedClassifierCV(LinearSVC(random_state=0), cv=3, ensemble=False)
WITH_PROBABILITIES = {
    "closed form": LogisticRegressionLOO(), "logistic regression": LogisticRegression(), "calibrated": CALIBRATED,
    "prototypes": ProtoNetClassifier(),
}  # fmt: skip
BY_CLASS = {"ridge": RidgeClassifier(), "svm": LinearSVC(random_state=0), "neighbours": KNeighborsClassifier(3)}


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
        ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    y = np.array(["red", "green", "blue"])[np.arange(30) % 3]
    X = rng.integers(0, 160, (30, 41, 52, 3), dtype=np.uint8)
    for channel, name in enumerate(("red", "green", "blue")):
        X[y == name, ..., channel] += 60
    return X, y


def rows(n_classes=3):
    rng = np.random.default_rng(1)
    y = np.arange(60) % n_classes
    return rng.normal(size=(60, 5)) + y[:, None], np.array(["a", "b", "c"])[y]


def outputs_of(model, X):
    network, _ = part_of(model)
    with torch.no_grad():
        return network.eval()(torch.as_tensor(X, dtype=torch.float32)).softmax(1).numpy()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("head", WITH_PROBABILITIES)
def test_probabilities_of_rows(head, n_classes):
    X, y = rows(n_classes)
    model = make_pipeline(StandardScaler(), Normalizer(), WITH_PROBABILITIES[head]).fit(X, y)
    assert outputs_of(model, X) == pytest.approx(model.predict_proba(X), abs=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("head", BY_CLASS)
def test_classes_of_rows(head, n_classes):
    X, y = rows(n_classes)
    model = make_pipeline(StandardScaler(), BY_CLASS[head]).fit(X, y)
    found = outputs_of(model, X)
    assert (model.classes_[found.argmax(1)] == model.predict(X)).all()
    if head == "neighbours":
        assert found == pytest.approx(model.predict_proba(X), abs=1e-4)


@pytest.mark.parametrize("layers", ["penultimate", "all"])
def test_pictures_through_the_whole_file(network, pictures, layers, tmp_path):
    pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")
    codes = CNNCodesTransformer(network, layers=layers, image_size=32, cache=None)
    model = make_codes_classifier(codes).fit(*pictures)
    pipeline_to_onnx(model, tmp_path / "model.onnx", preprocess=True)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["sktl.classes"]) == ["blue", "green", "red"]
    Image.fromarray(pictures[0][0]).save(tmp_path / "picture.png")
    decoded = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).transpose(2, 0, 1)[None]
    (one,) = session.run(None, {"pictures": decoded})
    (every,) = session.run(None, {"pictures": np.ascontiguousarray(pictures[0].transpose(0, 3, 1, 2))})
    proba = torch.from_numpy(every).softmax(1).numpy()
    assert proba == pytest.approx(model.predict_proba(pictures[0]), abs=5e-3)  # single grey levels of scaling
    assert one == pytest.approx(every[:1], abs=1e-4)


def test_values(tmp_path):
    pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")
    X, _ = rows()
    model = make_pipeline(StandardScaler(), RidgeCV()).fit(X, X[:, 0] * 100)
    pipeline_to_onnx(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["estimates"], {"rows": X.astype(np.float32)})
    assert found == pytest.approx(model.predict(X), abs=1e-2)


def test_votes(network, pictures):
    X, y = rows()
    members = [("one", make_pipeline(StandardScaler(), LogisticRegression())), ("two", ProtoNetClassifier())]
    vote = VotingClassifier(members, voting="soft", weights=[3, 1]).fit(X, y)
    assert outputs_of(vote, X) == pytest.approx(vote.predict_proba(X), abs=1e-4)
    sizes = [(str(size), make_codes_classifier(CNNCodesTransformer(network, image_size=size))) for size in (32, 48)]
    vote = VotingClassifier(sizes, voting="soft").fit(*pictures)
    with pytest.raises(ValueError, match="different sizes, so that the file has to scale them itself: set preprocess"):
        part_of(vote)


def test_a_vote_of_codes_and_a_training_at_another_size(network, pictures, tmp_path):
    pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")
    codes = make_codes_classifier(CNNCodesTransformer(network, image_size=32, cache=None))
    trained = FineTunedClassifier(network, strategy="full", image_size=24, max_epochs=1, random_state=0)
    vote = VotingClassifier([("codes", codes), ("full", trained)], voting="soft", weights=[2, 1]).fit(*pictures)
    with pytest.raises(ValueError, match="different sizes"):
        pipeline_to_onnx(vote, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    pipeline_to_onnx(vote, tmp_path / "model.onnx", preprocess=True)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for shown in (pictures[0], pictures[0][:7, :37, 3:]):  # of any size, and any number
        (found,) = session.run(None, {"pictures": np.ascontiguousarray(shown.transpose(0, 3, 1, 2))})
        proba = torch.from_numpy(found).softmax(1).numpy()
        assert proba == pytest.approx(vote.predict_proba(shown), abs=5e-3)
    own = 2 * codes.fit(*pictures).predict_proba(pictures[0])
    own += clone(trained).fit(*pictures).predict_proba(pictures[0])
    assert vote.predict_proba(pictures[0]) == pytest.approx(own / 3, abs=1e-5)


def test_a_vote_at_the_end_of_a_pipeline():
    X, y = rows()
    some = ColumnTransformer([("two", "passthrough", slice(1, 3)), ("none", "drop", [0])])
    members = [("some", make_pipeline(some, Normalizer(), LogisticRegression())), ("all", LogisticRegression())]
    model = make_pipeline(StandardScaler(), VotingClassifier(members, voting="soft", weights=[2, 1])).fit(X, y)
    assert outputs_of(model, X) == pytest.approx(model.predict_proba(X), abs=1e-4)
    scaled = ColumnTransformer([("one", StandardScaler(), [0])])
    with pytest.raises(TypeError, match="passes columns on; this one has a StandardScaler"):
        part_of(make_pipeline(scaled, LogisticRegression()).fit(X, y))
    with pytest.raises(TypeError, match="voting='soft'"):
        part_of(make_pipeline(StandardScaler(), VotingClassifier(members)).fit(X, y))


def test_two_layers_that_are_voted_on_are_one_network(network, pictures):
    codes = CNNCodesTransformer(network, layers="all", image_size=32).fit(pictures[0])
    columns = list(codes.layer_slices_.values())
    members = [(str(i), make_pipeline(ColumnTransformer([("codes", "passthrough", own)]), LogisticRegression()))
               for i, own in enumerate(columns)]  # fmt: skip
    model = make_pipeline(codes, VotingClassifier(members, voting="soft")).fit(*pictures)
    whole, _ = part_of(model)
    assert sum(isinstance(module, nn.Conv2d) for module in whole.modules()) == 2
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    network_codes, _ = part_of(codes)
    with torch.no_grad():
        expected = model[-1].predict_proba(network_codes(pixels).numpy())
        assert np.allclose(whole(pixels).exp(), expected, atol=1e-5)


def test_a_vote_on_layers_runs_the_network_once(network, pictures):
    members = [
        (str(i), make_codes_classifier(CNNCodesTransformer(network, layers=layers, image_size=32)))
        for i, layers in enumerate(("all", "penultimate", [0.3]))
    ]
    vote = VotingClassifier(members, voting="soft", weights=[2, 1, 1]).fit(*pictures)
    whole, given = part_of(vote)
    assert sum(isinstance(module, nn.Conv2d) for module in whole.modules()) == 2
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    parts = [part_of(member) for member in vote.estimators_]
    assert given == parts[0][1]
    with torch.no_grad():
        expected = sum(w * part(pixels).softmax(1) for w, (part, _) in zip((0.5, 0.25, 0.25), parts))
        assert torch.allclose(whole(pixels).exp(), expected, atol=1e-6)
    other = make_codes_classifier(CNNCodesTransformer(network, layers="all", image_size=32, pooling="max"))
    mixed = VotingClassifier([members[1], ("other", other)], voting="soft").fit(*pictures)
    assert sum(isinstance(module, nn.Conv2d) for module in part_of(mixed)[0].modules()) == 4


def test_the_network_is_a_copy(network, pictures):
    model = make_codes_classifier(CNNCodesTransformer(network, image_size=32)).fit(*pictures)
    before = model.predict_proba(pictures[0])
    written, _ = part_of(model)
    with torch.no_grad():
        for parameter in written.parameters():
            parameter.zero_()
    assert (model.predict_proba(pictures[0]) == before).all()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HistGradientBoostingClassifier(random_state=0), "A HistGradientBoostingClassifier cannot"),
        (CalibratedClassifierCV(LinearSVC(random_state=0), cv=2), "ensemble=False"),
        (KNeighborsClassifier(3, weights="distance"), "weights='uniform'"),
    ],
)
def test_what_is_no_network_is_named(head, said, tmp_path):
    model = make_pipeline(StandardScaler(), head).fit(*rows())
    with pytest.raises(TypeError, match=said):
        pipeline_to_onnx(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_bad_input(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(NotFittedError):
        pipeline_to_onnx(model, tmp_path / "model.onnx")
    model.fit(*rows())
    with pytest.raises(FileNotFoundError, match="no folder"):
        pipeline_to_onnx(model, tmp_path / "nowhere" / "model.onnx")
    with pytest.raises(ValueError, match="fitted on rows"):
        pipeline_to_onnx(model, tmp_path / "model.onnx", preprocess=True)
