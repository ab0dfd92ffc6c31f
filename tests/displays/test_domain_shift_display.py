import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier
from sktl.aligners import CORALAligner
from sktl.displays import DomainShiftDisplay
from tests.displays.artists import labels_of


def test_which_features_differ(two_domains):
    X, _, _, domain = two_domains
    display = DomainShiftDisplay.from_codes(X, domain, feature_names=list("abcd"))
    expected = [ks_2samp(X[:60, i], X[60:, i]).statistic for i in range(4)]
    np.testing.assert_allclose(display.statistics, expected)
    assert display.worst_features(1) == ["a"]
    names = [tick.get_text() for tick in display.axes_[1].get_yticklabels()]
    assert names[::-1] == display.worst_features()
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_][::-1], sorted(expected, reverse=True))
    assert labels_of(display.axes_[0].get_legend()) == ["day", "night"]
    assert display.axes_[0].get_title() == f"proxy A-distance {display.distances[0, 1]:.2f} of 2"
    assert plt.get_fignums() == [display.figure_.number]


def test_proxy_distance_of_known_mixtures():
    """Two domains alike, two apart, and two of which half of one can be told: 0, 2 and 1."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(400, 2))
    domain = np.repeat(["a", "b", "c"], [150, 150, 100])
    codes[300:, 0] += 50
    display = DomainShiftDisplay.from_codes(codes, domain)
    assert display.distances[0, 1] < 0.3  # the same distribution
    np.testing.assert_allclose(display.distances[[0, 1], 2], 2.0)  # told without an error
    np.testing.assert_allclose(display.distances, display.distances.T)
    assert len(display.axes_) == 3
    assert [text.get_text() for text in display.axes_[2].texts][2] == "2.00"
    half = np.concatenate([np.zeros((200, 1)), np.repeat([[0.0], [50.0]], 100, axis=0)])
    display = DomainShiftDisplay.from_codes(half, np.repeat(["a", "b"], 200))
    np.testing.assert_allclose(display.distances[0, 1], 1.0, atol=1e-6)  # e = 1/4


def test_estimators(two_domains):
    X, _, known, domain = two_domains
    before = DomainShiftDisplay.from_estimator(StandardScaler().fit(X), X, known)
    assert before.domains.tolist() == ["source", "target"]
    assert before.feature_names.tolist() == ["x0", "x1", "x2", "x3"]
    aligner = CORALAligner().fit(X, known)
    assert DomainShiftDisplay.from_estimator(aligner, X, known).distances[0, 1] < before.distances[0, 1]
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, known)
    display = DomainShiftDisplay.from_estimator(model, X, sample_domain=domain, max_rows=60)
    assert len(display.rows) == 60
    assert display.statistics.shape == (model.features(X[:2]).shape[1],)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:60], known[:60].astype(str))
    assert DomainShiftDisplay.from_estimator(pipeline, X, sample_domain=domain).statistics.shape == (4,)


def test_columns_of_a_data_frame(two_domains):
    pandas = pytest.importorskip("pandas", reason="data frames are read from pandas")
    X, _, _, domain = two_domains
    display = DomainShiftDisplay.from_codes(pandas.DataFrame(X, columns=list("wxyz")), domain)
    assert display.worst_features(1) == ["w"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_domain": ["a"] * 10}, "there is only one. Name each row's domain"),
        ({"sample_domain": ["a"] * 9 + ["b"]}, "of at least 4 rows each; got 'a': 9, 'b': 1"),
        ({"sample_domain": ["a", "b"]}, "sample_domain must have one entry a row: expected 10, got 2"),
        ({"feature_names": ["a"]}, "feature_names must name the 10 columns; got 1"),
        ({"method": "mds"}, "method must be one of"),
    ],
)
def test_bad_input(change, message):
    given = {"codes": np.eye(10), "sample_domain": ["a", "b"] * 5} | change
    with pytest.raises(ValueError, match=message):
        DomainShiftDisplay.from_codes(**given)
    assert not plt.get_fignums()
