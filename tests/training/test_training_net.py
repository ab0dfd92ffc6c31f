"""The loop: bounds, modes, determinism, averages, divergence, going on."""

import json
import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sktl.training import (
    ClassificationStep,
    DivergenceError,
    TensorBatches,
    TrainingNet,
    load_training_state,
    one_cycle,
    pack,
    training_state,
    unpack,
)
from sktl.training._meter import LossMeter


def fitted(module, rows, *, n_valid=0, batch_size=10, seed=0, **options):
    net = TrainingNet(module, ClassificationStep(), **{"max_epochs": 3, "lr": 0.02, **options})
    valid = TensorBatches(rows, 16, shuffle=False) if n_valid else None
    return net.fit(TensorBatches(rows, batch_size, seed=seed), valid)


@pytest.mark.parametrize(
    ("bounds", "n_steps", "n_epochs"),
    [
        ({"max_epochs": 3}, 15, 3),
        ({"max_epochs": 3, "max_steps": 7}, 7, 2),
        ({"max_epochs": None, "max_steps": 12}, 12, 3),
        ({"max_epochs": 2, "max_steps": 100}, 10, 2),
        ({"max_epochs": 0}, 0, 0),
    ],
)
def test_training_stops_exactly_at_its_bounds(mlp, rows, bounds, n_steps, n_epochs):
    net = fitted(mlp(), rows, **bounds)
    assert (net.clock_.n_steps, net.clock_.n_epochs, len(net.history)) == (n_steps, n_epochs, n_epochs)
    assert sum(row["train_batch_count"] for row in net.history) == n_steps


def test_training_without_a_bound_is_refused(mlp, rows):
    with pytest.raises(ValueError, match="would never end"):
        fitted(mlp(), rows, max_epochs=None)


def test_history_holds_what_an_epoch_says(mlp, rows):
    net = fitted(mlp(), rows, n_valid=50, schedule="one_cycle")
    assert [row["epoch"] for row in net.history] == [1, 2, 3]
    for row in net.history:
        assert {"train_loss", "valid_loss", "train_loss_best", "valid_loss_best", "lr", "dur"} <= set(row)
    losses = net.history[:, "valid_loss"]
    best = [loss < min(losses[:i], default=math.inf) for i, loss in enumerate(losses)]
    assert net.history[:, "valid_loss_best"] == best
    expected = [0.02 * one_cycle(step, 15) for step in (4, 9, 14)]
    np.testing.assert_allclose(net.history[:, "lr"], expected)
    json.dumps(net.history.to_list())


def test_the_schedule_moves_the_rate_at_every_step(mlp, rows):
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    groups = lambda m: [{"params": m[0].parameters(), "lr": 0.1}, {"params": m[2].parameters(), "lr": 1.0}]  # noqa: E731
    net = TrainingNet(
        mlp(), ClassificationStep(), optimizer=Spy, param_groups=groups, schedule="cosine", max_epochs=None, max_steps=8
    )
    net.fit(TensorBatches(rows, 10))
    factors = np.array([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    np.testing.assert_allclose(rates, factors[:, None] * [0.1, 1.0])
    with pytest.raises(ValueError, match="length"):
        TrainingNet(mlp(), ClassificationStep(), schedule="cosine").fit(iter([rows]))


def test_random_state_fixes_every_bit_and_only_it(mlp, rows, weights_of):
    ends = {}
    for name, options in {"a": {}, "same": {}, "dropout": {"random_state": 1}, "order": {"seed": 1}}.items():
        module = mlp(dropout=0.5)
        fitted(module, rows, **options)
        ends[name] = weights_of(module)
    assert torch.equal(ends["a"], ends["same"])
    assert not torch.equal(ends["a"], ends["dropout"])
    assert not torch.equal(ends["a"], ends["order"])


def test_generators_are_restored_after_an_error_too(mlp, rows):
    before = torch.get_rng_state()

    def step(module, batch):
        torch.rand(3)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        TrainingNet(mlp(), step).fit(TensorBatches(rows, 10))
    assert torch.equal(torch.get_rng_state(), before)


def test_frozen_batch_norm_stays_as_it_is(make_module, rows):
    def make():
        return make_module((nn.Linear, 4, 8), (nn.BatchNorm1d, 8), (nn.Linear, 8, 8), (nn.BatchNorm1d, 8))

    seen = []

    def step(module, batch):
        seen.append([layer.training for layer in module])
        return ClassificationStep()(module, batch)

    module = make()
    TrainingNet(module, step, max_epochs=2, frozen=lambda m: [m[1]]).fit(
        TensorBatches(rows, 10), TensorBatches(rows, 50)
    )
    during_epoch = [[True, False, True, True]] * 5 + [[False] * 4]
    assert seen == during_epoch * 2
    assert torch.equal(module[1].running_mean, torch.zeros(8))
    assert not torch.equal(module[3].running_mean, torch.zeros(8))
    assert not module.training


def test_validation_takes_no_gradient_and_moves_nothing(mlp, rows, weights_of):
    modes = []

    def valid_step(module, batch):
        modes.append((module.training, torch.is_grad_enabled()))
        return ClassificationStep()(module, batch)

    alone, validated = mlp(dropout=0.3), mlp(dropout=0.3)
    fitted(alone, rows)
    net = fitted(validated, rows, n_valid=50, valid_step=valid_step)
    assert set(modes) == {(False, False)}
    assert torch.equal(weights_of(alone), weights_of(validated))
    expected = ClassificationStep()(validated, rows).item()
    assert net.history[-1, "valid_loss"] == pytest.approx(expected, rel=1e-5)


def test_unfreezing_between_epochs_works(mlp, rows):
    from skorch.callbacks import Callback

    module = mlp()
    module[0].requires_grad_(False)
    first = module[0].weight.clone()
    seen = []

    class Unfreeze(Callback):
        def on_epoch_begin(self, net, **kwargs):
            seen.append(torch.equal(module[0].weight, first))
            net.module_[0].requires_grad_(len(seen) == 2)

    fitted(module, rows, callbacks=[Unfreeze()])
    assert seen == [True, True, False]


def test_the_average_is_validated_and_ends_in_the_module(mlp, rows, weights_of):
    raw = mlp()
    fitted(raw, rows)
    module = mlp()
    net = fitted(module, rows, n_valid=50, ema_decay=0.9)
    assert net.history[-1, "valid_loss"] == pytest.approx(ClassificationStep()(module, rows).item(), rel=1e-5)
    assert not torch.equal(weights_of(module), weights_of(raw))
    net.average_.show(False)
    assert torch.equal(weights_of(module), weights_of(raw))  # the trained path is that of a run without average


def test_partial_fit_goes_on_where_fit_stopped(mlp, rows, weights_of):
    whole, parts = mlp(dropout=0.3), mlp(dropout=0.3)
    options = {"ema_decay": 0.8, "schedule": "one_cycle", "max_epochs": 4}
    fitted(whole, rows, **options)
    net = TrainingNet(parts, ClassificationStep(), lr=0.02, **options)
    batches = TensorBatches(rows, 10)
    net.partial_fit(batches, epochs=2).partial_fit(batches, epochs=1).resume(batches)
    assert torch.equal(weights_of(parts), weights_of(whole))
    assert [row["epoch"] for row in net.history] == [1, 2, 3, 4]
    assert net.resume(batches).clock_.n_epochs == 4  # nothing is left


def test_warm_start_keeps_the_optimizer_and_restarts_the_schedule(mlp, rows):
    net = TrainingNet(mlp(), ClassificationStep(), schedule="linear", max_epochs=2, lr=0.1, warm_start=True)
    batches = TensorBatches(rows, 10)
    net.fit(batches)
    optimizer = net.optimizer_
    net.fit(batches)
    assert net.optimizer_ is optimizer
    assert net.clock_.n_epochs == 4
    assert net.history[:2, "lr"] == net.history[2:, "lr"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_packed_state_resumes_bit_for_bit(mlp, rows, weights_of, optimizer):
    options = {
        "optimizer": optimizer,
        "schedule": "cosine",
        "max_epochs": 4,
        "ema_decay": 0.9,
        "lr": 0.02,
        "micro_batch_size": 8,
    }
    whole, half, rest = (mlp(dropout=0.3, seed=seed) for seed in (0, 0, 9))
    expected = TrainingNet(whole, ClassificationStep(), **options).fit(TensorBatches(rows, 10))
    first = TrainingNet(half, ClassificationStep(), **options)
    first.partial_fit(TensorBatches(rows, 10), epochs=2)
    tensors, plain = pack(training_state(first))
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    state = unpack(tensors, json.loads(json.dumps(plain)))
    first.partial_fit(TensorBatches(rows, 10), epochs=1)  # the state is a copy: this does not move it
    second = TrainingNet(rest, ClassificationStep(), random_state=77, **options)
    load_training_state(second, state)
    second.resume(TensorBatches(rows, 10, seed=77))
    assert torch.equal(weights_of(rest), weights_of(whole))
    assert second.history[:, "train_loss"] == expected.history[:, "train_loss"]
    with pytest.raises(TypeError, match="/a/1 holds a set"):
        pack({"a": [1, {2}]})


def test_a_state_taken_in_a_callback_resumes_as_well(mlp, rows, weights_of):
    from skorch.callbacks import Callback

    states = []

    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            states.append(training_state(net))

    whole, rest = mlp(dropout=0.3), mlp(dropout=0.3, seed=9)
    fitted(whole, rows, callbacks=[Keep()], ema_decay=0.5)
    net = TrainingNet(rest, ClassificationStep(), lr=0.02, max_epochs=3, ema_decay=0.5)
    load_training_state(net, states[0])
    net.resume(TensorBatches(rows, 10))
    assert torch.equal(weights_of(rest), weights_of(whole))


class Diverging:
    """A step whose loss is infinite at the given call."""

    def __init__(self, at):
        self.at = at
        self.n_calls = 0

    def __call__(self, module, batch):
        loss = ClassificationStep()(module, batch)
        self.n_calls += 1
        return loss * math.inf if self.n_calls == self.at else loss


@pytest.mark.parametrize("looks_at_loss", [True, False], ids=["cpu", "device"])
def test_divergence_says_where_and_keeps_the_last_good_weights(mlp, rows, weights_of, looks_at_loss):
    module, step = mlp(), Diverging(at=8)
    net = TrainingNet(module, step, max_epochs=4, lr=0.02, schedule="linear", keep_last_good=True).initialize()
    net.trainer_.updater._looks_at_loss = looks_at_loss  # False is what happens where reading a loss would wait
    with pytest.raises(DivergenceError, match=r"epoch 2, step 8, with learning rate 0.013.*smaller") as caught:
        net.partial_fit(TensorBatches(rows, 10))
    error = caught.value
    assert (error.epoch, error.step) == (2, 8)
    assert error.learning_rate == pytest.approx(0.02 * (1 - 7 / 20))
    assert "end of epoch 1" in error.__notes__[0]
    good = mlp()
    good.load_state_dict(error.last_good_state)
    expected = mlp()
    TrainingNet(expected, ClassificationStep(), max_epochs=4, lr=0.02, schedule="linear").partial_fit(
        TensorBatches(rows, 10), epochs=1
    )
    assert torch.equal(weights_of(good), weights_of(expected))
    assert step.n_calls == (8 if looks_at_loss else 10)
    if looks_at_loss:
        assert weights_of(module).isfinite().all()
    again = pickle.loads(pickle.dumps(error))
    assert (again.step, again.__notes__) == (8, error.__notes__)


def test_weights_that_run_away_in_the_last_step_are_noticed(mlp, rows):
    with pytest.raises(DivergenceError, match=r"weights.*step 1,.*clipping"):
        TrainingNet(mlp(), ClassificationStep(), optimizer="sgd", lr=math.inf, max_epochs=1, max_steps=1).fit(
            TensorBatches(rows, 10)
        )


def test_the_meter_reads_long_epochs_in_parts():
    meter, values = LossMeter(), torch.arange(3000.0)
    for value in values:
        meter.add(value, 2)
    assert len(meter._losses) < 1024
    assert meter.means() == {"loss": pytest.approx(values.mean().item())}
    meter.add(torch.tensor(math.nan), 1)
    meter.fold()
    assert meter.first_bad == 3000


def test_batches_may_be_anything_that_is_iterated(mlp, rows):
    class TwoDomains:
        def __len__(self):
            return 3

        def __iter__(self):
            for start in (0, 10, 20):
                yield {"source": (rows[0][start : start + 6], rows[1][start : start + 6]), "target": rows[0][start:]}

    def step(module, batch):
        source, target = batch["source"][0], batch["target"]
        codes = module(torch.cat([source, target]))
        loss = nn.functional.cross_entropy(codes[: len(source)], batch["source"][1])
        transfer = (codes[: len(source)].mean(0) - codes[len(source) :].mean(0)).square().sum()
        return loss + transfer, len(source), {"transfer": transfer}

    net = TrainingNet(mlp(), step, schedule="dann", lr=0.01, max_epochs=5, optimizer="sgd", split=None)
    net.fit(TwoDomains())
    assert net.clock_.n_steps == 15
    assert net.history[-1, "train_transfer"] > 0
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_the_net_drops_the_data_and_pickles(mlp, rows):
    batches = TensorBatches(rows, 10)
    net = TrainingNet(mlp(), ClassificationStep(), max_epochs=1, classify=True).fit(batches)
    assert net._batches is None
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict(rows[0]), net.predict(rows[0]))
    assert net.predict(rows[0]).shape == (50,)
    assert net.predict_proba(batches).shape == (50, 3)


def test_the_net_shows_and_clones_its_own_parameters(mlp):
    net = TrainingNet(mlp(), ClassificationStep(), lr=0.5, schedule="cosine")
    parameters = net.get_params(deep=False)
    assert (parameters["lr"], parameters["schedule"]) == (0.5, "cosine")
    assert "iterator_train" not in parameters
    assert clone(net).lr == 0.5
    assert "TrainingNet" in repr(net)
