"""The automatic road: what is tried, in which time, and what is taken."""

import builtins
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits, load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktl import AutoTransferClassifier, AutoTransferRegressor, TransferAdvisor, make_codes_classifier
from sktl.advisor import CandidateFamily, CodesCandidates, FineTuningCandidates, _clock, _search
from sktl.advisor._candidates import Candidate
from sktl.advisor._ensemble import greedy_weights, mean_of, out_of_sample
from sktl.advisor._entry import rungs
from sktl.advisor._repeats import connected, repeats
from sktl.advisor._tasks import ClassTask, ValueTask
from sktl.backbones._engine import TorchEngine
from sktl.exceptions import BadImageError
from sktl.features import CNNCodesTransformer
from sktl.fewshot import ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier
from sktl.training import _trainer
from tests.advisor.conftest import squares


def rows(n=90, seed=0, hard=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, (X[:, 0] * X[:, 1] > 0 if hard else X[:, 0] + X[:, 1] > 0).astype(int)


def status(model, name):
    table = model.leaderboard_
    return table.loc[table["candidate"] == name, "status"].item()


class FakeClock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    fake = FakeClock()
    monkeypatch.setattr(_clock, "now", fake)
    return fake


class Slow(ClassifierMixin, BaseEstimator):
    """A tree, or a constant, whose fit takes so many seconds a hundred rows of a fake clock."""

    def __init__(self, clock, seconds, is_good=True, error=None):
        self.clock = clock
        self.seconds = seconds
        self.is_good = is_good
        self.error = error

    def __sklearn_clone__(self):
        return Slow(self.clock, self.seconds, self.is_good, self.error)

    def fit(self, X, y):
        self.clock.seconds += self.seconds * len(X) / 100
        if self.error is not None:
            raise self.error
        self.model_ = (DecisionTreeClassifier(random_state=0) if self.is_good else DummyClassifier()).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


# What is taken


def test_the_scores_are_those_of_scikit_learn():
    X, y = rows()
    given = [("constant", DummyClassifier()), ("linear", LogisticRegression())]
    model = AutoTransferClassifier(given, ensemble=False).fit(X, y)
    task = ClassTask(y, None, 0, np.unique(y))
    folds = task.folds(3, np.arange(len(X)), np.arange(len(X)))
    expected = (cross_val_predict(LogisticRegression(), X, y, cv=folds) == y).mean()
    table = model.leaderboard_.set_index("candidate")
    assert table.loc["linear", "score"] == pytest.approx(expected) == model.best_score_
    assert table.loc["linear", "std_error"] == pytest.approx(np.sqrt(expected * (1 - expected) / 89), rel=1e-6)
    assert model.best_candidate_ == "linear"
    np.testing.assert_array_equal(model.predict(X), LogisticRegression().fit(X, y).predict(X))


def test_what_is_dearer_has_to_be_ahead_by_more_than_noise():
    rng = np.random.default_rng(0)
    X, y = rows(60)
    y = np.where(rng.random(60) < 0.15, 1 - y, y)
    simple, same = LogisticRegression(C=1.0), LogisticRegression(C=1.01)
    model = AutoTransferClassifier([("simple", simple), ("same", same)], ensemble=False).fit(X, y)
    assert model.best_candidate_ == "simple"
    hard = rows(200, hard=True)
    model = AutoTransferClassifier([("simple", simple), ("tree", DecisionTreeClassifier(random_state=0))]).fit(*hard)
    assert model.best_candidate_ == "tree"


def test_pictures_begin_with_the_recommended_pipeline(network, pictures):
    X, y = pictures
    model = AutoTransferClassifier("codes", backbones=network, image_size=24, ensemble=False).fit(X, y)
    assert model.leaderboard_["candidate"].str.contains("logistic regression on penultimate").any()
    alone = AutoTransferClassifier("codes", backbones=network, image_size=24, n_candidates=1).fit(X, y)
    assert [type(step).__name__ for _, step in alone.best_estimator_.steps] == [
        "CNNCodesTransformer", "Normalizer", "LogisticRegressionLOO",
    ]  # fmt: skip
    expected = make_codes_classifier(CNNCodesTransformer(network, image_size=24)).fit(X, y)
    np.testing.assert_allclose(alone.predict_proba(X), expected.predict_proba(X), atol=1e-5)
    assert isinstance(clone(alone.best_estimator_).fit(X, y), Pipeline)


def test_codes_are_computed_once(network, pictures, monkeypatch):
    seen = []
    fit_transform = CNNCodesTransformer.fit_transform
    monkeypatch.setattr(
        CNNCodesTransformer, "fit_transform", lambda s, X, y=None: seen.append(s) or fit_transform(s, X)
    )
    model = AutoTransferClassifier("codes", backbones=network, image_size=24, cache=None).fit(*pictures)
    assert len(seen) == 1
    assert len(model.leaderboard_) > 5


def test_trainings_are_tried_and_dropped_fold_by_fold(network):
    X, y = squares(60)
    noisy = np.where(np.random.default_rng(0).random(60) < 0.3, np.roll(y, 1), y)
    families = [CodesCandidates(n_layers=1), FineTuningCandidates(strategies=["last", "lora"])]
    model = AutoTransferClassifier(families, backbones=network, image_size=24).fit(X, noisy)
    table = model.leaderboard_.set_index("candidate")
    for name in ("last", "lora"):
        n_folds = int(table.loc[name, "status"].split()[3]) if "of 3 folds" in table.loc[name, "status"] else 3
        assert table.loc[name, "n_rows"] == 20 * n_folds  # what it was scored on
        assert table.loc[name, "fit_seconds"] > 0


@pytest.mark.parametrize("hard", [False, True])
def test_feature_rows(hard):
    X, y = rows(150, hard=hard)
    labels = np.where(y, "yes", "no")
    model = AutoTransferClassifier("codes").fit(X, labels)
    assert model.score(X, labels) > 0.9
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict_proba(X).shape == (150, 2)
    agreed = (model.decision_function(X) > 0) == (model.predict(X) == "yes")
    assert agreed.all()
    assert (model.best_candidate_ == "logistic regression") == (not hard)


def test_texts():
    texts = [f"{a} thing number {i}" for i in range(20) for a in ("good", "bad")]
    model = AutoTransferClassifier().fit(texts, ["yes", "no"] * 20)
    assert model.predict(["a good one", "bad, bad"]).tolist() == ["yes", "no"]
    assert model.best_candidate_ == "logistic regression on words and letters"


def test_long_texts_are_seen_by_words_first(monkeypatch):
    texts = [f"{a} thing number {i}" for i in range(20) for a in ("good", "bad")]
    monkeypatch.setattr("sktl.advisor._text_models.MOST_CHARACTERS", sum(map(len, texts)) - 1)
    model = AutoTransferClassifier().fit(texts, ["yes", "no"] * 20)
    assert model.best_candidate_ == "logistic regression"


@pytest.fixture
def advises(monkeypatch):
    """Have the advisor expect most of one layer, and nearly as much of another."""

    def these(layer, second=None):
        def chosen(layers, *_, **__):
            by_name = {one.part.layer: one for one in layers}
            return by_name[layer], by_name.get(second)

        monkeypatch.setattr("sktl.advisor._decision.most_promising", chosen)

    return these


@pytest.mark.parametrize("layer", ["penultimate", "all"])
def test_the_layer_that_is_advised_comes_first(advises, network, pictures, layer):
    advises(layer)
    options = {"backbones": network, "image_size": 24}
    model = AutoTransferClassifier("codes", n_candidates=1, **options).fit(*pictures)
    assert model.best_candidate_ == f"logistic regression on {layer}"
    model = AutoTransferClassifier([CodesCandidates(n_layers=1)], **options).fit(*pictures)
    tried = set(model.leaderboard_["candidate"])
    assert {"logistic regression on penultimate", f"logistic regression on {layer}", f"k-NN on {layer}"} <= tried


def test_of_two_layers_the_mean_comes_first(advises, network, pictures, tmp_path):
    advises("all", "penultimate")
    (X, y), options = pictures, {"backbones": network, "image_size": 24}
    model = AutoTransferClassifier("codes", n_candidates=1, **options).fit(X, y)
    assert model.best_candidate_ == "logistic regression on all and penultimate"
    members = [make_codes_classifier(CNNCodesTransformer(network, layers=layers, image_size=24))
               for layers in ("all", "penultimate")]  # fmt: skip
    expected = np.mean([member.fit(X, y).predict_proba(X) for member in members], axis=0)
    assert np.allclose(model.predict_proba(X), expected, atol=1e-5)
    assert model.classes_.tolist() == ["noise", "square"]
    assert np.allclose(clone(model.best_estimator_).fit(X, y).predict_proba(X), expected, atol=1e-5)
    table = AutoTransferClassifier("codes", **options).fit(X, y).leaderboard_
    first = "logistic regression on "
    assert {first + "all and penultimate", first + "all", first + "penultimate"} <= set(table["candidate"])


@pytest.mark.parametrize("cache", ["memory", None])
@pytest.mark.parametrize("pair", [("all", "penultimate"), ("penultimate", "all"), ("penultimate", "2"), ("2", "all")])
def test_two_layers_are_one_pass_of_the_network(advises, monkeypatch, network, pictures, pair, cache):
    run, computed = TorchEngine.run, []

    def counted(engine, batches):
        for which, codes in run(engine, batches):
            computed.extend(which)
            yield which, codes

    monkeypatch.setattr(TorchEngine, "run", counted)
    advises(*pair)
    (X, y), item = pictures, CNNCodesTransformer(network, layers="all", image_size=24, engine="torch", cache=cache)
    advised = TransferAdvisor(item).fit(X, y).make_estimator().fit(X, y)
    searched = AutoTransferClassifier("codes", backbones=item, n_candidates=1).fit(X, y).best_estimator_
    assert [name for name, _ in advised[-1].estimators] == [name for name, _ in searched[-1].estimators] == list(pair)
    expected = np.mean([make_codes_classifier(clone(item).set_params(layers=layers)).fit(X, y).predict_proba(X)
                        for layers in (layer if layer == "all" else [layer] for layer in pair)], axis=0)  # fmt: skip
    for model in (advised, searched):
        assert np.allclose(model.predict_proba(X), expected, atol=1e-5)
    new = X // 2 + np.uint8(len(pair[0]) + 2 * len(pair[1]))  # pictures that no store knows
    for model, asked in ((advised, new[:4]), (searched, new[4:8])):
        model.predict_proba(new[8:12])  # the first time checks more
        computed.clear()
        model.predict_proba(asked)
        assert len(computed) == 4


def test_large_data_begin_with_two_layers_too(advises, network):
    advises("all", "penultimate")
    X, y = squares(1000)
    hard = np.where(np.random.default_rng(0).random(1000) < 0.2, np.roll(y, 1), y)
    model = AutoTransferClassifier("codes", backbones=network, image_size=24, n_candidates=1).fit(X, hard)
    assert model.best_candidate_ == "logistic regression on all and penultimate"
    advice = TransferAdvisor(network, image_size=24, similar_from=0).fit(X, hard)
    assert (advice.strategy_, advice.second_layer_) == ("fine-tune", None)  # a training has the layers that it has


def test_a_transformer_of_ones_own():
    texts = [f"{a} thing number {i}" for i in range(20) for a in ("good", "bad")]
    model = AutoTransferClassifier(backbones=CountVectorizer()).fit(texts, ["yes", "no"] * 20)
    assert "logistic on CountVectorizer" in set(model.leaderboard_["candidate"])


def test_values():
    X, _ = rows(120)
    y = X[:, 0] * X[:, 1]
    model = AutoTransferRegressor("codes").fit(X, y)
    assert model.best_strategy_ != "linear"
    assert model.score(X, y) > 0.6
    assert AutoTransferRegressor("codes").fit(X, X @ [1.0, 2, 3, 4]).best_candidate_ == "ridge"


def test_values_of_pictures(network):
    X, _ = squares(60)
    y = X.mean(axis=(1, 2, 3))
    model = AutoTransferRegressor("codes", backbones=network, image_size=24).fit(X, y)
    assert model.score(X, y) > 0.5
    assert model.predict(X[:2]).shape == (2,)


def test_labels_are_carried_over_to_rows_that_differ():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 3)) * 0.5 + 2 * y[:, None]
    X[100:] += 4  # the target is elsewhere
    marked = np.r_[y[:100], np.full(100, -1)]
    model = AutoTransferClassifier(random_state=0).fit(X, marked)
    assert model.best_strategy_ == "adapt"
    assert model.score(X[100:], y[100:]) > 0.9
    assert model.classes_.tolist() == [0, 1]
    same = AutoTransferClassifier("codes").fit(X[:100], np.where(np.arange(100) % 5, y[:100], -1))
    assert same.best_strategy_ != "adapt"


def test_pictures_of_a_domain_without_labels(network):
    X, y = squares(80)
    X[40:] //= 3
    model = AutoTransferClassifier(backbones=network, image_size=24)
    model.fit(X, np.where(np.arange(80) < 40, y, "-1"), sample_domain=np.repeat(["day", "night"], 40))
    assert set(model.leaderboard_["strategy"]) == {"without adaptation", "adapt"}
    assert set(model.predict(X)) <= {"noise", "square"}


def test_domains_that_have_not_moved_are_not_aligned():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    source, target = order[:75], order[75:]
    target = target[y[target] == 0]  # one of three classes is left
    marked = np.r_[y[source], np.full(len(target), -1)]
    model = AutoTransferClassifier(random_state=0).fit(np.vstack([X[source], X[target]]), marked)
    assert not model.leaderboard_["candidate"].str.contains("statistics").any()
    assert model.score(X[target], y[target]) > 0.9
    moved = X[target] + [6, -3, 6, 3]
    model = AutoTransferClassifier(random_state=0).fit(np.vstack([X[source], moved]), marked)
    assert model.leaderboard_["candidate"].str.contains("statistics").any()


def test_an_ensemble_is_taken_only_if_it_is_ahead():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    task = ClassTask(y, None, 0, np.array([0, 1]))
    truth = np.eye(2)[y]
    each = [np.clip(truth + rng.normal(scale=0.7, size=truth.shape), 0.01, 0.99) for _ in range(4)]
    weights = greedy_weights(task, each, np.arange(300))
    assert sum(w > 0 for w in weights) >= 3
    mean = mean_of(each, weights)
    assert task.score(mean, np.arange(300)) > max(task.score(one, np.arange(300)) for one in each)
    honest = out_of_sample(task, each, np.arange(300), seed=0)
    assert np.isfinite(honest).all()
    assert greedy_weights(task, [truth, 1 - truth], np.arange(300)) == [1, 0]


def test_log_losses_are_compared_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    task, rows_ = ClassTask(y, None, 0, np.arange(3)), np.arange(60)
    good = np.stack([rng.dirichlet(np.eye(3)[label] * 8 + 1) for label in y])
    poor = np.stack([rng.dirichlet(np.eye(3)[label] * 1 + 1) for label in y])
    assert log_loss(y, good) < log_loss(y, poor)
    assert task.keeps_log_loss(good, poor, rows_)
    assert not task.keeps_log_loss(poor, good, rows_)
    assert task.keeps_log_loss(good, good, rows_)
    assert ValueTask(y.astype(float), None, 0).keeps_log_loss(poor[:, :1], good[:, :1], rows_)


def test_a_small_lead_must_not_cost_log_loss():
    X, y = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), train_size=50, stratify=y, random_state=1)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    model = AutoTransferClassifier([("linear", linear), ("nearest", nearest)], random_state=1)
    model.fit(X[train], y[train])
    scores = model.leaderboard_.set_index("candidate")["score"]
    assert scores["nearest"] > scores["linear"]  # by luck, and it never says that it is unsure
    assert status(model, "linear") == "taken"
    assert log_loss(y[test], model.predict_proba(X[test])) < 0.8


def test_a_large_lead_may_cost_log_loss():
    X, y = rows(400, hard=True)
    model = AutoTransferClassifier([("linear", LogisticRegression()), ("nearest", KNeighborsClassifier(1))])
    model.fit(X, y)
    assert status(model, "nearest") == "taken"


def test_the_ensemble_predicts_as_its_members():
    X, y = rows(400, hard=True)
    given = [(f"tree {i}", DecisionTreeClassifier(max_features=1, random_state=i)) for i in range(6)]
    model = AutoTransferClassifier(given).fit(X, y)
    assert model.best_strategy_ == "ensemble"
    vote = model.best_estimator_
    expected = np.average([m.predict_proba(X) for m in vote.estimators_], axis=0, weights=vote.weights)
    np.testing.assert_allclose(model.predict_proba(X), expected)
    assert AutoTransferClassifier(given, ensemble=False).fit(X, y).best_strategy_ != "ensemble"


def test_other_scorings():
    X, y = rows(90)
    model = AutoTransferClassifier("codes", scoring="roc_auc").fit(X, y)
    assert 0.9 < model.best_score_ <= 1
    assert AutoTransferRegressor("codes", scoring="neg_mean_absolute_error").fit(X, X[:, 0]).best_score_ <= 0
    with pytest.raises(ValueError, match="scoring='roc_auc' cannot score"):
        AutoTransferClassifier("codes", scoring="roc_auc").fit(X, np.arange(90) % 3)


def test_halving_leaves_candidates_out_on_few_rows():
    X, y = rows(1000)
    given = [("first", LogisticRegression()), *((f"k={k}", KNeighborsClassifier(k)) for k in (1, 3, 5, 15, 45, 135))]
    table = AutoTransferClassifier(given, ensemble=False).fit(X, y).leaderboard_
    assert table["status"].str.startswith("left out after 333 rows").sum() == 4
    assert (table["n_rows"] == 1000).sum() == 3


# Time


def test_the_budget_is_kept(clock):
    X, y = rows(100)
    given = [("cheap", Slow(clock, 1.0, is_good=False)), ("good", Slow(clock, 2.0)), ("dear", Slow(clock, 30.0))]
    model = AutoTransferClassifier(given, time_budget=25).fit(X, y)
    assert clock.seconds <= 25
    assert model.best_candidate_ == "good"
    assert status(model, "dear") == "not tried: no time"


@pytest.mark.parametrize("budget", [3, 5, 8, 13, 21, 40])
def test_no_estimator_that_is_known_to_be_too_slow_is_begun(clock, budget):
    X, y = rows(300)
    given = [(f"{i}", Slow(clock, s, is_good=i > 1)) for i, s in enumerate((0.2, 0.5, 1.0, 3.0, 20.0))]
    AutoTransferClassifier(given, time_budget=budget).fit(X, y)
    assert clock.seconds <= budget + 2


def test_costs_follow_what_fits_have_taken():
    costs = _clock.Costs()
    assert costs.of(10) is None
    costs.note(100, 1.0)
    assert costs.of(50) == pytest.approx(0.5)
    assert costs.of(1000) == pytest.approx(10**1.3)
    costs.note(10, 0.01)  # two fits that show a power of 2
    assert costs.of(1000) == pytest.approx(100.0)
    costs.note(10, 0.9)  # what takes as long for few rows grows with more all the same
    assert costs.of(1000) == pytest.approx(10**0.7)


def test_a_budget_too_small_for_one_candidate(clock):
    X, y = rows(100)
    with pytest.warns(UserWarning, match="time_budget=2 s is too little.*'cheap' was fitted.*5.0 s"):
        model = AutoTransferClassifier([("cheap", Slow(clock, 5.0)), ("other", Slow(clock, 5.0))], time_budget=2).fit(
            X, y
        )
    assert model.best_candidate_ == "cheap"
    assert np.isnan(model.best_score_)
    assert model.predict(X).shape == (100,)


def test_where_the_simplest_takes_too_long_the_cheapest_is_fitted(clock):
    class Own(CandidateFamily):
        def __init__(self, seconds):
            self.seconds = seconds

        def _candidates(self, owner, material):
            pairs = zip(("first", "second", "third"), self.seconds)
            return [Candidate(name, name, i > 0, Slow(clock, seconds)) for i, (name, seconds) in enumerate(pairs)]

    X, y = rows(3000)
    for budget, seconds, taken in (
        (20, (1.0, 0.1, 0.01), "second"),  # 30 s, 3 s and 0.3 s for all rows
        (100, (1.0, 0.1, 0.01), "first"),
        (1, (5.0, 1.0, 2.0), "second"),  # none ends in time
    ):
        clock.seconds = 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = AutoTransferClassifier(Own(seconds), time_budget=budget, ensemble=False).fit(X, y)
        assert model.best_candidate_ == taken
        assert clock.seconds < 1.1 * budget or budget == 1
        clock.seconds = 0.0
        given = [(str(second), Slow(clock, second)) for second in seconds]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = AutoTransferClassifier(given, time_budget=budget, ensemble=False).fit(X, y)
        assert model.best_candidate_ == str(seconds[0])  # what the user lists first


def test_where_codes_took_all_the_time_the_simplest_head_is_still_fitted(clock, network, pictures):
    class Own(CodesCandidates):
        def _candidates(self, owner, material):
            clock.seconds += 100  # as if the network had taken so long
            return super()._candidates(owner, material)

    with pytest.warns(
        UserWarning, match="too little for more than one candidate: 'logistic regression on penultimate'"
    ):
        AutoTransferClassifier(Own(), backbones=network, image_size=24, time_budget=10).fit(*pictures)


def test_training_is_stopped_in_the_middle(clock, network, monkeypatch):
    X, y = squares(60)
    noisy = np.where(np.random.default_rng(0).random(60) < 0.3, np.roll(y, 1), y)
    check = _trainer.check_deadline
    n_steps = []

    def slow():
        clock.seconds += 4
        n_steps.append(0)
        check()

    monkeypatch.setattr(_trainer, "check_deadline", slow)
    families = [CodesCandidates(n_layers=0), FineTuningCandidates(strategies=["full"])]
    model = AutoTransferClassifier(families, backbones=network, image_size=24, time_budget=60).fit(X, noisy)
    assert clock.seconds <= 62
    assert len(n_steps) > 5
    assert status(model, "full") == "stopped: no time"
    assert model.best_candidate_.startswith("logistic regression on ")


def test_an_interrupt_gives_the_best_so_far(clock):
    X, y = rows(100)
    given = [
        ("cheap", Slow(clock, 1.0, is_good=False)), ("good", Slow(clock, 1.0)),
        ("long", Slow(clock, 1.0, error=KeyboardInterrupt())),
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="interrupted: the best candidate so far"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert model.best_candidate_ == "good"
    with pytest.raises(KeyboardInterrupt):  # there is nothing yet
        AutoTransferClassifier(given[2:]).fit(X, y)


class Interrupted(Slow):
    """Another one, whose fit of more than so many rows is interrupted."""

    def __init__(self, clock, seconds, most, is_good=True):
        super().__init__(clock, seconds, is_good)
        self.most = most

    def __sklearn_clone__(self):
        return Interrupted(self.clock, self.seconds, self.most, self.is_good)

    def fit(self, X, y):
        if len(X) > self.most:
            raise KeyboardInterrupt
        return super().fit(X, y)


def test_an_interrupt_of_the_last_fit_gives_what_was_fitted(clock):
    X, y = rows(100)
    given = [("cheap", Slow(clock, 1.0, is_good=False)), ("good", Interrupted(clock, 1.0, most=90))]
    with pytest.warns(UserWarning, match="interrupted: the best candidate so far"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert model.best_candidate_ == "cheap"  # "good" is better, and was not fitted to all rows
    assert status(model, "cheap") == "taken"
    assert status(model, "good") == "scored"
    assert model.predict(X).shape == (100,)


def test_an_interrupt_of_an_ensemble_gives_the_best(monkeypatch):
    X, y = rows(400, hard=True)
    given = [(f"tree {i}", DecisionTreeClassifier(max_features=1, random_state=i)) for i in range(6)]

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_search, "voting", interrupted)
    with pytest.warns(UserWarning, match="interrupted: the best candidate so far"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert model.best_strategy_ == "given"
    assert model.score(X, y) > 0.9


# Bad input


def test_candidates_that_fail_are_reported():
    X, y = rows(60)
    given = [("broken", Slow(FakeClock(), 0, error=RuntimeError("no luck"))), ("linear", LogisticRegression())]
    with pytest.warns(UserWarning, match="'broken' is left out, for it failed: RuntimeError: no luck"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert model.best_candidate_ == "linear"
    assert status(model, "broken") == "failed: RuntimeError: no luck"
    with (
        pytest.warns(UserWarning, match="no luck"),
        pytest.raises(ValueError, match="No candidate could be fitted: broken: failed"),
    ):
        AutoTransferClassifier(given[:1]).fit(X, y)


def test_a_backbone_that_fails_is_reported(network, pictures):
    def broken():
        raise RuntimeError("no such weights here")

    with pytest.warns(UserWarning, match="Left out, .*broken"):
        model = AutoTransferClassifier("codes", backbones=[broken, network], image_size=24).fit(*pictures)
    assert model.failed_backbones_ == {"broken": "no such weights here"}


@pytest.mark.parametrize(
    ("params", "change", "error", "message"),
    [
        ({}, lambda X, y: (X, np.zeros(60)), ValueError, "one class only, 0"),
        ({}, lambda X, y: (X, np.full(60, -1)), ValueError, "no label at all"),
        ({}, lambda X, y: (X, np.linspace(0, 1, 60)), ValueError, "Unknown label type: continuous"),
        ({}, lambda X, y: (X, y[:59]), ValueError, "expected 60, got 59"),
        ({}, lambda X, y: (X, None), ValueError, "requires y"),
        ({"candidates": []}, lambda X, y: (X, y), ValueError, "empty list"),
        ({"candidates": "cods"}, lambda X, y: (X, y), ValueError, "Did you mean 'codes'"),
        ({"candidates": [3]}, lambda X, y: (X, y), TypeError, "got 3 of type int"),
        (
            {"candidates": [LogisticRegression(), LogisticRegression()]},
            lambda X, y: (X, y),
            ValueError,
            "two of the name",
        ),
        ({"candidates": "codes", "cv": 1}, lambda X, y: (X, y), ValueError, "cv"),
        ({"time_budget": 0}, lambda X, y: (X, y), ValueError, "time_budget"),
        ({"backbones": []}, lambda X, y: (X, y), ValueError, "backbones is an empty list"),
    ],
)
def test_bad_input(params, change, error, message):
    X, y = rows(60)
    with pytest.raises(error, match=message):
        AutoTransferClassifier(**params).fit(*change(X, y))


def test_a_score_that_is_no_number_ranks_nothing():
    X, y = rows(60)
    given = [("linear", LogisticRegression()), ("nearest", KNeighborsClassifier())]

    def odd(model, X, y):
        return float("nan") if model.predict_proba(X).max() == 1 else 0.5

    with pytest.warns(UserWarning, match="'nearest' is left out, for it failed: ValueError: its score is nan"):
        model = AutoTransferClassifier(given, scoring=odd).fit(X, y)
    assert (model.best_candidate_, model.best_score_) == ("linear", 0.5)
    with pytest.warns(UserWarning, match="its score is nan") as caught:
        model = AutoTransferClassifier(given, scoring=lambda *_: np.nan, time_budget=60).fit(X, y)
    assert model.best_candidate_ == "linear"
    assert not any("too little" in str(one.message) for one in caught)
    with pytest.warns(UserWarning, match="its score is nan"):
        AutoTransferRegressor([("nearest", KNeighborsRegressor())]).fit(X, X[:, 0] * 1e300)


def test_texts_that_are_missing_are_named():
    texts = [f"{'a fine' if i % 2 else 'a poor'} film, number {i}" for i in range(130)]
    for missing in (None, np.nan):
        for row in (3, 120):
            holed = [*texts[:row], missing, *texts[row + 1 :]]
            for search in (AutoTransferClassifier("codes", n_candidates=1), TransferAdvisor()):
                with pytest.raises(ValueError, match=rf"NaN or None in 1 of 130 rows: {row}\."):
                    search.fit(holed, np.arange(130) % 2)
    model = AutoTransferClassifier("codes", n_candidates=1).fit(texts, np.arange(130) % 2)
    with pytest.raises(ValueError, match="NaN or None in 1 of 3 rows"):
        model.predict([*texts[:2], None])


def test_rows_too_large_to_compute_with_are_said():
    X, y = rows(60)
    for search in (AutoTransferClassifier("codes", n_candidates=1), TransferAdvisor()):
        with pytest.raises(ValueError, match=r"numbers as large as .*e\+200"):
            search.fit(X * 1e200, y)


def test_few_rows_a_class():
    X, y = rows(20)
    y = y.copy()
    y[:2] = 2
    with pytest.warns(UserWarning, match="smallest class has 2 rows, too few for cv=3: .*leaving out one row"):
        model = AutoTransferClassifier("codes").fit(X, y)
    assert model.leaderboard_["n_rows"].max() == 20
    y[1] = 3
    with pytest.warns(UserWarning, match="too few for cv=3"):
        model = AutoTransferClassifier("codes").fit(X, y)
    assert set(model.classes_) == {0, 1, 2, 3}
    with pytest.warns(UserWarning, match="too few to compare"):
        assert len(AutoTransferClassifier("codes").fit(X[:4], np.arange(4)).predict(X)) == 20


def test_rows_that_repeat_do_not_raise_the_scores():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    X, y = np.repeat(X, 3, axis=0), np.repeat(y, 3)
    model = AutoTransferClassifier([("k-NN", KNeighborsClassifier(1)), ("linear", LogisticRegression())]).fit(X, y)
    table = model.leaderboard_.set_index("candidate")
    assert table.loc["k-NN", "score"] < 0.75  # by its own copies each row would be right
    assert repeats(X).tolist() == np.repeat(np.arange(40), 3).tolist()
    assert repeats(["a", "b", "a"]).tolist() == [0, 1, 0]


def test_repeats_in_small_classes_are_left_out_together():
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(20, 3)), 2, axis=0), np.repeat(rng.integers(0, 2, 20), 2)
    y[:2] = 2  # one row, twice
    y[2:6] = 3  # two rows, twice each
    given = [("k-NN", KNeighborsClassifier(1)), ("constant", DummyClassifier())]
    with pytest.warns(
        UserWarning, match="smallest class has rows of 1 group, rows that are the same being one, too few for cv=3"
    ):
        model = AutoTransferClassifier(given).fit(X, y)
    assert model.leaderboard_.set_index("candidate").loc["k-NN", "score"] < 0.75


def test_rows_of_a_group_are_in_one_fold():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 6)
    X = 5 * rng.normal(size=(40, 6))[group] + rng.normal(scale=0.1, size=(240, 6))
    y = rng.integers(0, 2, 40)[group]  # of the group, and of nothing in X
    nearest = [("k-NN", KNeighborsClassifier(1)), ("constant", DummyClassifier())]
    assert AutoTransferClassifier(nearest).fit(X, y).best_score_ == 1.0
    for names in (group, [f"patient {i}" for i in group], pd.Series(group, index=range(5, 245)).astype("category")):
        model = AutoTransferClassifier(nearest).fit(X, y, groups=names)
        assert model.leaderboard_.set_index("candidate").loc["k-NN", "score"] < 0.75
    marked = np.where(rng.random(240) < 0.2, -1, y)
    model = AutoTransferClassifier(nearest).fit(X, marked, groups=group)
    assert model.leaderboard_.set_index("candidate").loc["k-NN", "score"] < 0.75
    values = [("k-NN", KNeighborsRegressor(1)), ("constant", DummyRegressor())]
    scores = [AutoTransferRegressor(values).fit(X, y + 0.5, groups=g).leaderboard_ for g in (None, group)]
    first, second = (table.set_index("candidate").loc["k-NN", "score"] for table in scores)
    assert second < 0.2 < 0.9 < first


def test_groups_and_repeats_are_joined_by_way_of_others():
    assert connected(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 2])).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 1], "groups must have one entry a row: expected 60, got 2"),
        ([None] * 60, "groups is missing .*Every row needs a group"),
        (np.zeros((60, 2)), "groups should be a 1d array, with each row's group"),
    ],
)
def test_malformed_groups(groups, message):
    X, y = rows(60)
    with pytest.raises(ValueError, match=message):
        AutoTransferClassifier("codes").fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=message):
        AutoTransferRegressor("codes").fit(X, X[:, 0], groups=groups)


def test_one_group_is_compared_with_none():
    X, y = rows(60)
    with pytest.warns(UserWarning, match="too few to compare"):
        AutoTransferClassifier("codes").fit(X, y, groups=np.zeros(60))


def test_ten_thousand_classes():
    y = np.repeat(np.arange(10_000), 2)
    X = np.random.default_rng(0).normal(scale=0.01, size=(20_000, 2)) + np.c_[y % 100, y // 100]
    model = AutoTransferClassifier(n_candidates=1, cv=2).fit(X, y)
    assert len(model.classes_) == 10_000
    assert model.best_score_ > 0.9


def test_pictures_that_cannot_be_read_are_all_named(network, pictures, tmp_path):
    X, y = pictures
    paths = []
    for i, picture in enumerate(X):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    assert AutoTransferClassifier("codes", backbones=network, image_size=24).fit(paths, y).score(paths, y) > 0.7
    for i in (3, 7):
        paths[i].write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"2 of 40 .*3\.png.*7\.png") as caught:
        AutoTransferClassifier("codes", backbones=network, image_size=24).fit(paths, y)
    assert set(caught.value.failures) == {3, 7}


# The contract


def test_without_refit_nothing_predicts():
    X, y = rows(60)
    model = AutoTransferClassifier("codes", refit=False).fit(X, y)
    assert model.best_candidate_ in set(model.leaderboard_["candidate"])
    with pytest.raises(ValueError, match="refit=True"):
        model.predict(X)


def test_twice_the_same_and_pickled(network, pictures):
    X, y = pictures
    one, two = (AutoTransferClassifier("codes", backbones=network, image_size=24).fit(X, y) for _ in range(2))
    scores = [m.leaderboard_.set_index("candidate")["score"].to_dict() for m in (one, two)]
    assert scores[0] == scores[1]
    back = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(back.predict_proba(X), one.predict_proba(X))


def test_a_family_of_ones_own():
    class Trees(CandidateFamily):
        name = "trees"

        def _candidates(self, owner, material):
            return [("tree", DecisionTreeClassifier(random_state=0))]

    X, y = rows(150, hard=True)
    model = AutoTransferClassifier([("constant", DummyClassifier()), "trees"]).fit(X, y)
    assert model.best_candidate_ == "tree"
    assert model.best_strategy_ == "trees"


def test_without_pandas(monkeypatch):
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    X, y = rows(60)
    table = AutoTransferClassifier("codes").fit(X, y).leaderboard_
    assert isinstance(table, list)
    assert {"candidate", "score", "status"} <= set(table[0])


def test_progress_and_the_time_left(capsys):
    callback = pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")
    X, y = rows(60)
    model = AutoTransferClassifier("codes", time_budget=50, verbose=1).set_callbacks(callback.ProgressBar())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the bar, where no terminal is
        model.fit(X, y)
    assert "logistic regression, " in capsys.readouterr().out


def test_tasks_score_by_definition():
    rng = np.random.default_rng(0)
    y, outputs = rng.normal(size=50), rng.normal(size=(50, 1))
    task, every = ValueTask(y, None, 0), np.arange(50)
    r2 = 1 - np.square(y - outputs[:, 0]).sum() / np.square(y - y.mean()).sum()
    assert task.score(outputs, every) == pytest.approx(r2)
    lead, error = task.lead(y[:, None], outputs, every)
    assert lead == pytest.approx(1 - r2)
    assert error == pytest.approx(np.std(np.square(y - outputs[:, 0]) / y.var(), ddof=1) / np.sqrt(50))


def test_the_winner_is_written_as_one_network(network, pictures, tmp_path):
    pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")
    X, y = pictures
    search = AutoTransferClassifier("codes", backbones=network, image_size=32, n_candidates=2).fit(X, y)
    search.to_onnx(tmp_path / "model.onnx", preprocess=True)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    shown = X if X.ndim == 4 else np.repeat(X[..., None], 3, axis=-1)
    (logits,) = session.run(None, {"pictures": np.ascontiguousarray(shown.transpose(0, 3, 1, 2))})
    proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert proba == pytest.approx(search.predict_proba(X), abs=0.02)  # scaling rounds single grey levels
    with pytest.raises(FileNotFoundError, match="no folder"):
        search.to_onnx(tmp_path / "nowhere" / "model.onnx")


def test_what_is_no_network_is_not_written(tmp_path):
    trees = ("trees", HistGradientBoostingClassifier(max_iter=3, random_state=0))
    search = AutoTransferClassifier([trees]).fit(*rows())
    with pytest.raises(TypeError, match="HistGradientBoostingClassifier cannot be written"):
        search.to_onnx(tmp_path / "model.onnx")
    with pytest.raises(NotFittedError):
        AutoTransferClassifier().to_onnx(tmp_path / "model.onnx")


# What a user's own candidates are given, and give


class Odd(ClassifierMixin, BaseEstimator):
    """Predicts in a way that no classifier should."""

    def __init__(self, how):
        self.how = how

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        zeros = np.zeros(X.shape[0], dtype=int)
        return {"label": zeros + 7, "between": zeros + 0.5, "fewer": zeros[1:], "table": zeros[:, None]}[self.how]


class OddProba(Odd):
    def predict_proba(self, X):
        proba = np.full((len(X), 2), 0.5)
        proba[::2] = np.nan
        return proba if self.how == "NaN" else np.ones((len(X), 5))


def as_kinds(X):
    import scipy.sparse as sp
    import torch

    yield "data frame", pd.DataFrame(X, columns=list("abcd"), index=[0] * len(X))
    yield "list", X.tolist()
    yield "objects", X.astype(object)
    yield "tensor", torch.as_tensor(X)
    for kind in ("csr_matrix", "csr_array", "csc_matrix", "coo_matrix"):
        yield kind, getattr(sp, kind)(X)


def test_rows_of_every_kind_reach_a_users_own_candidates():
    X, y = rows(60)
    X[30:] = X[:30]  # repeats stay in one fold, whatever holds them
    y[30:] = y[:30]
    given = [("k-NN", KNeighborsClassifier(1)), ("linear", LogisticRegression())]
    expected = AutoTransferClassifier(given).fit(X, y)
    for name, held in as_kinds(X):
        model = AutoTransferClassifier(given).fit(held, y)
        assert model.leaderboard_["score"].tolist() == expected.leaderboard_["score"].tolist(), name
        assert model.leaderboard_["n_rows"].tolist() == [60, 60]
        assert model.predict(held).tolist() == expected.predict(X).tolist()
        values = [("k-NN", KNeighborsRegressor(1)), ("constant", DummyRegressor())]
        values = AutoTransferRegressor(values, ensemble=False).fit(held, y)
        assert values.leaderboard_["n_rows"].tolist() == [60, 60]


def test_a_table_of_text_and_numbers():
    X, y = rows(60)
    table = pd.DataFrame({"a": X[:, 0], "word": np.where(X[:, 1] > 0, "u", "v"), "b": np.where(X[:, 2] > 1, np.nan, 1)})
    columns = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    given = [("trees", make_pipeline(columns, DecisionTreeClassifier(random_state=0))), ("constant", DummyClassifier())]
    model = AutoTransferClassifier(given).fit(table, y)
    assert model.best_candidate_ == "trees"


def test_which_rows_are_the_same():
    X, _ = rows(20)
    X[10:] = X[:10]
    for moved in (X, X + 1e9, X * 1e-12, X.astype(np.float32) * 1e12, np.c_[X, np.full(20, 1e15)]):
        assert repeats(moved).tolist() == [*range(10), *range(10)]
        for name, held in as_kinds(np.resize(moved, (20, 4)).astype(float)):
            assert len(set(repeats(held).tolist())) in (10, 20), name
    assert repeats(np.array([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [0, 0]
    assert repeats([{"a": 1, "b": [2]}, {"b": [2], "a": 1}, {"a": 2}]).tolist() == [0, 0, 1]
    assert repeats(pd.DataFrame({"a": [np.nan, np.nan, 1.0], "b": ["x", "x", "x"]})).tolist() == [0, 0, 1]
    assert repeats([{1}, {1}]).tolist() == [0, 1]  # what cannot be compared is no repeat


def test_rows_far_from_zero_are_compared():
    X, y = rows(60)
    for moved in (X + 1e9, X * 1e-12):
        model = AutoTransferClassifier("codes", n_candidates=2).fit(moved, y)
        assert model.leaderboard_["n_rows"].tolist() == [60, 60]
        assert np.isfinite(model.best_score_)


@pytest.mark.parametrize("how", ["label", "between", "fewer", "table", "NaN", "columns"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_candidate_that_answers_nonsense_is_left_out(how, is_first):
    X, y = rows(60)
    odd = ("odd", OddProba(how) if how in ("NaN", "columns") else Odd(how))
    given = [odd, ("linear", LogisticRegression())] if is_first else [("linear", LogisticRegression()), odd]
    with pytest.warns(UserWarning, match="'odd' is left out, for it failed"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert (model.best_candidate_, model.best_score_ > 0.8) == ("linear", True)
    assert status(model, "odd").startswith("failed: ")


def test_where_nothing_can_be_scored_it_is_said():
    X, y = rows(60)
    with pytest.warns(UserWarning, match="it predicts 7, which is no label of y"):
        model = AutoTransferClassifier([("odd", Odd("label"))]).fit(X, y)
    assert status(model, "odd") == "taken; failed: ValueError: it predicts 7, which is no label of y"
    assert np.isnan(model.best_score_)


def test_labels_with_a_time_zone_are_scored():
    X, y = rows(60)
    days = pd.Series(pd.to_datetime("2020-01-01") + pd.to_timedelta(y, "D")).dt.tz_localize("Europe/Oslo")
    model = AutoTransferClassifier([("prototypes", ProtoNetClassifier())]).fit(X, days)
    assert model.best_score_ > 0.8
    assert model.predict(X[:1])[0] in set(days)


def test_many_classes_are_not_compared_on_a_row_or_two_of_each():
    assert rungs(9000, 12, 100) == [1000, 3000, 9000]
    assert rungs(2000, 12, 100) == [2000]
    y = np.repeat(np.arange(40), 30)
    X = np.random.default_rng(0).normal(scale=0.3, size=(1200, 2)) + np.c_[y % 8, y // 8]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no candidate fails
        AutoTransferClassifier("codes", n_candidates=4, ensemble=False).fit(X, y)


def test_texts_in_a_table_of_one_column():
    texts = [f"{'a fine' if i % 2 else 'a poor'} film, number {i}" for i in range(60)]
    texts[3] = ""
    y = np.arange(60) % 2
    for given in (np.array(texts)[:, None], pd.DataFrame({"said": texts}, index=range(5, 65))):
        model = AutoTransferClassifier("codes", n_candidates=1).fit(given, y)
        assert model.score(given, y) > 0.9
        assert model.predict(["a fine film"]).tolist() == [1]
        assert TransferAdvisor().fit(given, y).strategy_ == "codes"


def test_the_score_is_of_the_labels_that_are_predicted():
    X, y = rows(80)
    with_threshold = FixedThresholdClassifier(LogisticRegression(), threshold=0.98)
    model = AutoTransferClassifier([("threshold", with_threshold)]).fit(X, y)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    right = cross_val_predict(with_threshold, X, y, cv=folds) == y
    assert right.mean() < 0.8
    assert model.best_score_ == pytest.approx(right.mean())
    by_rank = AutoTransferClassifier([("threshold", with_threshold)], scoring="roc_auc").fit(X, y)
    assert by_rank.best_score_ > 0.9  # probabilities stay, where they are what is scored


def test_what_was_not_tried_says_why(clock):
    X, y = rows(60)
    with pytest.warns(UserWarning, match="too few to compare"):
        model = AutoTransferClassifier("codes", n_candidates=2).fit(X[:2], [0, 1])
    assert model.leaderboard_["status"].tolist() == ["taken", "not tried: too few rows that differ"]
    given = [
        ("linear", LogisticRegression()),
        ("late", Slow(clock, 1, error=KeyboardInterrupt())),
        ("k-NN", Odd("label")),
    ]
    with pytest.warns(UserWarning, match="interrupted"):
        model = AutoTransferClassifier(given).fit(X, y)
    assert status(model, "k-NN") == "not tried: the search was interrupted"


class TestManyColumns:
    """Rows of 64 columns and more may be codes, whose unit is one."""

    @staticmethod
    def codes(n=60, seed=0):
        """Return rows of 200 columns: ten loud ones tell the classes, the others are faint noise."""
        rng = np.random.default_rng(seed)
        y = np.arange(n) % 2
        X = 0.05 * rng.normal(size=(n, 200))
        X[:, :10] += rng.normal(size=(n, 10)) + np.where(y, 0.5, -0.5)[:, None]
        return X, y

    def test_the_scale_is_chosen(self):
        (X, y), (others, z) = self.codes(), self.codes(400, seed=1)
        model = AutoTransferClassifier(n_candidates=1).fit(X, y)
        standardised = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
        assert model.best_candidate_ == "logistic regression"
        assert isinstance(model.best_estimator_, FineTunedClassifier)
        assert model.score(others, z) > standardised.score(others, z) + 0.05

    @pytest.mark.parametrize("form", [pd.DataFrame, np.ndarray.tolist, np.asfortranarray])
    def test_in_any_form(self, form):
        X, y = self.codes()
        assert AutoTransferClassifier(n_candidates=1).fit(form(X), y).score(form(X), y) > 0.9

    def test_many_rows_are_standardised_for_choosing_takes_long(self):
        rng = np.random.default_rng(0)
        y = np.arange(800) % 4
        X = rng.normal(size=(800, 64)) + 0.5 * rng.normal(size=(4, 64))[y]
        model = AutoTransferClassifier(n_candidates=1).fit(X, y)
        assert isinstance(model.best_estimator_, Pipeline)

    def test_trees_come_last_of_the_shallow_ones(self):
        X, y = self.codes()
        for n_columns, is_early in ((200, False), (63, True)):
            table = AutoTransferClassifier(["codes"], n_candidates=3).fit(X[:, :n_columns], y).leaderboard_
            tried = set(table.loc[table["score"].notna(), "candidate"])
            assert ("boosted trees" in tried) == is_early

    def test_the_advice_is_the_same(self):
        (X, y), (others, z) = self.codes(), self.codes(400, seed=1)
        advisor = TransferAdvisor().fit(X, y)
        assert advisor.strategy_ == "linear"
        assert advisor.make_estimator().get_params()["strategy"] == "head"
        assert "FineTunedClassifier(strategy='head')" in str(advisor.make_estimator())
        assert advisor.make_estimator().fit(X, y).score(others, z) > 0.9
        unlabelled = np.r_[y[:40], np.full(20, -1)]
        assert TransferAdvisor().fit(X, unlabelled).make_estimator().fit(X, unlabelled).score(others, z) > 0.85


def test_layers_that_are_named_beside_all_do_not_enter_it(advises, network, pictures):
    advises("all", "0")
    X, y = pictures
    advice = TransferAdvisor(network, layers=["all", "0"], image_size=24).fit(X, y)
    assert (advice.layer_, advice.second_layer_) == ("all", "0")
    expected = np.mean([make_codes_classifier(CNNCodesTransformer(network, layers=layers, image_size=24)).fit(X, y)
                        .predict_proba(X) for layers in ("all", "0")], axis=0)  # fmt: skip
    assert np.allclose(advice.make_estimator().fit(X, y).predict_proba(X), expected, atol=1e-5)
