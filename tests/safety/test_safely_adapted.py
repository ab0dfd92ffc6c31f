"""Adaptation that falls back: where it helps it is kept, where it does harm it is not, without labels of the target."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktl.adaptation import DomainAdaptedClassifier
from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly
from sktl.reweighting import ReweightedClassifier
from sktl.safety import Evidence, SafelyAdaptedClassifier
from sktl.safety._evidence import gathered, neighbour_agreement, neighbours
from sktl.safety._harm import OFFSET, STEEPNESS, expected_gain, harm_risk
from sktl.safety._referees import overlap, verdicts

RARE = (*[0] * 9, 1)  # of ten target rows one is of class 1


def two_domains(n=200, moved=4.0, kept=(0, 1), seed=0):
    """Return rows of two classes, marks, and the truth; the target is moved, and may lack a class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=2 * n)
    truth[n:] = rng.choice(kept, size=n)
    X = rng.normal(size=(2 * n, 3)) + np.array([4.0, 0, 0]) * truth[:, None]
    X[n:] += [moved, 1, 0]
    return X, np.where(np.arange(2 * n) < n, truth, -1), truth


def aligned():
    return make_pipeline(DomainStandardizer(), LabelledOnly(LogisticRegression()))


def test_adaptation_that_helps_is_kept():
    X, y, truth = two_domains(moved=8.0)
    model = SafelyAdaptedClassifier(aligned(), random_state=0).fit(X, y)
    assert model.decision_ == "adapted"
    assert model.estimator_ is model.adapted_
    assert model.harm_risk_ < 0.1
    assert model.estimated_gain_ > 0.1
    plain, adapted = (np.mean(m.predict(X[200:]) == truth[200:]) for m in (model.baseline_, model))
    assert adapted > plain + 0.2
    alone = clone(aligned()).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_adaptation_that_does_harm_is_not():
    X, y, truth = two_domains(moved=0.0, kept=RARE)  # to align the means is wrong then
    model = SafelyAdaptedClassifier(aligned(), random_state=0).fit(X, y)
    adapted = np.mean(model.adapted_.predict(X[200:]) == truth[200:])
    assert adapted < 0.85
    assert model.decision_ == "baseline"
    assert model.estimator_ is model.baseline_
    assert model.harm_risk_ > 0.5
    assert np.mean(model.predict(X[200:]) == truth[200:]) > 0.9


def test_baseline_learns_the_labelled_rows_alone():
    X, y, _ = two_domains()
    own = LogisticRegression(C=0.3)
    model = SafelyAdaptedClassifier(aligned(), baseline=own).fit(X, y)
    expected = clone(own).fit(X[:200], y[:200])
    np.testing.assert_allclose(model.baseline_.coef_, expected.coef_)
    source = SafelyAdaptedClassifier(aligned()).fit(X, y).baseline_
    np.testing.assert_allclose(source[-1].coef_, LogisticRegression().fit(X[:200], y[:200]).coef_)


def test_risk_limits_decide():
    X, y, _ = two_domains()
    for limit, decision in ((0.0, "baseline"), (1.0, "adapted")):
        assert SafelyAdaptedClassifier(aligned(), max_risk=limit).fit(X, y).decision_ == decision
    X, y, _ = two_domains(moved=0.0, kept=RARE)
    assert SafelyAdaptedClassifier(aligned(), max_risk=1.0).fit(X, y).decision_ == "adapted"


def test_accuracy_comes_with_an_interval():
    X, y, truth = two_domains(n=400, moved=1.0)
    model = SafelyAdaptedClassifier(aligned(), random_state=0).fit(X, y)
    found = model.estimated_accuracy_
    accuracy = np.mean(model.predict(X[400:]) == truth[400:])
    assert found.lower_bound <= found.accuracy
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert found.interval[0] <= accuracy <= found.interval[1]
    assert found.n_target == 400


def test_neighbours_are_the_nearest_rows():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(40, 3)), np.zeros((15, 3))]  # fifteen equal rows too
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    distance = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    near = neighbours(X)
    assert near.shape == (55, 10)
    assert not (near == np.arange(55)[:, None]).any()
    found = np.take_along_axis(distance, near, axis=1)
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(distance, axis=1)[:, :10], atol=1e-7)


def test_agreement_is_kappa():
    near = np.array([[1], [0], [3], [2]])
    assert neighbour_agreement(near, np.array([0, 0, 1, 1])) == 1
    assert neighbour_agreement(near, np.array([0, 1, 0, 1])) == -1  # none agrees, half would by chance
    assert neighbour_agreement(near, np.array([1, 1, 1, 1])) == 0
    assert neighbour_agreement(np.empty((1, 0), dtype=int), np.array([1])) == 0


def test_referees_have_learned_the_source_alone():
    X, _, truth = two_domains(moved=0.0)
    forest, nearest = verdicts(X[:200], truth[:200], X[200:], 0)
    alone = RandomForestClassifier(100, random_state=0).fit(X[:200], truth[:200])
    np.testing.assert_array_equal(forest, alone.predict(X[200:]))
    scaled = [(rows - rows.mean(axis=0)) / rows.std(axis=0) for rows in (X[:200], X[200:])]
    distance = np.linalg.norm(scaled[1][:, None] - scaled[0][None], axis=2)
    votes = truth[:200][np.argsort(distance, axis=1)[:, :5]]
    np.testing.assert_array_equal(nearest, (votes.mean(axis=1) > 0.5).astype(int))


def test_aligned_referee_sees_through_another_scale():
    X, _, truth = two_domains(moved=0.0)
    forest, nearest = verdicts(X[:200], truth[:200], 30 - 20 * X[200:].clip(-5, 9) * [-1, 1, 1], 0)
    assert np.mean(nearest == truth[200:]) > 0.9 > np.mean(forest == truth[200:])


def test_overlap_is_what_a_linear_classifier_cannot_tell():
    X, _, _ = two_domains(moved=0.0, seed=1)
    assert overlap(X[:200, 2:], X[200:, 2:]) > 0.8
    assert overlap(X[:200], X[200:] + 30) == 0
    assert overlap(X[:200], X[200:202]) == 0  # too few rows to tell
    scaled = StandardScaler().fit(X[:200])
    rows, is_target = scaled.transform(X + np.r_[np.zeros((200, 3)), np.ones((200, 3))]), np.arange(400) >= 200
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    told = cross_val_predict(LogisticRegression(C=0.1), rows, is_target, cv=folds, method="decision_function")
    assert np.isclose(overlap(X[:200], X[200:] + 1), 2 - 2 * roc_auc_score(is_target, told))


def test_evidence_counts_rows_by_hand():
    X, y, truth = two_domains(n=60, moved=2.0)
    baseline, adapted = aligned().fit(X[:60], truth[:60]), aligned().fit(X, y)
    found = gathered(baseline, adapted, X[:60], truth[:60], X[60:], 0)
    plain, other = baseline.predict(X[60:]), adapted.predict(X[60:])
    forest, nearest = verdicts(X[:60], truth[:60], X[60:], 0)
    assert found.disagreement == np.mean(plain != other)
    assert abs(found.referee) <= found.disagreement
    # the forest learns the rows in another order, so it may say otherwise of a few
    assert abs(found.referee - (np.mean(forest == other) - np.mean(forest == plain))) < 0.1
    assert np.isclose(found.aligned_referee, np.mean(nearest == other) - np.mean(nearest == plain))


def test_risk_grows_with_what_speaks_against():
    good = Evidence(disagreement=0.4, referee=0.2, aligned_referee=0.1, overlap=0.64, neighbourhood=0.3)
    bad = Evidence(disagreement=0.4, referee=-0.2, aligned_referee=-0.1, overlap=0.64, neighbourhood=-0.3)
    same = Evidence(disagreement=0.005, referee=-0.005, aligned_referee=0.0, overlap=1.0, neighbourhood=-0.3)
    assert harm_risk(good, 0.01) < 0.2 < 0.8 < harm_risk(bad, 0.01)
    assert harm_risk(same, 0.01) == 0  # they cannot differ by more
    assert -0.4 <= expected_gain(bad) < 0 < expected_gain(good) <= 0.4
    assert harm_risk(bad, 0.0) > harm_risk(bad, 0.05)
    weight = 0.25 + 0.75 * 0.8
    by_hand = 1 / (1 + np.exp(STEEPNESS * (weight * 0.2 + 0.3 * 0.1 + 0.5 * 0.4 * 0.3) - OFFSET))
    assert np.isclose(harm_risk(good, 0.01), by_hand)


def test_neighbours_have_no_say_where_two_agree_nowhere():
    # weights of classes where domains do not overlap: another label for every row, and neighbours who share it
    nowhere = Evidence(disagreement=1.0, referee=-0.1, aligned_referee=0.0, overlap=0.0, neighbourhood=0.9)
    somewhere = replace(nowhere, disagreement=0.5)
    assert harm_risk(nowhere, 0.01) > 0.4 > 0.1 > harm_risk(somewhere, 0.01)


def test_a_referee_far_away_is_still_heard():
    far = Evidence(disagreement=0.6, referee=-0.6, aligned_referee=0.34, overlap=0.0, neighbourhood=0.41)
    assert harm_risk(far, 0.01) > 0.1 > harm_risk(replace(far, referee=0.2), 0.01)


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), CORALAligner(), LabelledOnly(LogisticRegression())),
        ReweightedClassifier(LogisticRegression()),
        DomainAdaptedClassifier(loss="mcc", max_epochs=3, random_state=0),
        make_pipeline(DomainStandardizer(), LabelledOnly(LinearSVC(random_state=0))),
    ],
    ids=["pipeline", "reweighted", "network", "without probabilities"],
)
@pytest.mark.parametrize("labels", ["numbers", "text"])
def test_works_with_what_adapts(estimator, labels):
    X, y, _ = two_domains(n=60, moved=1.0)
    if labels == "text":
        y = np.array([str(label) if label >= 0 else None for label in y], dtype=object)
    model = SafelyAdaptedClassifier(estimator, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(X, y)
    assert model.decision_ in ("adapted", "baseline")
    assert 0 <= model.harm_risk_ <= 1
    assert set(model.predict(X)) <= set(model.classes_.tolist())
    assert hasattr(model, "predict_proba") == hasattr(estimator, "predict_proba")


def test_text_and_sparse_rows():
    words = ["fine plot", "dull plot", "fine actors", "dull actors"] * 10
    texts = [*words, *(text.replace("plot", "battery").replace("actors", "screen") for text in words)]
    truth = np.tile([1, 0, 1, 0], 20)
    y = np.where(np.arange(80) < 40, truth, -1)
    model = make_pipeline(TfidfVectorizer(), ReweightedClassifier(LogisticRegression()))
    safe = SafelyAdaptedClassifier(model, random_state=0).fit(texts, y)
    assert safe.score(texts[40:], truth[40:]) > 0.9
    X = TfidfVectorizer().fit_transform(texts)
    assert sparse.issparse(X)
    again = SafelyAdaptedClassifier(ReweightedClassifier(LogisticRegression()), random_state=0).fit(X, y)
    assert 0 <= again.harm_risk_ <= 1


def test_domains_are_handed_on():
    X, y, _ = two_domains(n=60)
    domain = np.repeat(["summer", "winter"], 60)
    model = SafelyAdaptedClassifier(aligned(), random_state=0).fit(X, y, sample_domain=domain)
    assert model.adapted_[0].domains_.tolist() == ["summer", "winter"]
    assert model.baseline_[0].domains_.tolist() == ["source", "target"]
    named = SafelyAdaptedClassifier(
        DomainAdaptedClassifier(max_epochs=2, target_domain="winter", random_state=0), target_domain="winter"
    )
    assert named.fit(X, y, sample_domain=domain).evidence_ is not None
    with pytest.raises(TypeError, match="takes no sample_domain"):
        SafelyAdaptedClassifier(LabelledOnly(LogisticRegression())).fit(X, y, sample_domain=domain)


def test_same_seed_gives_the_same():
    X, y, _ = two_domains(n=60)
    state = np.random.get_state()[1].copy()
    first, second = (SafelyAdaptedClassifier(aligned(), random_state=3).fit(X, y) for _ in range(2))
    assert first.evidence_ == second.evidence_
    assert first.estimated_accuracy_ == second.estimated_accuracy_
    np.testing.assert_array_equal(state, np.random.get_state()[1])


def test_without_a_target_the_baseline_stays():
    X, _, truth = two_domains(n=60)
    with pytest.warns(UserWarning, match="there is no target"):
        model = SafelyAdaptedClassifier(aligned()).fit(X, truth)
    assert (model.decision_, model.adapted_, model.evidence_) == ("baseline", None, None)
    assert np.isnan(model.harm_risk_)


def test_in_a_grid_search():
    X, y, _ = two_domains(n=60)
    model = SafelyAdaptedClassifier(aligned(), random_state=0)
    search = GridSearchCV(model, {"max_risk": [0.2, 0.5], "estimator__labelledonly__estimator__C": [0.1, 1.0]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    assert search.best_estimator_.decision_ in ("adapted", "baseline")


def test_answers_of_unknown_classes_are_said_to_count_against():
    X, y, _ = two_domains(n=60)
    X[90:] += 20  # rows of no class
    network = DomainAdaptedClassifier(unknown_label=7, unknown_share=0.5, max_epochs=2, random_state=0)
    with pytest.warns(UserWarning, match="may answer 7, a class that no source row has"):
        SafelyAdaptedClassifier(network, random_state=0).fit(X, y)


def test_few_rows_one_prediction_and_missing_values():
    X, y, _ = two_domains(n=60)
    constant = make_pipeline(
        DomainStandardizer(), LabelledOnly(DummyClassifier(random_state=0))
    )  # one class for every row
    model = SafelyAdaptedClassifier(constant, random_state=0).fit(X, y)
    assert (model.harm_risk_, model.evidence_.disagreement) == (0, 0)
    few = np.r_[0:6, 60:62]
    found = SafelyAdaptedClassifier(ReweightedClassifier(LogisticRegression()), random_state=0).fit(X[few], y[few])
    ends = [found.harm_risk_, found.estimated_accuracy_.accuracy, *found.estimated_accuracy_.interval]
    assert np.isfinite(ends).all()
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    tree = LabelledOnly(HistGradientBoostingClassifier(max_iter=5, random_state=0))
    assert 0 <= SafelyAdaptedClassifier(tree, random_state=0).fit(holes, y).harm_risk_ <= 1


def test_bad_input_is_named():
    X, y, _ = two_domains(n=20)
    with pytest.raises(ValueError, match="holds no label"):
        SafelyAdaptedClassifier(aligned()).fit(X, np.full(40, -1))
    with pytest.raises(ValueError, match="one entry a row"):
        SafelyAdaptedClassifier(aligned()).fit(X, y[:-1])
    with pytest.raises(ValueError, match="max_risk"):
        SafelyAdaptedClassifier(aligned(), max_risk=2.0).fit(X, y)
    with pytest.raises(ValueError, match="baseline"):
        SafelyAdaptedClassifier(aligned(), baseline="none").fit(X, y)
