"""What "auto" became, and the history of a training that goes on."""

import sys

import numpy as np
import pytest
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.features import LogisticRegressionLOO
from sktl.fewshot import ProtoNetLearner
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor


@pytest.fixture
def table():
    X = np.random.default_rng(0).normal(size=(40, 3))
    return X, (X[:, 0] > 0).astype(int)


def numel(parameters):
    return sum(p.numel() for p in parameters)


class TestFineTuned:
    def test_rows(self, table):
        model = FineTunedClassifier(random_state=0).fit(*table)
        assert (model.learning_rate_, model.batch_size_, model.max_epochs_, model.max_steps_) == (1e-3, 4, 30, 500)
        assert (model.augment_, model.freeze_bn_, model.early_stopping_, model.frozen_until_) == (
            None,
            True,
            False,
            None,
        )
        assert np.isclose(model.C_, LogisticRegressionLOO().fit(model._scaler.transform(table[0]), table[1]).C_)
        assert model.n_trained_ == model.n_parameters_ == numel(model.module_.parameters())
        assert FineTunedClassifier(optimizer="sgd", max_epochs=1).fit(*table).learning_rate_ == 1e-2

    def test_a_solved_head_trains_nothing_else(self, striped, small_network):
        model = FineTunedClassifier(small_network, strategy="head").fit(*striped)
        assert (model.learning_rate_, model.batch_size_, model.max_epochs_) == (None, None, None)
        assert model.n_trained_ == 2 * (16 + 1)
        assert model.frozen_until_ == "penultimate"

    def test_frozen_layers(self, striped, small_network, tmp_path):
        model = FineTunedClassifier(small_network, image_size=32, freeze_until="1", max_epochs=1, random_state=0)
        model.fit(*striped)
        assert model.frozen_until_ == "1"
        frozen = numel(small_network[0].parameters()) + numel(small_network[1].parameters())
        assert model.n_trained_ == numel(small_network[2].parameters()) + 2 * (16 + 1)
        assert model.n_parameters_ == model.n_trained_ + frozen
        model.save(tmp_path / "model")
        loaded = FineTunedClassifier.load(tmp_path / "model", backbone=small_network)
        assert (loaded.frozen_until_, loaded.n_trained_, loaded.batch_size_) == ("1", model.n_trained_, 10)

    def test_augment(self, small_network):
        pictures = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
        model = FineTunedClassifier(small_network, image_size=64, max_epochs=1, random_state=0)
        assert model.fit(pictures, [0, 1] * 4).augment_ == "flip"  # which few pictures have that a head was solved on
        assert model.set_params(strategy="full").fit(pictures, [0, 1] * 4).augment_ == "crop_flip"
        assert model.set_params(image_size=32).fit(pictures, [0, 1] * 4).augment_ is None
        model.set_params(image_size=64, strategy="lp-ft", max_steps=1)
        assert model.fit(np.tile(pictures, (25, 1, 1, 1)), [0, 1] * 100).augment_ == "crop_flip"

    def test_the_regressors_penalty(self, table):
        X, _ = table
        assert FineTunedRegressor(alpha=2.5, strategy="head").fit(X, X[:, 1]).alpha_ == 2.5
        assert FineTunedRegressor(strategy="head").fit(X, X[:, 1]).alpha_ < 1  # no noise wants no penalty

    def test_partial_fit_says_so_too(self, table):
        model = FineTunedClassifier(strategy="full", random_state=0).partial_fit(*table)
        assert (model.learning_rate_, model.batch_size_, model.C_) == (1e-3, 4, None)

    def test_the_history_shows_the_heads_rate(self, striped, small_network):
        model = FineTunedClassifier(
            small_network, schedule="constant", max_epochs=2, learning_rate=0.002, random_state=0
        )
        assert [row["lr"] for row in model.fit(*striped).history_] == [0.002, 0.002]

    def test_a_warm_start_goes_on_with_the_history(self, table):
        model = FineTunedClassifier(strategy="full", max_epochs=2, warm_start=True, random_state=0).fit(*table)
        first = model.history_
        model.fit(*table)
        assert model.history_[:2] == first
        assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4]
        assert model.n_iter_ == 4
        losses = [row["train_loss"] for row in model.history_]
        best = [all(loss < other for other in losses[:i]) for i, loss in enumerate(losses)]
        assert [row["train_loss_best"] for row in model.history_] == best
        model.partial_fit(*table)
        assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4, 5]


def test_domain_adaptation(table):
    X, y = table
    both, labels = np.concatenate([X, X + 1]), np.concatenate([y, np.full(40, -1)])
    model = DomainAdaptedClassifier(random_state=0, steps_per_epoch=5).fit(both, labels)
    assert (model.learning_rate_, model.batch_size_, model.steps_per_epoch_, model.max_epochs_) == (0.001, 64, 5, 20)
    assert len(model.history_) == model.max_epochs_
    assert (model.loss_, model.bottleneck_, model.optimizer_) == ("mcc", None, "adam")
    assert model.n_trained_ < model.n_parameters_ == numel(model.module_.parameters())  # directions are fixed
    adapted = SourceFreeAdaptedClassifier(model, random_state=0, max_epochs=2).fit(X + 1)
    assert (adapted.learning_rate_, adapted.batch_size_, adapted.steps_per_epoch_) == (0.01, 40, 20)
    assert adapted.n_parameters_ - adapted.n_trained_ == 2 * (X.shape[1] + 1)  # the classifier stays


def test_pretrained_layers_and_new_ones(striped, small_network):
    X, y = striped
    model = DomainAdaptedClassifier(
        nn.Sequential(*small_network[:-1]), loss=None, optimizer="adam", max_epochs=1, schedule=None, random_state=0
    ).fit(X, y)
    assert model.learning_rate_ == model.history_[0]["lr"] == 1e-3


def test_meta_learning(table):
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    y = np.repeat(range(6), 5)
    learner = ProtoNetLearner(n_way=3, n_query=2, n_episodes=150, warm_start=True, random_state=0).fit(X, y)
    assert learner.n_trained_ == numel(p for p in learner._learned.trainable().parameters() if p.requires_grad)
    first = learner.history_
    learner.fit(X, y)
    assert learner.history_[:2] == first
    assert [row["epoch"] for row in learner.history_] == [1, 2, 3, 4]
    assert learner.n_iter_ == 300


@pytest.mark.parametrize("is_terminal", [False, True])
def test_colours_are_for_terminals(table, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    FineTunedClassifier(strategy="full", max_epochs=2, verbose=2, random_state=0).fit(*table)
    out = capsys.readouterr().out
    assert ("\x1b" in out) == is_terminal
    rates = [float(line.split()[1]) for line in out.splitlines()[2:4]]
    assert 0 < rates[1] < 1e-8  # not rounded to zero


def test_a_long_training_shows_the_time_left(table, capsys, monkeypatch):
    model = FineTunedClassifier(strategy="full", max_epochs=3, verbose=1, random_state=0).fit(*table)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("sktl._progress.QUIET", 0.0)
    monkeypatch.setattr("sktl._progress.LOGGED_EVERY", 0.0)
    model.fit(*table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 31  # of 30 updates, and the end
    assert lines[9].startswith("FineTunedClassifier: 10 of 30 updates, 0 s left, epoch 1")
    assert lines[-1].startswith("FineTunedClassifier: 30 of 30 updates in 0 s, epoch 3, train_loss 0.")
