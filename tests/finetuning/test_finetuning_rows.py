"""Fine-tuned estimators on feature rows: scikit-learn's manners."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring, LRScheduler  # noqa: F401 - they are what users pass

from sktl.finetuning import STRATEGIES, FineTunedClassifier, FineTunedRegressor
from sktl.training import DivergenceError


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(240, 12, n_informative=8, n_classes=3, random_state=0)
    return X, np.array(["a", "b", "c"], dtype=object)[y]


def quick(**params):
    return FineTunedClassifier(**{"max_epochs": 5, "random_state": 0, **params})


class TestClassifier:
    @pytest.mark.parametrize("strategy", list(STRATEGIES))
    def test_strategies(self, strategy, table):
        X, y = table
        model = quick(strategy=strategy, max_epochs=15).fit(X[:160], y[:160])
        proba = model.predict_proba(X[160:])
        assert np.abs(proba.sum(1) - 1).max() < 1e-12
        assert model.score(X[160:], y[160:]) > 0.6
        assert set(model.predict(X)) <= {"a", "b", "c"}
        assert (model.classes_[model.decision_function(X).argmax(1)] == model.predict(X)).all()

    def test_random_state_fixes_everything(self, table):
        results = [quick(mixup=0.2, random_state=seed).fit(*table).predict_proba(table[0]) for seed in (0, 0, 1)]
        assert np.array_equal(results[0], results[1])
        assert not np.array_equal(results[0], results[2])
        assert not np.array_equal(*(quick(random_state=None).fit(*table).predict_proba(table[0]) for _ in range(2)))

    def test_pickle_and_clone(self, table):
        model = quick().fit(*table)
        again = pickle.loads(pickle.dumps(model))
        assert np.array_equal(again.predict_proba(table[0]), model.predict_proba(table[0]))
        assert not hasattr(clone(model), "classes_")

    def test_weights(self, table):
        X, y = table
        weight = (y != "c").astype(float)
        without = quick(strategy="head").fit(X[y != "c"], y[y != "c"])
        weighted = quick(strategy="head").fit(X, y, sample_weight=weight)
        assert np.allclose(weighted.predict_proba(X)[:, :2], without.predict_proba(X), atol=0.05)
        heavy = quick(class_weight={"a": 1, "b": 1, "c": 1000}).fit(X, y)
        assert (heavy.predict(X) == "c").mean() > (quick().fit(X, y).predict(X) == "c").mean()

    def test_y_is_never_written_to(self, table):
        X, y = table[0].copy(), table[1].copy()
        X.setflags(write=False), y.setflags(write=False)
        quick(early_stopping=True).fit(X, y)

    def test_early_stopping_returns_to_the_best(self, table):
        model = quick(early_stopping=True, max_epochs=60, n_iter_no_change=3, learning_rate=0.05, batch_size=8).fit(
            *table
        )
        losses = [row["valid_loss"] for row in model.history_]
        assert model.n_iter_ == len(losses) < 60
        assert "valid_accuracy" in model.history_[0]

    def test_weights_are_those_of_the_best_epoch(self, table):
        X, y = table
        model = quick(strategy="full", early_stopping=True, max_epochs=30, n_iter_no_change=3, learning_rate=0.1)
        assert model.fit(X[::2], y[::2], validation=(X[1::2], y[1::2])).best_epoch_ < model.n_iter_
        kept = model.history_[model.best_epoch_ - 1]["valid_loss"]
        assert log_loss(y[1::2], model.predict_proba(X[1::2])) == pytest.approx(kept, rel=1e-4)
        assert quick(strategy="full").fit(X, y).best_epoch_ is None

    def test_warm_start_goes_on(self, table):
        X, y = table
        model = quick(warm_start=True, strategy="full", max_epochs=1, schedule="constant").fit(X, y)
        losses = [model.history_[0]["train_loss"]]
        for _ in range(3):
            losses.append(model.fit(X, y).history_[0]["train_loss"])
        assert losses == sorted(losses, reverse=True)
        with pytest.raises(ValueError, match="labels that were not there before: 'd'"):
            model.fit(X, np.where(y == "c", "d", y))

    def test_partial_fit(self, table):
        X, y = table
        model = quick(strategy="full").partial_fit(X[:60], y[:60], classes=["a", "b", "c"])
        for _ in range(10):
            model.partial_fit(X, y)
        assert model.n_iter_ == len(model.history_) == 11
        assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
        again = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
        assert again.n_iter_ == 12
        with pytest.raises(ValueError, match="labels that were not there before: 'new'"):
            model.partial_fit(X[:2], ["a", "new"])
        with pytest.raises(ValueError, match="classes="):
            model.partial_fit(X[:2], ["a", "b"], classes=["a", "b"])

    def test_partial_fit_of_a_head_trains_the_head_alone(self, table):
        model = quick(strategy="head").partial_fit(*table).partial_fit(*table)
        assert set(model._learned.tensors) == {"head.weight", "head.bias"}

    def test_ema_and_smoothing(self, table):
        X, y = table
        smooth = quick(label_smoothing=0.3, max_epochs=30).fit(X, y).predict_proba(X).max(1).mean()
        assert smooth < quick(max_epochs=30).fit(X, y).predict_proba(X).max(1).mean()
        assert not np.array_equal(quick(ema=0.9).fit(X, y).predict_proba(X), quick().fit(X, y).predict_proba(X))

    def test_divergence_says_where(self, table):
        model = quick(learning_rate=1e30, optimizer="sgd", schedule="constant")
        with pytest.raises(DivergenceError, match=r"epoch \d+, step \d+, with learning rate"):
            model.fit(*table)
        assert not hasattr(model, "classes_")

    def test_learning_rate_finder(self, table):
        model = quick(strategy="full")
        display = model.find_learning_rate(*table, n_steps=40)
        assert len(display.learning_rates) == len(display.losses) > 10
        assert 1e-6 < display.suggestion < 1
        assert not hasattr(model, "classes_")
        pytest.importorskip("matplotlib", reason="the finder's curve is drawn by matplotlib, an optional package").use(
            "Agg"
        )
        assert display.plot(name="full").ax_.get_xscale() == "log"
        with pytest.raises(ValueError, match="solved, not trained"):
            quick(strategy="head").find_learning_rate(*table)

    def test_monitor_sees_epochs_in_a_grid_search(self, table):
        callback = pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")
        monitor = callback.ScoringMonitor(scoring="accuracy")
        model = quick(max_epochs=2, strategy="full").set_callbacks(monitor)
        GridSearchCV(model, {"learning_rate": [1e-3, 1e-2]}, cv=2, refit=False).fit(*table)
        rows = [row for log in monitor.get_logs(select="all") for row in log.data]
        assert sum(row["task_name"] == "epoch" for row in rows) == 8
        assert all(0 <= row["accuracy"] <= 1 for row in rows if row["task_name"] == "epoch")

    def test_grid_over_strategies_in_a_pipeline(self, table):
        pipeline = make_pipeline(StandardScaler(), quick(max_epochs=3))
        grid = {"finetunedclassifier__strategy": ["head", "full", "lp-ft"]}
        search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*table)
        assert search.best_score_ > 0.6

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"strategy": "lpft"}, "strategy"),
            ({"early_stopping": True, "validation_fraction": 0.001}, "a class would be left out"),
            ({"freeze_bn": "always"}, "freeze_bn"),
            ({"cutmix": 1.0}, "cutmix"),
        ],
    )
    def test_bad_parameters(self, params, message, table):
        with pytest.raises(ValueError, match=message):
            quick(**params).fit(*table)

    def test_pictures_where_rows_were_fitted(self, table):
        model = quick().fit(*table)
        with pytest.raises(ValueError, match="was fitted on feature rows, but X holds pictures"):
            model.predict(np.zeros((2, 8, 8), np.uint8))
        with pytest.raises(ValueError, match="was fitted on feature rows"):
            model.predict(["a.jpg", "b.jpg"])


class TestRegressor:
    @pytest.mark.parametrize("strategy", ["head", "full", "lp-ft"])
    def test_diabetes(self, strategy):
        X, y = load_diabetes(return_X_y=True)
        model = FineTunedRegressor(strategy=strategy, random_state=0).fit(X[:300], y[:300])
        assert model.score(X[300:], y[300:]) > 0.4

    def test_several_targets_and_losses(self):
        X, y = load_diabetes(return_X_y=True)
        Y = np.c_[y, X[:, 2] * 1e6 + 5]
        for loss in ("squared_error", "absolute_error", "huber"):
            model = FineTunedRegressor(loss=loss, random_state=0, max_epochs=5, mixup=0.1).fit(X, Y)
            assert model.predict(X).shape == Y.shape
            assert model.score(X, Y) > 0.6
        assert FineTunedRegressor(max_epochs=1).fit(X, Y[:, :1]).predict(X).shape == (len(X), 1)

    def test_partial_fit_and_early_stopping(self):
        X, y = load_diabetes(return_X_y=True)
        model = FineTunedRegressor(random_state=0).partial_fit(X, y).partial_fit(X, y)
        assert model.n_iter_ == 2
        assert model.score(X, y) > 0.4
        with pytest.raises(ValueError, match="2 targets, but 1"):
            model.partial_fit(X, np.c_[y, y])
        assert FineTunedRegressor(early_stopping=True, max_epochs=3).fit(X, y).history_[0]["valid_loss"] > 0


def test_float64_rows_of_any_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(1e9, 1, (60, 3))
    y = X[:, 0] > 1e9
    assert quick(max_epochs=2).fit(X, y).score(X, y) > 0.9
    assert quick(max_epochs=2).fit(torch.from_numpy(X), y).score(X, y) > 0.9


class TestSparseRows:
    def test_are_what_dense_ones_are(self):
        rng = np.random.default_rng(0)
        X = sparse.random(40, 12, density=0.3, random_state=rng, format="csr")
        y = np.where(X.toarray()[:, 0] + X.toarray()[:, 1] > 0.3, "much", "little")
        for estimator in (quick(strategy="head"), quick(max_steps=5, random_state=0)):
            thin, dense = (clone(estimator).fit(rows, y) for rows in (X, X.toarray()))
            assert np.array_equal(thin.predict_proba(X), dense.predict_proba(X.toarray()))
            assert np.array_equal(thin.predict_proba(X.toarray()), thin.predict_proba(X.tocoo()))
        values = FineTunedRegressor(strategy="head").fit(X, X.toarray()[:, 0])
        assert np.allclose(values.predict(X), X.toarray()[:, 0], atol=0.05)
