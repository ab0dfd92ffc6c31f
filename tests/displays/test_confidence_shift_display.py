import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from sktl.adaptation import DomainAdaptedClassifier
from sktl.displays import ConfidenceShiftDisplay
from sktl.finetuning import FineTunedClassifier
from tests.displays.artists import labels_of


def error_of(confidence, right, n_bins):
    """Return the expected calibration error, bin by bin."""
    total = 0.0
    for low in np.arange(n_bins) / n_bins:
        rows = (confidence > low) & (confidence <= low + 1 / n_bins)
        if rows.any():
            total += rows.mean() * abs(confidence[rows].mean() - right[rows].mean())
    return total


@pytest.mark.parametrize("model", [LogisticRegression(), FineTunedClassifier(max_epochs=2, random_state=0)])
def test_confidence_and_calibration_of_each_domain(model, two_domains):
    X, y, _, domain = two_domains
    model.fit(X[:40], y[:40])
    display = ConfidenceShiftDisplay.from_estimator(model, X[40:], y[40:], sample_domain=domain[40:], n_bins=8)
    proba = model.predict_proba(X)
    confidence, right = proba.max(1), model.predict(X) == y
    for i, name in enumerate(["day", "night"]):
        rows = (domain == name) & (np.arange(120) >= 40)
        counts = np.histogram(confidence[rows], np.linspace(0, 1, 9))[0]
        np.testing.assert_allclose(display.histograms_[name].get_data().values, counts / rows.sum())
        np.testing.assert_allclose(display.calibration_error[i], error_of(confidence[rows], right[rows], 8))
        np.testing.assert_allclose(display.mean_confidence[i], confidence[rows].mean())
        curve = display.curves_[name].get_ydata()
        assert ((curve >= 0) & (curve <= 1)).all()
        assert len(curve) == (display.n_known[i] > 0).sum()
    labels = labels_of(display.axes_[1].get_legend())
    assert labels[0] == f"day, calibration error {display.calibration_error[0]:.3f}"
    assert labels[2] == "as sure as right"
    assert plt.get_fignums() == [display.figure_.number]


def test_target_without_labels(two_domains):
    X, _, known, _ = two_domains
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, known)
    display = ConfidenceShiftDisplay.from_estimator(model, X, known)
    assert display.domains.tolist() == ["source", "target"]
    assert list(display.curves_) == ["source"]
    assert np.isnan(display.calibration_error[1])
    alone = ConfidenceShiftDisplay.from_estimator(model, X)
    assert len(alone.axes_) == 1
    assert alone.domains.tolist() == ["all rows"]


def test_labels_that_the_classifier_does_not_know_are_wrong():
    display = ConfidenceShiftDisplay.from_predictions(["new", "a"], [[1.0, 0.0]] * 2, classes=["a", "b"])
    assert display.accuracy[0, -1] == 0.5


PROBA = [[0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0.5, 0.5]), r"probabilities of shape \(n, n_classes\); got shape \(2,\)"),
        (([0, 1], [[2.0, -1.0]] * 2), "y_proba must be probabilities"),
        (([0, 1], [[np.nan, 1.0]] * 2), "y_proba must be probabilities"),
        (([0], PROBA), "y_true must have one entry a row: expected 2, got 1"),
        (([0, 1], PROBA, None), "classes must name the 2 columns of y_proba; got None"),
        (([0, 1], PROBA, [0, 1, 2]), "classes must name the 2 columns of y_proba; got 3"),
        (([0, 1], PROBA, [0, 1], ["a"]), "sample_domain must have one entry a row: expected 2, got 1"),
        (([0, 1], PROBA, [0, 1], None, 0), "n_bins must be a whole number, at least 1; got 0"),
    ],
)
def test_bad_input(arguments, message):
    names = ("y_true", "y_proba", "classes", "sample_domain", "n_bins")
    with pytest.raises(ValueError, match=message):
        ConfidenceShiftDisplay.from_predictions(**dict(zip(names, arguments)))
    assert not plt.get_fignums()


def test_no_probabilities(two_domains):
    X, y, _, _ = two_domains
    with pytest.raises(TypeError, match=r"RidgeClassifier has no predict_proba\. Wrap it in CalibratedClassifierCV"):
        ConfidenceShiftDisplay.from_estimator(RidgeClassifier().fit(X, y), X, y)
