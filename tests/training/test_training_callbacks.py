"""Callbacks: skorch's pass through, scikit-learn's see epochs."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from sktl._callbacks import CallbackSupportMixin
from sktl.training import ClassificationStep, EpochTasks, TensorBatches, TrainingNet
from sktl.training import _hooks as hooks_module


@pytest.fixture
def train(mlp, rows):
    def run(*callbacks, module=None, **options):
        net = TrainingNet(
            module if module is not None else mlp(),
            ClassificationStep(),
            callbacks=list(callbacks),
            **{"max_epochs": 3, "lr": 0.02, **options},
        )
        return net.fit(TensorBatches(rows, 10), TensorBatches(rows, 16, shuffle=False))

    return run


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, net, **kwargs):
        self.calls.append("train_begin")

    def on_epoch_begin(self, net, **kwargs):
        self.calls.append("epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self.calls.append(("epoch_end", net.module_.training))

    def on_train_end(self, net, **kwargs):
        self.calls.append("train_end")


def test_epoch_hooks_are_called_and_batch_hooks_cost_nothing(train, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("no callback listens to batches")

    monkeypatch.setattr(hooks_module, "BatchHooks", refuse)
    recorder = Recorder()
    net = train(recorder, EarlyStopping(), LRScheduler("StepLR", step_size=1))
    assert recorder.calls == ["train_begin", *["epoch_begin", ("epoch_end", False)] * 3, "train_end"]
    assert net.history[-1, "batches"] == [{}]


def test_batch_hooks_are_called_where_a_callback_listens(train):
    class Batches(Callback):
        def __init__(self):
            self.seen = []

        def on_batch_end(self, net, batch, training, y_pred, loss, **kwargs):
            self.seen.append((training, len(batch[0]), tuple(y_pred.shape), loss.ndim))

    callback = Batches()
    net = train(callback, max_epochs=1)
    sizes = [(True, 10)] * 5 + [(False, 16)] * 3 + [(False, 2)]
    assert callback.seen == [(training, n, (n, 3), 0) for training, n in sizes]
    losses = net.history[-1, "batches", :, ("train_loss", "train_batch_size")]
    assert np.average([a for a, _ in losses], weights=[b for _, b in losses]) == pytest.approx(
        net.history[-1, "train_loss"]
    )
    assert not net.module_._forward_hooks


def test_early_stopping_ends_training_and_restores_the_best(mlp, train, rows, weights_of):
    class WorseAndWorse(Callback):
        def on_epoch_end(self, net, **kwargs):
            kept.append(weights_of(net.module_))
            net.history.record("score", -float(abs(len(net.history) - 2)))

    kept, module = [], mlp()
    stopping = EarlyStopping("score", patience=2, lower_is_better=False, load_best=True)
    net = train(WorseAndWorse(), stopping, module=module, max_epochs=20)
    assert len(net.history) == 4
    assert torch.equal(weights_of(module), kept[1])


def test_the_users_interrupt_is_not_swallowed(mlp, rows):
    def step(module, batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TrainingNet(mlp(), step).fit(TensorBatches(rows, 10))


def test_checkpoints_save_and_load(train, tmp_path, mlp, weights_of):
    module = mlp()
    net = train(Checkpoint(dirname=tmp_path, monitor="valid_loss_best"), module=module, verbose=0)
    assert {path.name for path in tmp_path.iterdir()} >= {"params.pt", "optimizer.pt", "history.json"}
    fresh = TrainingNet(mlp(seed=5), ClassificationStep()).initialize()
    fresh.load_params(f_params=tmp_path / "params.pt", f_optimizer=tmp_path / "optimizer.pt")
    assert net.history[-1, "valid_loss_best"]
    assert torch.equal(weights_of(fresh.module_), weights_of(module))


@pytest.mark.parametrize("step_every", ["epoch", "batch"])
def test_skorchs_own_scheduler_rules_where_there_is_no_schedule(train, step_every):
    net = train(LRScheduler("StepLR", step_size=1, gamma=0.5, step_every=step_every), lr=0.4)
    expected = [0.4, 0.2, 0.1] if step_every == "epoch" else [0.4 / 2**n for n in (5, 10, 15)]
    np.testing.assert_allclose(net.history[:, "lr"], expected)


@pytest.mark.parametrize("use_caching", [True, False])
@pytest.mark.parametrize("on_train", [True, False])
def test_epoch_scoring_scores(train, rows, use_caching, on_train):
    def accuracy(net, X, y):
        if y is None:  # without the cache skorch passes the batches
            X, y = rows[0], rows[1].numpy()
        return float((net.predict(X) == y).mean())

    net = train(
        EpochScoring(accuracy, name="acc", on_train=on_train, use_caching=use_caching, lower_is_better=False),
        classify=True,
    )
    assert len(net.history[:, "acc"]) == 3
    if not (on_train and use_caching):
        expected = (net.predict(rows[0]) == rows[1].numpy()).mean()
        assert net.history[-1, "acc"] == pytest.approx(expected)


def test_sklearn_scorers_and_batch_scoring(train):
    net = train(
        EpochScoring("accuracy", lower_is_better=False, name="acc"),
        BatchScoring("accuracy", lower_is_better=False, name="batch_acc"),
        classify=True,
    )
    assert net.history[-1, "acc"] == pytest.approx(net.history[-1, "batch_acc"])


def test_gradient_callbacks_see_gradients_before_the_update(train, mlp, rows, weights_of):
    by_callback, by_option = mlp(), mlp()
    train(GradientNormClipping(0.1), module=by_callback)
    train(module=by_option, clip_norm=0.1)
    assert torch.equal(weights_of(by_callback), weights_of(by_option))


def test_verbose_prints_a_line_an_epoch(train, capsys):
    train(verbose=2)
    out = capsys.readouterr().out
    assert "valid_loss" in out
    assert len(out.strip().splitlines()) == 5
    train()
    assert capsys.readouterr().out == ""


class EpochEstimator(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """What an estimator of the library does to show its epochs."""

    _parameter_constraints: dict = {}  # noqa: RUF012

    def __init__(self, max_epochs=3, learning_rate=0.05):
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = nn.Linear(X.shape[1], len(self.classes_))
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)

        def fitted():
            return {"module_": copy.deepcopy(module)}

        net = TrainingNet(module, ClassificationStep(), max_epochs=self.max_epochs, lr=self.learning_rate)
        batches = TensorBatches((np.float32(X), codes), 10)
        net.fit(batches, progress=EpochTasks(self, context, X, y, fitted=fitted))
        self.module_, self.n_iter_ = module, net.clock_.n_epochs
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.classes_[self.module_(torch.as_tensor(X).float()).argmax(1).numpy()]


class Tasks:
    """Records the tasks that end, with their position in the tree."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.begun, self.ended = [], []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.estimator_name, context.task_name))
        return self.stop_after is not None and self.ended.count(self.ended[-1]) == self.stop_after


EPOCH = ("EpochEstimator", "epoch")


@pytest.fixture
def callback():
    return pytest.importorskip("sklearn.callback", reason="callbacks are those of scikit-learn 1.9 and later")


@pytest.fixture
def data(rows):
    return rows[0].double().numpy(), np.array(["a", "b", "c"])[rows[1]]


def wrapped(how):
    if how == "alone":
        return EpochEstimator(), 3
    pipeline = make_pipeline(StandardScaler(), EpochEstimator())
    if how == "pipeline":
        return pipeline, 3
    return GridSearchCV(pipeline, {"epochestimator__max_epochs": [2, 3]}, cv=2, error_score="raise"), 2 * (2 + 3)


@pytest.mark.parametrize("how", ["alone", "pipeline", "grid"])
def test_each_epoch_is_a_task(data, how, callback):
    estimator, n_epochs = wrapped(how)
    tasks = Tasks()
    estimator.set_callbacks(tasks).fit(*data)
    if how == "grid":
        n_epochs += estimator.best_params_["epochestimator__max_epochs"]  # the refit
    assert tasks.begun.count(EPOCH) == tasks.ended.count(EPOCH) == n_epochs


def test_a_callback_may_stop_the_training(data, callback):
    estimator = EpochEstimator(max_epochs=10).set_callbacks(Tasks(stop_after=2)).fit(*data)
    assert estimator.n_iter_ == 2


@pytest.mark.parametrize("how", ["alone", "pipeline", "grid"])
def test_progress_bars_show_epochs(data, how, capsys, callback):
    pytest.importorskip("rich", reason="rich draws the progress bars that are tested")
    estimator, _ = wrapped(how)
    estimator.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(*data)
    out = capsys.readouterr().out
    assert "EpochEstimator - fit" in out
    assert "100%" in out


@pytest.mark.parametrize("how", ["alone", "pipeline", "grid"])
def test_scoring_monitor_scores_every_epoch(data, how, callback):
    estimator, _ = wrapped(how)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    inner = {"alone": lambda e: e, "pipeline": lambda e: e[-1], "grid": lambda e: e.estimator[-1]}[how](estimator)
    inner.set_callbacks(monitor)
    estimator.fit(*data)
    logs = monitor.get_logs(select="all")
    logged = [row for log in (logs if isinstance(logs, list) else [logs]) for row in log.data]
    scores = [row["accuracy"] for row in logged if row["task_name"] == "epoch"]
    expected = {"alone": 3, "pipeline": 3, "grid": 10}[how]
    assert len(scores) == expected if how != "grid" else len(scores) >= expected
    if how == "alone":
        assert scores[-1] == pytest.approx(estimator.score(*data))


def test_fits_without_callbacks_or_with_failing_ones_leave_no_trace(data):
    estimator = EpochEstimator().fit(*data)
    assert not [name for name in vars(estimator) if "callback" in name]
