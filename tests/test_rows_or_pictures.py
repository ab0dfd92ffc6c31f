"""One rule in all estimators: which rows are flattened pictures; one picture is never read as many."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from torch import nn

import sktl
from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier, FineTunedRegressor
from sktl.adaptation import SourceFreeAdaptedClassifier
from sktl.fewshot import FewShotClassifier, FewShotRegressor, ProtoNetClassifier, ProtoNetLearner

rng = np.random.default_rng(0)
PICTURES = rng.random((8, 16, 16))
ROWS = PICTURES.reshape(8, 256)
LABELS = [0, 1] * 4


def network(channels=3):
    body = [nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


NETWORK = network()
DENSE = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 2))
LIGHT = {"n_episodes": 2, "n_way": 2, "n_shot": 1, "n_query": 1, "random_state": 0}
ADAPTED = {"loss": "coral", "max_epochs": 1, "steps_per_epoch": 1, "random_state": 0}
OF_PICTURES = [
    CNNCodesTransformer(NETWORK, engine="torch"),
    FineTunedClassifier(NETWORK, max_epochs=1, random_state=0),
    FineTunedRegressor(NETWORK, max_epochs=1, random_state=0),
    DomainAdaptedClassifier(NETWORK, **ADAPTED),
    ProtoNetClassifier(NETWORK),
    FewShotClassifier(backbone=NETWORK),
    FewShotRegressor(backbone=NETWORK),
    ProtoNetLearner("conv4", **LIGHT),
    FewShotClassifier(ProtoNetLearner("conv4", **LIGHT)),
]
OF_EITHER = [
    FineTunedClassifier(max_steps=2, strategy="head", random_state=0),
    DomainAdaptedClassifier(**ADAPTED),
    ProtoNetClassifier(),
    FewShotClassifier(),
    ProtoNetLearner(**LIGHT),
]


def name(estimator):
    return type(estimator).__name__


def fitted(estimator, X):
    y = [0, 1, 0, 1, -1, -1, -1, -1] if isinstance(estimator, DomainAdaptedClassifier) else LABELS
    return clone(estimator).fit(X, y)


def methods(model):
    names = ("predict", "predict_proba", "decision_function", "transform", "features")
    return [getattr(model, method) for method in names if hasattr(model, method)]


def answer(model, X):
    return methods(model)[-1](X)


@pytest.mark.parametrize("estimator", OF_PICTURES, ids=name)
def test_rows_for_a_network_of_pictures_are_pictures(estimator):
    np.testing.assert_array_equal(answer(fitted(estimator, ROWS), ROWS), answer(fitted(estimator, PICTURES), PICTURES))
    grey_levels = np.rint(ROWS * 16)  # beyond [0, 1], as scikit-learn's digits are
    grey_levels[0, :2] = 0, 16
    expected = answer(fitted(clone(estimator).set_params(**_nested(estimator, (0, 16))), grey_levels), grey_levels)
    np.testing.assert_array_equal(answer(fitted(estimator, grey_levels), grey_levels), expected)


def _nested(estimator, value_range):
    own = not isinstance(getattr(estimator, "learner", None), ProtoNetLearner)
    return {"value_range" if own else "learner__value_range": value_range}


@pytest.mark.parametrize("width", [4, 13, 101, 800])
@pytest.mark.parametrize("estimator", OF_PICTURES, ids=name)
def test_rows_that_are_no_pictures_are_refused(estimator, width):
    with pytest.raises(ValueError, match=f"Rows of width {width} are no flattened square.*image_shape"):
        fitted(estimator, rng.random((8, width)))


def test_iris_is_no_set_of_pictures():
    X = load_iris().data
    for transform in (CNNCodesTransformer().fit, CNNCodesTransformer().transform, CNNCodesTransformer().fit_transform):
        with pytest.raises(ValueError, match=r"Rows of width 4 are no flattened square pictures.*image_shape"):
            transform(X)


@pytest.mark.parametrize("says", [{"image_shape": (16, 16)}, {"image_size": 16}, {"value_range": (0, 1)}])
@pytest.mark.parametrize("estimator", OF_EITHER, ids=name)
def test_a_parameter_of_pictures_says_that_rows_are_pictures(estimator, says):
    assert fitted_kind(fitted(estimator, ROWS)) == "feature rows"
    assert fitted_kind(fitted(clone(estimator).set_params(**says, **_small(estimator, says)), ROWS)) == (
        "flattened pictures"
    )


def _small(estimator, says):
    return {} if isinstance(estimator, ProtoNetLearner) or "image_size" in says else {"image_size": 16}


def fitted_kind(model):
    return model._spec.kind if isinstance(model, ProtoNetLearner) else model._kind.name


def test_a_module_takes_rows_by_what_it_is():
    adapted = DomainAdaptedClassifier(DENSE, **ADAPTED)
    assert fitted_kind(fitted(adapted, ROWS)) == "feature rows"
    assert fitted_kind(fitted(clone(adapted).set_params(backbone=NETWORK), ROWS)) == "flattened pictures"
    assert fitted_kind(fitted(clone(adapted).set_params(backbone=lambda: network()), ROWS)) == "flattened pictures"
    for estimator in (FineTunedClassifier(DENSE), ProtoNetClassifier(DENSE), FewShotClassifier(backbone=DENSE)):
        with pytest.raises(ValueError, match=r"features for a network without a convolution.*image_shape"):
            fitted(estimator, ROWS)


COLOURED = rng.random((8, 16, 16, 3))


@pytest.mark.parametrize("estimator", OF_PICTURES, ids=name)
def test_one_picture_without_its_batch_axis_is_refused(estimator):
    model = fitted(estimator, COLOURED)
    with_alpha = rng.random((16, 16, 4))
    tensor = torch.from_numpy(COLOURED[0].transpose(2, 0, 1).copy())
    singles = [COLOURED[0], COLOURED[0].tolist(), with_alpha, COLOURED[0][..., :1], tensor, tensor[:1]]
    for method in methods(model):
        for single in singles:
            with pytest.raises(ValueError, match=r"one picture without its batch axis.*X\[None\]"):
                method(single)
        assert len(method(COLOURED[0][None])) == len(method(tensor[None])) == 1
        assert len(method(COLOURED[..., 0])) == 8  # grey pictures


def test_one_picture_is_no_set_to_fit_either():
    for X in (COLOURED[0], torch.from_numpy(COLOURED[0])):
        for call in (CNNCodesTransformer(NETWORK).fit, CNNCodesTransformer(NETWORK).transform):
            with pytest.raises(ValueError, match=r"shape \(16, 16, 3\): one picture without its batch axis"):
                call(X)


def test_grey_pictures_are_pictures_without_channels():
    model = fitted(OF_PICTURES[0], PICTURES)
    assert len(model.transform(torch.from_numpy(PICTURES[:3]))) == 3
    assert len(model.transform(PICTURES[:1])) == 1
    with pytest.raises(ValueError, match=r"shape \(16, 16\): one picture without its batch axis"):
        model.transform(PICTURES[0])
    with pytest.raises(ValueError, match="fitted on flattened pictures, but X holds pictures"):
        fitted(OF_PICTURES[0], ROWS).transform(PICTURES)


def test_channels_first_arrays_too():
    X = np.ascontiguousarray(COLOURED.transpose(0, 3, 1, 2))
    model = fitted(ProtoNetClassifier(NETWORK), X)
    with pytest.raises(ValueError, match=r"shape \(3, 16, 16\): one picture without its batch axis"):
        model.predict(X[0])


def test_adapted_and_loaded_models_remember_it(tmp_path):
    source = fitted(DomainAdaptedClassifier(NETWORK, **ADAPTED), COLOURED)
    model = SourceFreeAdaptedClassifier(source, max_epochs=1, steps_per_epoch=1).fit(COLOURED)
    tuned = fitted(FineTunedClassifier("resnet18", weights=None, image_size=32, strategy="head"), COLOURED)
    tuned.save(tmp_path / "tuned.safetensors")
    learner = fitted(ProtoNetLearner("conv4", **LIGHT), COLOURED)
    learner.save(tmp_path / "learner.safetensors")
    calls = [model.predict, FineTunedClassifier.load(tmp_path / "tuned.safetensors").predict]
    calls.append(sktl.load(tmp_path / "learner.safetensors").transform)
    for call in calls:
        with pytest.raises(ValueError, match="one picture without its batch axis"):
            call(torch.from_numpy(COLOURED[0].transpose(2, 0, 1).copy()))
