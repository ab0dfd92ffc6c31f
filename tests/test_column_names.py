"""Names of columns: those that codes get, and those that fit has seen."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import nn

from sktl import CNNCodesTransformer, ProtoNetClassifier
from sktl.adaptation import GradualAdaptedClassifier
from sktl.fewshot import FewShotClassifier, FewShotRegressor

PICTURES = np.random.default_rng(0).integers(0, 255, (6, 12, 12, 3), dtype=np.uint8)
FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 3)), columns=["a", "b", "c"])
LABELS = np.arange(12) % 2


@pytest.fixture
def codes():
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    return CNNCodesTransformer(network, image_size=12)


@pytest.mark.parametrize(("pooling", "layer"), [("auto", "penultimate"), ("avg", "penultimate_avg")])
def test_codes_are_named_after_the_layer_asked_for(codes, pooling, layer):
    names = codes.set_params(pooling=pooling).fit(PICTURES).get_feature_names_out()
    assert names.tolist() == [f"{layer}_{i}" for i in range(4)]


def test_other_names_than_those_of_fit_are_refused(codes):
    frame = pd.DataFrame(PICTURES.reshape(6, -1)).rename(columns=str)
    codes.set_params(image_shape=(12, 12, 3)).fit(frame)
    assert len(codes.get_feature_names_out(list(frame.columns))) == 4
    with pytest.raises(ValueError, match="input_features"):
        codes.get_feature_names_out(["x", *frame.columns[1:]])


@pytest.mark.parametrize("estimator", [ProtoNetClassifier(), FewShotClassifier(), FewShotRegressor()], ids=repr)
def test_columns_seen_in_fit_are_compared(estimator):
    fitted = estimator.fit(FRAME, LABELS.astype(float) if "Regressor" in repr(estimator) else LABELS)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert fitted.n_features_in_ == 3
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(FRAME[["b", "a", "c"]])


def test_probabilities_that_are_not_there_are_no_attribute():
    y = np.where(np.arange(12) < 8, LABELS, -1)
    model = GradualAdaptedClassifier(LinearSVC(random_state=0), n_steps=2).fit(FRAME.to_numpy(), y)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError):
        model.predict_proba(FRAME.to_numpy())
