import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl.displays import LayerAccuracyDisplay
from sktl.features import CNNCodesTransformer
from tests.displays.artists import labels_of


@pytest.fixture
def network():
    """Three convolutions, of three resolutions."""
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    y = np.array(["dark", "light"] * 15)
    return (rng.integers(0, 160, (30, 16, 16, 3)) + np.where(y == "light", 60, 0)[:, None, None, None]).astype(
        np.uint8
    ), y


def test_scores_are_those_of_each_layer_by_itself(network, pictures):
    X, y = pictures
    codes = CNNCodesTransformer(network, image_size=16, engine="torch")
    classifier = KNeighborsClassifier(3)
    display = LayerAccuracyDisplay.from_estimator(codes, X, y, classifier=classifier, cv=3)
    assert display.names[-1] == "penultimate"
    assert len(display.names) == 4
    assert (np.diff(display.depths) >= 0).all()
    for name, scores in zip(display.names, display.scores):
        alone = CNNCodesTransformer(network, image_size=16, engine="torch", layers=[name]).fit_transform(X)
        np.testing.assert_allclose(scores, cross_val_score(classifier, alone, y, cv=3))
    means = display.scores.mean(1)
    np.testing.assert_allclose(display.line_.get_xydata(), np.column_stack([np.arange(4), means]))
    (mark,) = display.best_mark_.get_offsets()
    assert mark[1] == means.max()
    ticks = [tick.get_text() for tick in display.ax_.get_xticklabels()]
    assert ticks[0] == f"1 ({display.depths[0]:.2f})"
    assert ticks[-1] == "penultimate (1.00)"
    expected = {"mean ± standard deviation", "most frequent class", f"best: {display.best_layer} ({means.max():.3g})"}
    assert set(labels_of(display.ax_.get_legend())) == expected
    assert display.chance == 0.5
    assert codes.layers == "penultimate"
    assert plt.get_fignums() == [display.figure_.number]


def test_default_classifier_and_named_layers(network, pictures):
    X, y = pictures
    codes = CNNCodesTransformer(network, image_size=16, engine="torch")
    display = LayerAccuracyDisplay.from_estimator(codes, X, y, layers=["2", "0"], cv=2, scoring="balanced_accuracy")
    assert display.names == ["0", "2"]
    assert display.ax_.get_ylabel() == "balanced_accuracy"
    alone = CNNCodesTransformer(network, image_size=16, engine="torch", layers=["0"]).fit_transform(X)
    half = [np.flatnonzero(np.arange(30) < 15), np.flatnonzero(np.arange(30) >= 15)]
    scaler = StandardScaler().fit(alone[half[1]])
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(alone[half[1]]), y[half[1]])
    right = model.predict(scaler.transform(alone[half[0]])) == y[half[0]]
    expected = np.mean([right[y[half[0]] == name].mean() for name in ("dark", "light")])
    folds = [(half[1], half[0])]
    again = LayerAccuracyDisplay.from_estimator(codes, X, y, layers=["0"], cv=folds, scoring="balanced_accuracy")
    np.testing.assert_allclose(again.scores, [[expected]])


def test_scores_in_any_order():
    display = LayerAccuracyDisplay.from_scores(["deep", "shallow"], [0.9, 0.1], [[0.5, 0.7], [0.6, 0.6]])
    assert display.names == ["shallow", "deep"]
    assert display.best_layer == "deep"  # of two that are level


def test_bad_input(network, pictures):
    X, y = pictures
    with pytest.raises(TypeError, match=r"a transformer with the parameter `layers`.*got StandardScaler"):
        LayerAccuracyDisplay.from_estimator(StandardScaler(), X, y)
    codes = CNNCodesTransformer(network, image_size=16)
    with pytest.raises(ValueError, match="y must have one entry a row: expected 30, got 3"):
        LayerAccuracyDisplay.from_estimator(codes, X, y[:3])
    with pytest.raises(ValueError, match="no_such"):
        LayerAccuracyDisplay.from_estimator(codes, X, y, layers=["no_such"])
    with pytest.raises(ValueError, match=r"got 1 names, 1 depths and scores of shape \(2, 1\)"):
        LayerAccuracyDisplay.from_scores(["a"], [0.5], [[1], [2]])
    assert not plt.get_fignums()
