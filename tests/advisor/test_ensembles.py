"""Means of what a search has fitted: when one is taken, and how much each member counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sktl import AutoTransferClassifier
from sktl.advisor._candidates import SHALLOW, SIMPLE, TRAINED, Candidate, View
from sktl.advisor._clock import TimeBudget
from sktl.advisor._ensemble import Ensemble, greedy, with_trainings
from sktl.advisor._entry import Entry, simplest_of_best
from sktl.advisor._search import Search
from sktl.advisor._tasks import ClassTask

N = 120


def task_of(y, scoring=None):
    return ClassTask(y, scoring, 0, np.arange(3))


def outputs_of(y, n_wrong, confidence, seed):
    """Return probabilities of the true class that are `confidence`, but for so many rows."""
    rng = np.random.default_rng(seed)
    shown = y.copy()
    wrong = rng.permutation(len(y))[:n_wrong]
    shown[wrong] = (shown[wrong] + 1) % 3
    return (np.eye(3)[shown] * (confidence - (1 - confidence) / 2) + (1 - confidence) / 2).astype(np.float32)


def entry_of(name, tier, outputs, known=None, views=()):
    known = np.ones(len(outputs), dtype=bool) if known is None else known
    estimator = DecisionTreeClassifier()
    candidate = Candidate(name, "given", tier, estimator, views=views)
    return Entry(candidate, np.where(known[:, None], outputs, np.nan), known, len(outputs))


@pytest.fixture
def y():
    return np.random.default_rng(0).integers(0, 3, N)


def scored_entry(task, *args, **kwargs):
    entry = entry_of(*args, **kwargs)
    entry.score = task.score(entry.outputs, np.flatnonzero(entry.known))
    return entry


@pytest.mark.parametrize(("n_wrong", "weights"), [(40, [2, 1]), (6, [1, 1])])
def test_a_training_that_is_behind_counts_half_as_much(y, n_wrong, weights):
    task, known = task_of(y), np.arange(N) < 60  # one of two folds
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, 20, 0.7, 1))
    trained = scored_entry(task, "full", TRAINED, outputs_of(y, n_wrong, 0.7, 2), known, (View((1.0, 1.0)),))
    (found,) = with_trainings(task, [shallow, trained], shallow)
    assert [weight for _, weight in found.members] == weights
    share = weights[0] / sum(weights)
    expected = share * shallow.outputs[known] + (1 - share) * trained.outputs[known]
    np.testing.assert_allclose(found.entry.outputs[known], expected, rtol=1e-6)
    assert not found.entry.known[~known].any()
    assert found.entry.score == np.mean(expected.argmax(1) == y[known])


def test_the_training_that_helps_most_is_taken(y):
    task = task_of(y)
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, 20, 0.7, 1))
    views = (View((1.0, 1.0)),)
    same = scored_entry(task, "same", TRAINED, shallow.outputs.copy(), views=views)
    other = scored_entry(task, "other", TRAINED, outputs_of(y, 20, 0.7, 2), views=views)
    found = with_trainings(task, [shallow, same, other], shallow)[0]
    assert found.members == [(shallow, 1), (other, 1)]
    assert found.is_better(task, shallow)
    loss = log_loss(y, found.entry.outputs, labels=range(3))
    assert loss < min(log_loss(y, e.outputs, labels=range(3)) for e in (shallow, other))
    (alike,) = with_trainings(task, [shallow, same], shallow)
    assert not alike.is_better(task, shallow)  # nothing is gained


def fitted_on_folds(y, n_wrong_codes, n_wrong):
    """Return a task, a shallow model and trainings that are wrong about so many rows."""
    task, views = task_of(y), (View((1.0, 1.0)),)
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, n_wrong_codes, 0.6, 1))
    outputs = [outputs_of(y, n, 0.6, 2 + i) for i, n in enumerate(n_wrong)]
    return task, shallow, [scored_entry(task, str(i), TRAINED, one, views=views) for i, one in enumerate(outputs)]


@pytest.mark.parametrize(("n_wrong", "weights"), [((32, 34), [2, 1, 1]), ((10, 12), [1, 1, 1])])
def test_a_second_training_joins_the_mean(y, n_wrong, weights):
    task, views = task_of(y), (View((1.0, 1.0)),)
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, 30, 0.6, 1))
    trainings = [
        scored_entry(task, str(i), TRAINED, outputs_of(y, n, 0.6, 2 + i), np.arange(N) < 60 + 30 * i, views)
        for i, n in enumerate(n_wrong)
    ]
    pair, three = with_trainings(task, [shallow, *trainings], shallow)
    assert pair.members[0][0] is three.members[0][0] is shallow
    assert {id(e) for e, _ in three.members} == {id(e) for e in (shallow, *trainings)}
    rows = np.arange(60)  # that all of them have
    assert np.flatnonzero(three.entry.known).tolist() == rows.tolist()
    behind = [np.mean(e.outputs[rows].argmax(1) == y[rows]) < np.mean(shallow.outputs[rows].argmax(1) == y[rows])
              for e in trainings]  # fmt: skip
    assert any(behind) == (weights[0] == 2)
    assert [weight for _, weight in three.members] == weights
    expected = np.average([e.outputs[rows] for e, _ in three.members], axis=0, weights=weights)
    np.testing.assert_allclose(three.entry.outputs[rows], expected, rtol=1e-6)
    losses = [log_loss(y[rows], e.outputs[rows], labels=range(3)) for e in (three.entry, pair.entry, shallow)]
    assert losses == sorted(losses)
    assert pair.is_better(task, shallow)
    assert three.is_better(task, pair.entry)


def test_a_mean_has_two_trainings_at_most(y):
    task, shallow, trainings = fitted_on_folds(y, 30, [25] * 4)
    assert [len(one.members) for one in with_trainings(task, [shallow, *trainings], shallow)] == [2, 3]


def search_of(task, entries):
    material = SimpleNamespace(n=N, problem=SimpleNamespace(is_pictures=True), seconds_a_picture=None)
    owner = SimpleNamespace(cv=3, ensemble=True, refit=True)
    search = Search(owner, material, task, [], np.arange(N), TimeBudget(None), None)
    search.entries = entries
    return search


def fit_to_nothing(entry):
    entry.fitted = DecisionTreeClassifier(random_state=0).fit([[0], [1], [2]], [0, 1, 2])


@pytest.mark.parametrize("n_in_time", [1, 2, 3])
def test_members_that_are_late_are_left_out(y, n_in_time):
    task, shallow, trainings = fitted_on_folds(y, 30, [25, 25])
    search = search_of(task, [shallow, *trainings])
    three = with_trainings(task, search.entries, shallow)[1]
    in_time = [id(e) for e, _ in three.members[:n_in_time]]

    def finish(entry):
        if id(entry) in in_time:
            fit_to_nothing(entry)
        return entry.fitted is not None

    search._finish = finish
    for _ in range(2):  # a second call, after the best could not be fitted, finds no ensembles of the first
        found = search._ensemble(shallow)
        assert sum(e.candidate.strategy == "ensemble" for e in search.entries) >= 2
        if n_in_time == 1:
            assert found is None
        else:
            assert len(found.fitted.estimators_) == n_in_time
        assert simplest_of_best(task, search.entries, N, shallow).candidate.strategy != "ensemble"
    assert [e.candidate.name for e in search.entries[:3]] == ["codes", "0", "1"]
    assert len(search.entries) <= 6


@pytest.mark.parametrize("n_before", [0, 1, 2])
def test_an_interrupt_of_the_last_fits_gives_the_best_that_is_there(y, n_before):
    task, shallow, trainings = fitted_on_folds(y, 60, [5, 5])
    search = search_of(task, [shallow, *trainings])
    shallow.candidate.tier = SIMPLE
    fit_to_nothing(shallow)
    search._first_that_works, search._compare = lambda: shallow, lambda folds: None
    fitted = []

    def finish(entry):
        if entry.fitted is None:
            if len(fitted) == n_before:
                raise KeyboardInterrupt
            fitted.append(entry)
            fit_to_nothing(entry)
        return True

    search._finish = finish
    if n_before == 2:
        assert search.run().candidate.strategy == "ensemble"
        return
    with pytest.warns(UserWarning, match="the best candidate so far"):
        best = search.run()
    assert best is (fitted[0] if fitted else shallow)


def test_a_training_of_few_rows_says_nothing(y):
    task, known = task_of(y), np.arange(N) < 39
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, 20, 0.7, 1))
    trained = scored_entry(task, "full", TRAINED, outputs_of(y, 5, 0.9, 2), known, (View((1.0, 1.0)),))
    assert with_trainings(task, [shallow, trained], shallow) == []
    assert with_trainings(task, [shallow], shallow) == []


def test_better_probabilities_decide_unless_the_score_is_worse(y):
    task = task_of(y)
    best = scored_entry(task, "best", SHALLOW, outputs_of(y, 20, 0.6, 1))
    surer = best.outputs.copy()
    right = surer.argmax(1) == y
    surer[right] = np.eye(3)[y[right]] * 0.94 + 0.02  # right about the same rows and one more, and surer of them
    one_more = np.flatnonzero(~right)[0]
    surer[one_more] = np.eye(3)[y[one_more]] * 0.94 + 0.02
    worse = surer.copy()
    for row in np.flatnonzero(right)[:10]:
        worse[row] = np.roll(worse[row], 1)

    def ensemble(outputs, least_lead):
        return Ensemble(scored_entry(task, "ensemble", TRAINED, outputs), [], least_lead)

    assert ensemble(surer, -1.0).is_better(task, best)
    assert not ensemble(surer, None).is_better(task, best)  # one row in 120 is noise
    assert not ensemble(worse, -1.0).is_better(task, best)
    level = surer.copy()
    level[np.flatnonzero(right)[0]] = np.roll(level[np.flatnonzero(right)[0]], 1)
    assert ensemble(level, -1.0).is_better(task, best)
    assert not ensemble(level, -1.0).is_better(task_of(y, "balanced_accuracy"), best)  # asks for other things


@pytest.mark.parametrize("scoring", [None, "balanced_accuracy"])
def test_a_training_is_taken_alone_only_if_it_is_ahead_of_the_mean_by_more_than_noise(y, scoring):
    task, views = task_of(y, scoring), (View((1.0, 1.0)),)
    alone = scored_entry(task, "full", TRAINED, outputs_of(y, 20, 0.9, 1), views=views)
    right = np.flatnonzero(alone.outputs.argmax(1) == y)

    def mean(n_more_wrong):
        outputs = 0.8 * alone.outputs + 0.2 / 3  # milder, so that its log-loss is higher
        outputs[right[:n_more_wrong]] = np.roll(outputs[right[:n_more_wrong]], 1, axis=1)
        return Ensemble(scored_entry(task, "ensemble", TRAINED, outputs), [], -1.0)

    level, behind = mean(1), mean(12)
    assert log_loss(y, level.entry.outputs, labels=range(3)) > log_loss(y, alone.outputs, labels=range(3))
    assert level.is_better(task, alone)
    assert not behind.is_better(task, alone)
    shallow = scored_entry(task, "codes", SHALLOW, alone.outputs)
    assert not level.is_better(task, shallow)  # a shallow model is left for better probabilities only


def test_a_mean_with_a_constant_is_no_gain():
    # It has a lower log-loss than the ones and zeros of a tree, and is right about the same rows.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4))
    labels = (X[:, 0] * X[:, 1] > 0).astype(int)
    given = [("constant", DummyClassifier()), ("tree", DecisionTreeClassifier(random_state=0))]
    assert AutoTransferClassifier(given).fit(X, labels).best_candidate_ == "tree"


def test_greedy_needs_two_members(y):
    task = task_of(y)
    right = scored_entry(task, "right", SHALLOW, outputs_of(y, 0, 0.99, 1))
    wrong = scored_entry(task, "wrong", SHALLOW, outputs_of(y, 100, 0.9, 2))
    assert greedy(task, [right, wrong], -1.0) is None
    pair = [scored_entry(task, str(i), SHALLOW, outputs_of(y, 30, 0.7, i)) for i in range(2)]
    found = greedy(task, pair, -1.0)
    assert {e.candidate.name for e, _ in found.members} == {"0", "1"}


def test_of_trainings_the_surest_gain_counts(y):
    task, views = task_of(y), (View((1.0, 1.0)),)
    shallow = scored_entry(task, "codes", SHALLOW, outputs_of(y, 40, 0.7, 1))
    few = np.arange(N) < 40
    sure = scored_entry(task, "sure", TRAINED, outputs_of(y, 10, 0.8, 2), views=views)
    lucky = outputs_of(y, 10, 0.8, 2)
    lucky[few] = np.eye(3)[y[few]] * 0.7 + 0.1
    lucky[np.flatnonzero(few)[:3]] = np.roll(lucky[np.flatnonzero(few)[:3]], 1, axis=1)
    lucky = scored_entry(task, "lucky", TRAINED, lucky, few, views)
    both = [with_trainings(task, [shallow, one], shallow)[0].entry for one in (sure, lucky)]
    gains = [task.gained(e.outputs, shallow.outputs, np.flatnonzero(e.known)) for e in both]
    expected = (sure, lucky)[int(np.argmax([gain - error for gain, error in gains]))]
    assert with_trainings(task, [shallow, sure, lucky], shallow)[0].members[1][0] is expected
    for (gain, error), e in zip(gains, both):
        rows = np.flatnonzero(e.known)
        one, other = (np.log(each[rows, y[rows]].astype(float)) for each in (e.outputs, shallow.outputs))
        assert gain == pytest.approx(np.mean(one - other))
        assert error == pytest.approx(np.std(one - other, ddof=1) / np.sqrt(len(rows)))


@pytest.mark.parametrize(
    ("estimator", "is_of_labels"),
    [
        (LinearSVC(random_state=0), True), (DecisionTreeClassifier(random_state=0), False),
        (DecisionTreeClassifier(max_depth=2, random_state=0), False),
        (FixedThresholdClassifier(DecisionTreeClassifier(max_depth=2, random_state=0), threshold=0.97), True),
    ],
)  # fmt: skip
def test_a_model_whose_probabilities_are_not_its_answers_is_no_member(estimator, is_of_labels):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    labels = (X[:, 0] + 0.5 * rng.normal(size=N) > 0).astype(int)
    task = ClassTask(labels, None, 0, np.array([0, 1]))
    entry = Entry(Candidate("mine", "given", SHALLOW, estimator, is_given=True))
    model = estimator.fit(X[::2], labels[::2])
    outputs = task.outputs(model, X[1::2], is_given=True)
    entry.note_labels(task, model, X[1::2], outputs)
    assert entry.is_of_labels == is_of_labels
    every = task.outputs(model, X, is_given=True)
    entry.outputs, entry.known, entry.n_rows = every, np.ones(N, dtype=bool), N
    entry.score = task.score(every, np.arange(N))
    rest = [scored_entry(task, str(i), SHALLOW, two_classes(labels, i)) for i in range(2)]
    found = greedy(task, [entry, *rest], -1.0)
    names = {e.candidate.name for e, _ in found.members}
    assert names == {"0", "1"} or not is_of_labels


def two_classes(labels, seed):
    outputs = outputs_of(labels, 30, 0.7, seed)
    return outputs[:, :2] / outputs[:, :2].sum(1, keepdims=True)


def test_trees_that_are_sure_are_members():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    labels = (X[:, 0] * X[:, 1] > 0).astype(int)
    given = [(f"tree {i}", DecisionTreeClassifier(max_features=1, random_state=i)) for i in range(6)]
    model = AutoTransferClassifier(given).fit(X, labels)
    assert model.best_strategy_ == "ensemble"
    assert model.best_estimator_.predict_proba(X).shape == (400, 2)
