"""What is black and white in pictures of more than 8 bits, in every estimator that takes pictures."""

import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier, FineTunedRegressor
from sktl.adaptation import GradualAdaptedClassifier, SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier
from sktl.backbones import Preprocessing
from sktl.exceptions import BadImageError, PictureWarning
from sktl.fewshot import FewShotClassifier, FewShotRegressor, ProtoNetClassifier, ProtoNetLearner
from sktl.images import as_pictures

rng = np.random.default_rng(0)
DEEP = rng.integers(0, 4096, (8, 16, 16), dtype=np.uint16)
DEEP[0, 0, :2] = 0, 4095
BYTES = np.rint(DEEP * (255 / 4095)).astype(np.uint8)
LABELS = [0, 1] * 4


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 2),
    )


NETWORK = network()
ESTIMATORS = [
    CNNCodesTransformer(NETWORK, engine="torch"),
    FineTunedClassifier(NETWORK, max_epochs=1, random_state=0),
    FineTunedRegressor(NETWORK, max_epochs=1, random_state=0),
    DomainAdaptedClassifier(NETWORK, loss="coral", max_epochs=1, steps_per_epoch=1, random_state=0),
    ProtoNetClassifier(NETWORK),
    FewShotClassifier(encoder=NETWORK),
    FewShotRegressor(encoder=NETWORK),
    ProtoNetLearner("conv4", n_episodes=2, n_way=2, n_shot=1, n_query=1, random_state=0),
]


def answers(estimator, X):
    y = [0, 1, 0, 1, -1, -1, -1, -1] if isinstance(estimator, DomainAdaptedClassifier) else LABELS
    fitted = clone(estimator).fit(X, y)
    method = next(m for m in ("predict_proba", "transform", "predict") if hasattr(fitted, m))
    return getattr(fitted, method)(X)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_a_value_range_is_the_scale_that_it_names(estimator):
    expected = answers(estimator, BYTES)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PictureWarning)
        ranged = clone(estimator).set_params(value_range=(0, 4095))
        np.testing.assert_array_equal(answers(ranged, DEEP), expected)
        np.testing.assert_array_equal(answers(ranged, DEEP.astype(">u2")), expected)
        tomogram = clone(estimator).set_params(value_range=(-1024, 3071))
        np.testing.assert_array_equal(answers(tomogram, DEEP.astype(np.int16) - 1024), expected)
        floats = clone(estimator).set_params(value_range=[-3.0, 5.0])
        np.testing.assert_array_equal(answers(floats, DEEP * (8 / 4095) - 3), expected)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_the_range_that_an_error_recommends_is_taken(estimator):
    tomograms = DEEP.astype(np.int16) - 1024
    with pytest.raises(ValueError, match=r"int16 values from -1024 to 3071.*value_range=") as caught:
        answers(estimator, tomograms)
    low, high = map(float, re.search(r"value_range=\((\S+), (\S+)\)", str(caught.value)).groups())
    ranged = clone(estimator).set_params(value_range=(low, high))
    np.testing.assert_array_equal(answers(ranged, tomograms), answers(estimator, BYTES))
    with pytest.raises(ValueError, match="value_range must be two finite numbers"):
        answers(clone(estimator).set_params(value_range=(3, 3)), tomograms)


def test_the_recommended_range_keeps_every_digit():
    with pytest.raises(ValueError, match=r"value_range=\(0, 16777215\)"):
        as_pictures(np.array([[[0, 16777215]]]))
    with pytest.raises(ValueError, match=r"value_range=\(-1\.23456789, 2\.5\)"):
        as_pictures(np.array([[[-1.23456789, 2.5]]]))


@pytest.mark.parametrize(
    "adapted",
    [
        SourceFreeAdaptedClassifier(None, max_epochs=1, steps_per_epoch=1, random_state=0),
        TestTimeAdaptedClassifier(None),
        GradualAdaptedClassifier(None, max_epochs=1, steps_per_epoch=1, n_steps=1, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_adapts_a_classifier_reads_as_the_classifier_does(adapted):
    params = {"max_epochs": 1, "steps_per_epoch": 1, "loss": "coral", "random_state": 0}
    source = DomainAdaptedClassifier(NETWORK, value_range=(0, 4095), **params).fit(DEEP, [0, 1, 0, 1, -1, -1, -1, -1])
    known = adapted.get_params(deep=False)
    settings = {k: v for k, v in {"batch_size": 4}.items() if k in known}
    model = clone(adapted).set_params(estimator=FrozenEstimator(source), **settings).fit(DEEP)
    swapped = model.predict_proba(DEEP.astype(">u2"))
    np.testing.assert_array_equal(model.predict_proba(DEEP), swapped)
    assert model.estimator_._kind.value_range == (0.0, 4095.0)


def test_pictures_of_12_bits_in_16_are_warned_about():
    with pytest.warns(PictureWarning, match=r"at most 4095.*keep 6\.2 %.*value_range=\(0, 4095\)"):
        as_pictures(DEEP)
    with pytest.warns(PictureWarning, match=r"value_range=\(0, 255\)"):
        as_pictures(BYTES.astype(np.uint16))


@pytest.mark.parametrize("held", ["PIL", "file"])
def test_deep_files_and_pil_images_take_it_too(held, tmp_path):
    images = [Image.fromarray(picture) for picture in DEEP]
    items = images
    if held == "file":
        items = [tmp_path / f"{i}.png" for i in range(len(images))]
        for image, path in zip(images, items):
            image.save(path)
    seen = Preprocessing(size=(16, 16), crop_pct=1.0)
    expected = as_pictures(BYTES).batch(range(8), seen)
    ranged = as_pictures(items, value_range=(0, 4095))
    assert torch.equal(ranged.batch(range(8), seen), expected)
    with pytest.warns(PictureWarning, match=r"A picture.*value_range=\(0, 4095\)"):
        plain = as_pictures(items).batch([0], seen)
    assert plain.max() == 16
    assert ranged.digest(0) != as_pictures(items).digest(0)  # a store must not mix them up
    signed = [Image.fromarray(picture.astype(np.int32) - 1024) for picture in DEEP]
    assert torch.equal(as_pictures(signed, value_range=(-1024, 3071)).batch(range(8), seen), expected)
    with pytest.raises(BadImageError, match=r"from -1024 to 3071.*value_range=\(-1024, 3071\)"):
        as_pictures(signed).batch([0], seen)


def test_warnings_made_errors_are_not_taken_for_damage():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PictureWarning)
        with pytest.raises(PictureWarning, match="at most 4095"):
            as_pictures([Image.fromarray(DEEP[0])]).batch([0], Preprocessing(size=(16, 16)))


def test_full_16_bits_and_black_pictures_pass_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PictureWarning)
        as_pictures((DEEP * 16).astype(np.uint16))
        as_pictures(np.zeros_like(DEEP))
        as_pictures(DEEP, value_range=(0, 65535))


def test_a_value_range_says_that_rows_are_pictures():
    with pytest.raises(ValueError, match="Rows of width 7 are no flattened square pictures"):
        FineTunedClassifier(value_range=(0, 16)).fit(rng.random((8, 7)), LABELS)
