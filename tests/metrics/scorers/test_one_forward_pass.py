"""Scorers ask a network for each output of the same rows once, and their values do not change by it."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sktl._codes import codes
from sktl._draws import OwnDraws
from sktl._kept_outputs import keeping_outputs, original
from sktl.adaptation import DomainAdaptedClassifier
from sktl.density_ratios import density_ratio
from sktl.fewshot import ProtoNetClassifier
from sktl.metrics import (
    DOMAIN_SCORERS,
    CheatingOracleScorer,
    DomainScorer,
    ImportanceWeightedScorer,
    LabelledScorer,
    MultipleScorers,
    ReverseValidationScorer,
    get_domain_scorer,
)
from sktl.metrics.scorers._domain_scorer import DomainRows
from sktl.model_selection import StratifiedDomainKFold

N = 60
NAMES = [name for name in DOMAIN_SCORERS if name not in ("domain_default", "reverse_validation")]


class Counting(nn.Module):
    """Counts the rows that pass in evaluation mode."""

    seen = 0

    def __init__(self, n_in):
        super().__init__()
        with OwnDraws(0):
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(n_in, 8), nn.ReLU())

    def forward(self, X):
        if not self.training:
            Counting.seen += len(X)
        return self.body(X)


def marked(truth):
    return np.where(np.arange(len(truth)) < N, truth, -1)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    truth = np.arange(2 * N) % 3
    X = rng.normal(size=(2 * N, 5)).astype(np.float32) + truth[:, None]
    X[N:] += 0.5
    return X, marked(truth), truth


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    truth = np.arange(2 * N) % 2
    X = rng.integers(0, 128, (2 * N, 8, 8)).astype(np.uint8)
    X[truth == 1, :, :4] += 100
    return X, marked(truth), truth


@pytest.fixture(scope="module", params=["rows", "own", "pictures", "pipeline", "search", "prototypes"])
def case(request):
    """A fitted estimator, and the rows on which it is scored."""
    kind = request.param
    X, y, _ = request.getfixturevalue("pictures" if kind == "pictures" else "rows")
    if kind == "own":
        model = DomainAdaptedClassifier(max_epochs=2, random_state=0)
    elif kind == "prototypes":
        return ProtoNetClassifier().fit(X[:N], y[:N]), X, y
    else:
        n_in = 64 if kind == "pictures" else 5
        given = {"image_size": 8} if kind == "pictures" else {}
        model = DomainAdaptedClassifier(Counting(n_in), max_epochs=2, random_state=0, **given)
    if kind == "pipeline":
        model = make_pipeline(PCA(5), FunctionTransformer(), model)
    if kind == "search":
        model = GridSearchCV(model, {"loss": ["mcc"]}, cv=StratifiedDomainKFold(2), scoring="accuracy", error_score=0.0)
    return model.fit(X, y), X, y


def before(name, estimator, X, y):
    """The score as it is from outputs that are asked for one by one."""
    scorer = get_domain_scorer(name)
    return float(scorer._score(estimator, scorer._rows(X, y)))


def counted(function):
    Counting.seen = 0
    return function(), Counting.seen


def test_scores_are_what_they_are_without_keeping_to_the_bit(case):
    model, X, y = case
    expected = {name: before(name, model, X, y) for name in NAMES}
    assert MultipleScorers(NAMES)(model, X, y) == expected
    for name in ("source_target", "entropy", "labelled"):
        assert get_domain_scorer(name)(model, X, y) == expected[name]


@pytest.mark.parametrize("kind", ["rows", "pictures", "pipeline"])
def test_each_row_passes_once_for_any_number_of_scorers(kind, request):
    X, y, _ = request.getfixturevalue("pictures" if kind == "pictures" else "rows")
    n_in = 64 if kind == "pictures" else 5
    network = DomainAdaptedClassifier(Counting(n_in), max_epochs=1, random_state=0, image_size=8 if n_in > 5 else None)
    model = make_pipeline(FunctionTransformer(), network) if kind == "pipeline" else network
    model.fit(X, y)
    part = X[:N]  # the two domains are of one size, and batches are filled up
    model.predict_proba(part)
    _, once = counted(lambda: model.predict_proba(part))
    for scorer in (get_domain_scorer(), MultipleScorers(NAMES)):
        scorer(model, X, y)  # tries small batches once in a process
        _, seen = counted(lambda: scorer(model, X, y))  # noqa: B023
        assert seen == 2 * once
    _, apart = counted(lambda: before("domain_default", model, X, y))
    assert apart == 4 * once


def test_density_ratio_is_fitted_once_for_scorers_that_share_it(rows, monkeypatch):
    X, y, _ = rows
    model = LogisticRegression().fit(X[:N], y[:N])
    calls = []
    name = "sktl.metrics.scorers._importance_weighted.density_ratio"
    monkeypatch.setattr(name, lambda *a, **k: calls.append(k) or density_ratio(*a, **k))
    MultipleScorers(["source_target", "importance_weighted", "deep_embedded_validation"])(model, X, y)
    assert len(calls) == 1
    other = ImportanceWeightedScorer(C=0.1)
    MultipleScorers({"a": "importance_weighted", "b": other, "c": ImportanceWeightedScorer(random_state=1)})(
        model, X, y
    )
    assert len(calls) == 4


def test_a_search_takes_several_scorers(rows):
    X, y, _ = rows
    grid = {"learning_rate": [0.01, 0.1]}
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0)
    search = GridSearchCV(
        model, grid, scoring=MultipleScorers(["source_target", "entropy"]), refit="entropy", cv=StratifiedDomainKFold(2)
    ).fit(X, y)
    one = GridSearchCV(model, grid, scoring=get_domain_scorer("entropy"), cv=StratifiedDomainKFold(2)).fit(X, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_entropy"], one.cv_results_["mean_test_score"])
    assert "mean_test_source_target" in search.cv_results_


def test_the_estimator_itself_stays_as_it_is(case):
    model, X, y = case
    names = set(vars(model))
    MultipleScorers()(model, X, y)
    assert set(vars(model)) == names
    assert not any(name.startswith("_kept") for name in names)


def test_a_view_answers_as_the_estimator_and_forgets_at_the_end(rows):
    X, y, _ = rows
    model = DomainAdaptedClassifier(Counting(5), max_epochs=1, random_state=0).fit(X, y)
    with keeping_outputs(model) as view:
        assert isinstance(view, DomainAdaptedClassifier)
        assert original(view) is model
        for name in ("predict", "predict_proba", "predict_log_proba", "decision_function", "features"):
            np.testing.assert_array_equal(getattr(view, name)(X), getattr(model, name)(X))
        assert view.score(X[:N], y[:N]) == model.score(X[:N], y[:N])
        proba = view.predict_proba(X)
        proba[:] = 0  # a scorer may write into what it was given
        np.testing.assert_array_equal(view.predict_proba(X), model.predict_proba(X))
        with keeping_outputs(view) as inner:
            assert inner is view
        assert not hasattr(clone(view), "_kept_of")
    _, seen = counted(lambda: view.predict_proba(X))
    assert seen > 0


def test_outputs_of_other_rows_are_other_outputs(rows):
    X, y, _ = rows
    model = LogisticRegression().fit(X[:N], y[:N])
    with keeping_outputs(model) as view:
        for start in range(20):  # objects that go, and whose place in memory the next one takes
            part = X[start : start + 5].copy()
            np.testing.assert_array_equal(view.predict_proba(part), model.predict_proba(part))
            del part


def test_what_is_no_estimator_of_scikit_learn_is_asked_itself(rows):
    X, y, _ = rows

    class Duck:
        classes_ = np.arange(3)

        def predict_proba(self, X):
            return np.full((len(X), 3), 1 / 3)

    with keeping_outputs(Duck()) as view:
        assert type(view) is Duck
        assert original(view) is view
    assert get_domain_scorer("entropy")(Duck(), X, y) == pytest.approx(-np.log(3))


def test_a_callable_of_the_user_gets_the_estimator_itself(rows):
    X, y, _ = rows
    model = LogisticRegression().fit(X[:N], y[:N])
    given = []
    LabelledScorer(lambda estimator, X, y, sample_weight=None: given.append(estimator) or 0.5)(model, X, y)
    ImportanceWeightedScorer(lambda e, X, y, sample_weight=None: given.append(e) or 0.5)(model, X, y)
    assert all(one is model for one in given)
    assert len(given) == 2


def test_reverse_validation_trains_a_clone_of_the_estimator_itself(rows):
    X, y, _ = rows
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, y)
    scorer = ReverseValidationScorer()
    assert scorer(model, X, y) == float(scorer._score(model, scorer._rows(X, y)))


def test_codes_of_a_pipeline_are_kept(rows):
    X, y, _ = rows
    calls = []

    def noted(X):
        calls.append(len(X))
        return X * 2

    model = make_pipeline(FunctionTransformer(noted), LogisticRegression()).fit(X[:N], y[:N])
    with keeping_outputs(model) as view:
        calls.clear()
        np.testing.assert_array_equal(codes(view, X, "test"), X * 2)
        np.testing.assert_array_equal(view.predict_proba(X), view[-1].predict_proba(X * 2))
        view.predict(X)
        assert calls == [len(X)]
        assert view.named_steps["functiontransformer"] is model[0]
    assert model.predict(X[:3]).shape == (3,)


def test_features_and_logits_of_one_pass_are_those_of_two(pictures):
    X, y, _ = pictures
    model = DomainAdaptedClassifier(image_size=32, max_epochs=1, steps_per_epoch=1, random_state=0, bottleneck=8)
    model.fit(X[::3], y[::3])
    for n in (3, 13):
        features, logits = model._of_one_pass(X[:n], "features", "logits")
        np.testing.assert_array_equal(features, model.features(X[:n]))
        np.testing.assert_array_equal(logits, model._outputs(X[:n]))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("scorers", "error", "words"),
    [
        ([], ValueError, "at least one"),
        (["entropy", "entropy"], ValueError, "entropy more than once"),
        (["entropi"], ValueError, "entropy"),
        ({"a": CheatingOracleScorer([0])}, TypeError, "without true labels"),
        ({"a": "entropy", "b": len}, TypeError, r"scorers\['b'\]"),
        ("entropy", ValueError, "scorers"),
    ],
)
def test_wrong_scorers_are_refused(rows, scorers, error, words):
    X, y, _ = rows
    model = LogisticRegression().fit(X[:N], y[:N])
    with pytest.raises(error, match=words):
        MultipleScorers(scorers)(model, X, y)


def test_rows_that_one_of_the_scorers_needs_are_named(rows):
    X, y, _ = rows
    model = LogisticRegression().fit(X[:N], y[:N])
    with pytest.raises(ValueError, match="LabelledScorer needs labelled rows"):
        MultipleScorers(["entropy", "labelled"])(model, X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="needs y"):
        MultipleScorers(["entropy"])(model, X, None)


def test_a_scorer_of_ones_own_keeps_its_form(rows):
    X, y, _ = rows

    class Certain(DomainScorer):
        def __init__(self, unlabelled=-1):
            self.unlabelled = unlabelled

        def _score(self, estimator, rows):
            assert isinstance(rows, DomainRows)
            return estimator.predict_proba(rows.X_target).max(axis=1).mean()

    model = LogisticRegression().fit(X[:N], y[:N])
    assert Certain()(model, X, y) == model.predict_proba(X[N:]).max(axis=1).mean()
    assert MultipleScorers([Certain()])(model, X, y) == {"Certain": Certain()(model, X, y)}
