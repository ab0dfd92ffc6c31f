"""Accuracy without labels: formulas against independent ones, critics against another solver, and real shifts."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sktl.safety import (
    accuracy_lower_bound,
    average_thresholded_confidence,
    difference_of_confidences,
    estimate_accuracy,
)
from sktl.safety._agreement import accuracy_by_agreement, agreements
from sktl.safety._disagreement import STRENGTH, critic, disagreements
from sktl.safety._errors import ABOVE, BELOW, LEVELS, widened
from sktl.safety._referees import nearest_aligned, overlap

METHODS = ["agreement", "discrepancy", "atc", "difference", "average"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    return X, y, LogisticRegression(max_iter=1000).fit(X[:900], y[:900])


def test_threshold_and_difference_are_the_papers():
    rng = np.random.default_rng(0)
    right, source, target = rng.random(200) < 0.8, rng.random(200), rng.random(300) * 0.9
    n_wrong = (~right).sum()
    thresholds = [t for t in source if (source < t).sum() == n_wrong]
    assert average_thresholded_confidence(right, source, target) == np.mean(target >= thresholds[0])
    assert np.isclose(difference_of_confidences(right, source, target), right.mean() - source.mean() + target.mean())
    assert average_thresholded_confidence([False, False], [0.1, 0.2], [0.9]) == 0
    assert average_thresholded_confidence([True, True], [0.1, 0.2], [0.9, 0.05]) == 0.5


def test_critic_is_the_best_one_of_its_loss():
    rng = np.random.default_rng(0)
    source, target = (np.c_[rng.normal(loc=m, size=(20, 3)), np.ones(20)] for m in (0, 1))
    of_source, of_target = source[:, :3].argmax(1), target[:, :3].argmax(1)

    def loss(flat):
        W, total = flat.reshape(4, 3), STRENGTH / 2 * np.sum(flat**2)
        for x, label in zip(source, of_source):
            f = x @ W
            total += -np.log(np.exp(f[label]) / np.exp(f).sum()) / 20
        for x, label in zip(target, of_target):
            f = x @ W
            total += sum(np.log(1 + np.exp(f[label] - f[k])) for k in range(3) if k != label) / 2 / 20
        return total

    found = critic(source, of_source, target, of_target).ravel()
    best = minimize(loss, rng.normal(size=12), method="BFGS")
    assert np.isclose(loss(found), best.fun, rtol=1e-4)


def test_each_row_is_judged_by_a_critic_that_has_not_seen_it(digits):
    X, _, model = digits
    source, target = model.predict_proba(X[900:1100]), model.predict_proba(1 - X[1350:1500])
    in_source, in_target = disagreements(source, target, 0)
    assert (in_source.shape, in_target.shape) == ((200,), (150,))
    assert in_target.mean() - in_source.mean() > 0.3
    alike = disagreements(source[:100], source[100:], 0)
    assert abs(alike[0].mean() - alike[1].mean()) < 0.15


def test_the_bound_is_the_papers(digits):
    X, y, model = digits
    source, target = model.predict_proba(X[900:1100]), model.predict_proba(X[1350:1500])
    right = model.predict(X[900:1100]) == y[900:1100]
    in_source, in_target = disagreements(source, target, 0)
    chance = np.sqrt((200 + 4 * 150) * np.log(10) / (2 * 200 * 150))
    expected = right.mean() - max(0, in_target.mean() - in_source.mean()) - chance
    assert np.isclose(accuracy_lower_bound(right, source, target), expected)
    assert accuracy_lower_bound(right, source, target, confidence=0.99) < expected


def test_agreement_is_the_formula(digits):
    X, y, model = digits
    rng = np.random.default_rng(0)
    target = X[1350:] + rng.normal(scale=0.3, size=X[1350:].shape)
    found = estimate_accuracy(model, X[900:1350], y[900:1350], target, method="agreement")
    forest = RandomForestClassifier(100, oob_score=True, random_state=0).fit(X[900:1350], y[900:1350])
    in_source = np.mean(forest.oob_decision_function_.argmax(axis=1) == model.predict(X[900:1350]))
    weight = np.sqrt(overlap(X[900:1350], target))
    nearest = nearest_aligned(X[900:1350], y[900:1350], target)
    in_target = weight * np.mean(forest.predict(target) == model.predict(target))
    in_target += (1 - weight) * np.mean(nearest == model.predict(target))
    assert np.isclose(found.accuracy, min(1, found.source_accuracy * in_target / in_source))
    referee = RandomForestClassifier(random_state=0).fit(X[:900], y[:900])
    by_referee = estimate_accuracy(model, X[900:1350], y[900:1350], target, referee=referee)
    shares = [np.mean(referee.predict(rows) == model.predict(rows)) for rows in (X[900:1350], target)]
    assert np.isclose(by_referee.accuracy, found.source_accuracy * shares[1] / shares[0])
    others = agreements(X[900:1350], y[900:1350], model.predict(X[900:1350]), target, model.predict(target), 0,
                        1.0, (X[:900], y[:900]))  # fmt: skip
    np.testing.assert_array_equal(others[1], referee.predict(target) == model.predict(target))
    assert accuracy_by_agreement([True, False], [True, True], [True, False]) == 0.25
    assert accuracy_by_agreement([True], [False], [True]) == 0  # it never agrees, so nothing is known


@pytest.mark.parametrize("method", METHODS)
def test_interval_allows_for_the_methods_own_error(digits, method):
    X, y, model = digits
    found, surer = (
        estimate_accuracy(model, X[900:1350], y[900:1350], X[1350:] / 2, method=method, confidence=confidence)
        for confidence in (0.9, 0.5)
    )
    assert found.interval[0] <= surer.interval[0] <= found.accuracy <= surer.interval[1] <= found.interval[1]
    below, above = (np.interp(0.95, LEVELS, table[method]) for table in (BELOW, ABOVE))
    ends = widened(method, 0.6, 0.6, 0.6, 0.9)
    np.testing.assert_allclose(ends, [max(0, 0.6 * (1 - below)), min(1, 0.6 + 0.4 * above)])
    wider = widened(method, 0.6, 0.5, 0.65, 0.9)
    assert wider[0] <= ends[0] <= ends[1] <= wider[1]


def test_pictures_and_texts_are_told_by_the_codes(digits):
    X, y, _ = digits
    words = [" ".join(f"w{i}" for i in np.flatnonzero(row > 0.5)) for row in X]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words[:600], y[:600])
    found = estimate_accuracy(model, words[600:1000], y[600:1000], words[1000:])
    assert abs(found.accuracy - model.score(words[1000:], y[1000:])) < 0.1
    alone = LogisticRegression().fit(X[:50], y[:50])
    alone.predict = alone.predict_proba = lambda pictures: np.full((len(pictures), 10), 0.1)
    with pytest.raises(TypeError, match=r"neither features\(\) nor transform\(\)"):
        estimate_accuracy(alone, X[:9].reshape(9, 8, 8), y[:9], X[:5].reshape(5, 8, 8))


@pytest.mark.parametrize("method", METHODS)
def test_real_shifts(digits, method):
    X, y, model = digits
    before = X.copy()
    rng = np.random.default_rng(0)
    found, true, bounds = [], [], []
    for strength in (0.0, 0.1, 0.2, 0.3, 0.4):
        target = X[1350:] + rng.normal(scale=strength, size=X[1350:].shape)
        estimate = estimate_accuracy(model, X[900:1350], y[900:1350], target, method=method)
        assert 0 <= estimate.interval[0] <= estimate.accuracy <= estimate.interval[1] <= 1
        assert (estimate.n_source, estimate.n_target) == (450, 447)
        assert estimate.source_accuracy == model.score(X[900:1350], y[900:1350])
        found.append(estimate.accuracy)
        bounds.append(estimate.lower_bound)
        true.append(model.score(target, y[1350:]))
    errors = np.abs(np.array(found) - true)
    assert errors.mean() < (0.12 if method == "average" else 0.08)  # its probabilities are not calibrated
    assert all(np.array(bounds) < true)
    assert bounds[0] > 0.7
    again = estimate_accuracy(model, X[900:1350], y[900:1350], X[1350:], method=method)
    assert again == estimate_accuracy(model, X[900:1350], y[900:1350], X[1350:], method=method)
    np.testing.assert_array_equal(X, before)


def test_labels_of_text_and_of_unknown_classes(digits):
    X, y, _ = digits
    words = np.array(["low", "high", "new"])[(y > 4).astype(int)]
    model = LogisticRegression(max_iter=1000).fit(X[:300], words[:300])
    plain = estimate_accuracy(model, X[300:500], words[300:500], X[500:700])
    assert plain.source_accuracy == model.score(X[300:500], words[300:500])
    words[300:320] = "new"
    assert estimate_accuracy(model, X[300:500], words[300:500], X[500:700]).source_accuracy < plain.source_accuracy


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (5, 1), (2, 2), (3, 7)])
@pytest.mark.parametrize("method", METHODS)
def test_few_rows_give_finite_numbers(digits, n, m, method):
    X, y, model = digits
    found = estimate_accuracy(model, X[900 : 900 + n], y[900 : 900 + n], X[-m:], method=method, n_resamples=10)
    assert np.isfinite([found.accuracy, *found.interval, found.lower_bound]).all()
    assert found.lower_bound == 0  # so few rows bound nothing


def test_bad_input_is_named(digits):
    X, y, model = digits
    with pytest.raises(TypeError, match=r"no predict_proba.*CalibratedClassifierCV"):
        estimate_accuracy(LinearSVC(random_state=0).fit(X[:50], y[:50]), X, y, X)
    with pytest.raises(ValueError, match="one entry a row"):
        estimate_accuracy(model, X, y[:-1], X)
    with pytest.raises(ValueError, match="labelled rows alone"):
        estimate_accuracy(model, X[:3], [0, None, 1], X)
    with pytest.raises(ValueError, match="at least one"):
        estimate_accuracy(model, X, y, X[:0])
    with pytest.raises(ValueError, match="'method' parameter"):
        estimate_accuracy(model, X, y, X, method="odd")
    with pytest.raises(ValueError, match="columns"):
        accuracy_lower_bound([True], np.full((1, 2), 0.5), np.full((1, 3), 1 / 3))


@pytest.mark.parametrize("method", METHODS)
def test_labels_are_those_of_the_classifier(method):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 2)) + 2 * y[:, None]
    model = LogisticRegression().fit(X[:30], y[:30])
    with pytest.raises(ValueError, match="No label of y is a class of the estimator: y holds '0'"):
        estimate_accuracy(model, X[30:], y[30:].astype(str), X, method=method)
    with pytest.raises(ValueError, match="y holds -1, which marks unlabelled rows"):
        estimate_accuracy(model, X[30:], np.where(np.arange(30) < 5, -1, y[30:]), X, method=method)
    new = np.where(y[30:] == 0, 9, y[30:])  # of a class that it has not learned: it is wrong there
    found = estimate_accuracy(model, X[30:], new, X, method=method, n_resamples=2)
    assert found.source_accuracy <= 2 / 3
    marks = LogisticRegression().fit(X[:30], y[:30] - 1)  # -1 is a class
    assert estimate_accuracy(marks, X[30:], y[30:] - 1, X, method=method, n_resamples=2).source_accuracy > 0.5
    days = np.arange("2020-01-01", "2020-01-04", dtype="M8[D]")[y]
    model = LogisticRegression().fit(X[:30], days[:30])
    assert estimate_accuracy(model, X[30:], days[30:], X, method=method, n_resamples=2).source_accuracy > 0.5
