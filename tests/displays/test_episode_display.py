import matplotlib.pyplot as plt
import numpy as np
import pytest

from sktl.displays import EpisodeDisplay
from sktl.fewshot import ProtoNetClassifier
from tests.displays.artists import labels_of


def test_support_prototypes_and_queries(two_domains):
    X, y, _, _ = two_domains
    model = ProtoNetClassifier(normalize="l2").fit(X[:20], y[:20])
    display = EpisodeDisplay.from_estimator(model, X[:20], y[:20], X[20:60], y[20:60])
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    means = np.stack([unit[:20][y[:20] == name].mean(0) for name in ("down", "up")])
    codes = np.concatenate([unit[:60], means])
    centred = codes - codes.mean(0)
    expected = np.abs(centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T)
    found = np.concatenate([display.support, display.query, display.prototypes])
    np.testing.assert_allclose(np.abs(found), expected, atol=1e-8)
    predicted = model.predict(X[20:60])
    np.testing.assert_array_equal(display.is_wrong, predicted != y[20:60])
    for name in ("down", "up"):
        offsets = display.scatters_["query", name].get_offsets()
        np.testing.assert_array_equal(offsets, display.query[predicted == name])
        assert len(display.scatters_["prototype", name].get_offsets()) == 1
    assert labels_of(display.ax_.get_legend())[:4] == ["down", "up", "support", "query, as predicted"]
    assert plt.get_fignums() == [display.figure_.number]


def test_pictures():
    X = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    model = ProtoNetClassifier(image_size=32).fit(X[:4], [0, 1, 0, 1])
    display = EpisodeDisplay.from_estimator(model, X[:4], [0, 1, 0, 1], X[4:])
    assert display.query.shape == (2, 2)
    assert not display.is_wrong.any()
    assert model.features(X).shape == (6, model.n_codes_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0]}, "y must have one entry a row: expected 4, got 1"),
        ({"y_pred": [0, 5, 0, 0]}, "must be classes of the support set; 5 is none"),
        ({"query": np.eye(4, 3)}, "must have the same width"),
        ({"prototypes": np.eye(3, 4)}, "a prototype for each of 2 classes"),
        ({"y_query": [0]}, "expected 4, got 1"),
    ],
)
def test_bad_input(change, message):
    given = {"codes": np.eye(4), "y": [0, 1, 0, 1], "query": np.eye(4), "y_pred": [0, 1, 0, 1]} | change
    with pytest.raises(ValueError, match=message):
        EpisodeDisplay.from_codes(**given)
    assert not plt.get_fignums()
