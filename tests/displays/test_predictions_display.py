import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from sktl.displays import PredictionsDisplay
from sktl.features import CNNCodesTransformer
from sktl.fewshot import ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 12, 8, 3), dtype=np.uint8)
TRUE = np.array(["ant", "bee", "ant", "bee", "ant", "bee"])
PROBA = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.05, 0.95], [0.5, 0.5]])
PREDICTED = np.array(["ant", "bee"])[PROBA.argmax(1)]


def titles(display):
    return [ax.get_title() for ax in display.axes_]


def test_most_wrong_first():
    display = PredictionsDisplay.from_predictions(PICTURES, TRUE, PREDICTED, y_proba=PROBA, classes=["ant", "bee"])
    assert display.rows.tolist() == [4, 1, 2, 5, 3, 0]
    assert titles(display)[0] == "✗ bee 95%\ntrue: ant"
    assert titles(display)[-1] == "✓ ant 90%\ntrue: ant"
    for ax, row in zip(display.axes_, display.rows):
        np.testing.assert_array_equal(ax.images[0].get_array(), PICTURES[row])
    assert display.axes_[0].spines["left"].get_edgecolor() != display.axes_[-1].spines["left"].get_edgecolor()
    assert plt.get_fignums() == [display.figure_.number]


def test_other_orders_and_fewer():
    options = {"y_proba": PROBA, "classes": ["ant", "bee"], "n_pictures": 3}
    sure = PredictionsDisplay.from_predictions(PICTURES, TRUE, PREDICTED, order="least sure", **options)
    assert sure.rows.tolist() == [5, 2, 3]
    given = PredictionsDisplay.from_predictions(PICTURES, TRUE, PREDICTED, order="given", **options)
    assert given.rows.tolist() == [0, 1, 2]
    none = PredictionsDisplay.from_predictions(PICTURES, None, PREDICTED, **options)
    assert none.rows.tolist() == [5, 2, 3]
    assert titles(none)[0] == "ant 50%"
    some = PredictionsDisplay.from_predictions(PICTURES, ["ant", None, None, None, None, "bee"], PREDICTED)
    assert some.rows.tolist() == [5, 0]
    assert some.is_right.tolist() == [False, True]


def test_files_of_any_size_stand_on_white(tmp_path):
    paths = []
    for i, size in enumerate([(300, 100), (50, 50)]):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", size, (0, 0, 255)).save(paths[-1])
    display = PredictionsDisplay.from_predictions(paths, [0, 1], [0, 1])
    wide = display.axes_[0].images[0].get_array()
    assert wide.shape == (160, 160, 3)
    assert wide[80, 80].tolist() == [0, 0, 255]
    assert wide[5, 80].tolist() == [255, 255, 255]


def test_codes_and_a_linear_classifier():
    X, y = PICTURES, np.array([0, 1] * 3)
    model = make_pipeline(CNNCodesTransformer(image_size=32, engine="torch"), LogisticRegression()).fit(X, y)
    display = PredictionsDisplay.from_estimator(model, list(X), 1 - y)
    assert titles(display)[0].startswith("✗ ")
    expected = model.predict_proba(X)[display.rows].max(1)
    np.testing.assert_allclose(display.confidence, expected, atol=1e-6)
    np.testing.assert_array_equal(display.y_pred, model.predict(X)[display.rows])


def test_flattened_pictures_are_shown_as_the_classifier_understood_them():
    X, y = load_digits(return_X_y=True)  # values in 0..16
    model = ProtoNetClassifier(image_shape=(8, 8), image_size=32).fit(X[:40], y[:40])
    display = PredictionsDisplay.from_estimator(model, X[:8], y[:8], order="given")
    expected = np.rint(X[0].reshape(8, 8) * 255 / 16)
    np.testing.assert_allclose(display.axes_[0].images[0].get_array()[..., 0], expected, atol=1)


def test_feature_rows_are_no_pictures(two_domains):
    X, y, _, _ = two_domains
    model = FineTunedClassifier(max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="was fitted on feature rows"):
        PredictionsDisplay.from_estimator(model, X, y)
    with pytest.raises(TypeError, match="Ridge is no classifier"):
        PredictionsDisplay.from_estimator(Ridge(), PICTURES, y[:6])
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "worst"}, "order must be one of 'most wrong', 'least sure', 'given'; got 'worst'"),
        ({"n_pictures": 0}, "n_pictures must be a whole number, at least 1; got 0"),
        ({"y_true": [0]}, "y must have one entry a row: expected 6, got 1"),
        ({"y_pred": [0]}, r"one label a row, shape \(6,\); got shape \(1,\)"),
        ({"y_proba": PROBA}, "Give y_proba and classes"),
        ({"y_proba": PROBA, "classes": [0, 1, 2]}, r"each of the 3 classes; got shape \(6, 2\)"),
        ({"X": np.zeros((6, 5))}, "5"),
    ],
)
def test_bad_input(change, message):
    given = {"X": PICTURES, "y_true": TRUE, "y_pred": PREDICTED} | change
    with pytest.raises(ValueError, match=message):
        PredictionsDisplay.from_predictions(**given)
    assert not plt.get_fignums()
