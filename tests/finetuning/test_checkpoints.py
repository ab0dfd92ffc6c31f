"""Training that goes on where it was killed, and what can be wrong with the folder."""

import json
import os
import pydoc
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sktl.exceptions import CheckpointWarning
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.training import CheckpointFolder, KeepEpochs

HERE = Path(__file__).resolve().parent


class StopAfter(Callback):
    """An error at the end of an epoch, in place of a crash."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise RuntimeError("crashed")


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6))
    return X, np.where(X[:, 0] * X[:, 1] > 0, "same", "other")


def model_in(folder, **options):
    return FineTunedClassifier(checkpoint_dir=folder, **{"max_epochs": 6, "random_state": 0, **options})


def crash(model, X, y, epoch=3, **fit):
    with pytest.raises(RuntimeError, match="crashed"):
        model.set_params(callbacks=[StopAfter(epoch)]).fit(X, y, **fit)
    model.set_params(callbacks=None)


def files(folder):
    return sorted(folder.glob("*.safetensors"), key=lambda path: path.name.split("-")[1])


def assert_same(model, other, atol=0.0):
    ours, theirs = model._learned.tensors, other._learned.tensors
    assert set(ours) == set(theirs)
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=0, atol=atol), name
    assert [row["train_loss"] for row in model.history_] == pytest.approx([row["train_loss"] for row in other.history_])


class TestKilled:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("rows", {"max_epochs": 15, "batch_size": 4, "ema": 0.95}),
            ("pictures", {"max_epochs": 12, "image_size": 32, "strategy": "last", "freeze_until": "0", "batch_size": 4,
                          "augment": "flip", "early_stopping": True, "validation_fraction": 0.2}),
            ("pictures", {"max_epochs": 12, "image_size": 32, "batch_size": 20, "freeze_bn": False, "mixup": 0.2}),
        ],
        ids=["rows", "frozen layers", "batch norm and mixup"],
    )  # fmt: skip
    def test_at_ten_random_moments(self, kind, options, tmp_path, rows, striped):
        X, y = rows if kind == "rows" else striped
        np.savez(tmp_path / "data.npz", X=X, y=y)
        command = [sys.executable, str(HERE / "kill_training.py"), str(tmp_path / "data.npz"), str(tmp_path / "kept"),
                   str(tmp_path / "result"), json.dumps(options)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        epochs = [int(line) for line in done.stdout.split()]
        assert len(epochs) == 10
        assert epochs == sorted(epochs)  # nothing finished is lost
        assert len(set(epochs)) > 2
        undisturbed, killed = (np.load(tmp_path / f"result-{name}.npz") for name in ("undisturbed", "killed"))
        assert set(undisturbed) == set(killed)
        for name in undisturbed:
            assert np.allclose(undisturbed[name], killed[name], rtol=0, atol=1e-6), name


class TestGoingOn:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {
                "early_stopping": True,
                "n_iter_no_change": 3,
                "max_epochs": 80,
                "strategy": "full",
                "learning_rate": 0.03,
            },
        ],
        ids=repr,
    )
    def test_ends_like_an_uninterrupted_one(self, options, rows, tmp_path):
        expected = model_in(None, **options).fit(*rows)
        model = model_in(tmp_path, **options)
        crash(model, *rows)
        model.fit(*rows)
        assert_same(model, expected)
        assert model.n_iter_ == expected.n_iter_

    def test_killed_after_the_last_epoch(self, rows, tmp_path, monkeypatch):
        options = {"early_stopping": True, "strategy": "full", "learning_rate": 0.03}
        expected = model_in(None, **options).fit(*rows)
        with monkeypatch.context() as patch:
            patch.setattr(KeepEpochs, "finish", lambda self, net: (_ for _ in ()).throw(RuntimeError("crashed")))
            with pytest.raises(RuntimeError, match="crashed"):
                model_in(tmp_path, **options).fit(*rows)
        assert_same(model_in(tmp_path, callbacks=[StopAfter(0)], **options).fit(*rows), expected)

    def test_only_the_rest_is_trained(self, rows, tmp_path):
        seen = []

        class Counts(Callback):
            def on_epoch_end(self, net, **kwargs):
                seen.append(len(net.history))

        model = model_in(tmp_path)
        crash(model, *rows)
        model.set_params(callbacks=[Counts()]).fit(*rows)
        assert seen == [4, 5, 6]

    def test_a_finished_training_is_not_repeated(self, rows, tmp_path):
        first = model_in(tmp_path).fit(*rows)
        (kept,) = files(tmp_path)
        again = model_in(tmp_path, callbacks=[StopAfter(0)], verbose=0, n_jobs=1).fit(*rows)
        assert_same(again, first)
        assert files(tmp_path) == [kept]

    def test_no_random_state(self, rows, tmp_path):
        model = model_in(tmp_path, random_state=None)
        crash(model, *rows)
        model.fit(*rows)
        again = model_in(tmp_path, random_state=None).fit(*rows)
        assert_same(again, model)

    def test_lp_ft_on_pictures(self, small_network, striped, tmp_path):
        options = {"backbone": small_network, "image_size": 32, "max_epochs": 4, "augment": "flip"}
        expected = model_in(None, **options).fit(*striped)
        model = model_in(tmp_path, **options)
        crash(model, *striped, epoch=2)
        assert_same(model.fit(*striped), expected)

    def test_regressor_weights_and_gradual(self, small_network, striped, tmp_path):
        X = striped[0]
        y, weight = X.mean(axis=(1, 2)), np.linspace(0.5, 2, 40)
        options = {"image_size": 32, "max_epochs": 4, "strategy": "gradual", "random_state": 0, "l2_sp": 0.1}
        expected = FineTunedRegressor(small_network, **options).fit(X, y, sample_weight=weight)
        model = FineTunedRegressor(small_network, checkpoint_dir=tmp_path, **options)
        crash(model, X, y, epoch=2, sample_weight=weight)
        assert_same(model.fit(X, y, sample_weight=weight), expected)

    def test_warm_start_goes_on_from_what_was_learned(self, rows, tmp_path):
        model = model_in(tmp_path, warm_start=True).fit(*rows)
        before = {name: tensor.clone() for name, tensor in model._learned.tensors.items()}
        with pytest.warns(CheckpointWarning, match="other data or parameters"):
            model.fit(*rows)  # from another start: another training
        assert any(not torch.equal(before[name], tensor) for name, tensor in model._learned.tensors.items())


class TestOthers:
    @pytest.mark.parametrize("what", ["data", "labels", "weights", "parameters", "seed"])
    def test_of_other_data_or_parameters(self, what, rows, tmp_path):
        X, y = rows
        crash(model_in(tmp_path), X, y)
        fit, options = {}, {}
        if what == "data":
            X = X.copy()
            X[7, 3] += 1e-9
        elif what == "labels":
            y = np.roll(y, 1)
        elif what == "weights":
            fit = {"sample_weight": np.linspace(1, 2, len(y))}
        else:
            options = {"learning_rate": 0.003} if what == "parameters" else {"random_state": 1}
        expected = model_in(None, **options).fit(X, y, **fit)
        with pytest.warns(CheckpointWarning, match="other data or parameters.*starts afresh"):
            found = model_in(tmp_path, **options).fit(X, y, **fit)
        assert_same(found, expected)
        assert len({path.name.split("-")[0] for path in files(tmp_path)}) == 2  # the others' are left alone

    def test_what_does_not_change_the_result_may_change(self, rows, tmp_path):
        crash(model_in(tmp_path), *rows)
        with warnings.catch_warnings():
            warnings.simplefilter("error", CheckpointWarning)
            model_in(tmp_path, n_jobs=1, verbose=0, device="cpu").fit(*rows)

    def test_two_fits_of_the_same_share_a_folder(self, rows, tmp_path):
        expected = model_in(None).fit(*rows)
        folders = []

        class Second(Callback):
            def on_epoch_end(self, net, **kwargs):
                if not folders:
                    folders.append(True)
                    with pytest.warns(CheckpointWarning, match="in use by another training"):
                        assert_same(model_in(tmp_path).fit(*rows), expected)

        model = model_in(tmp_path, callbacks=[Second()]).fit(*rows)
        assert_same(model, expected)
        assert_same(model_in(tmp_path, callbacks=[StopAfter(0)]).fit(*rows), expected)

    def test_a_grid_search_says_it_once(self, rows, tmp_path):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search = GridSearchCV(model_in(tmp_path, max_epochs=2), {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(*rows)
        assert len([w for w in caught if w.category is CheckpointWarning]) == 1
        assert len(files(tmp_path)) == 5
        again = GridSearchCV(
            model_in(tmp_path, max_epochs=2, callbacks=[StopAfter(0)]),
            {"learning_rate": [1e-3, 1e-2]}, cv=2, error_score="raise",
        ).fit(*rows)  # fmt: skip
        assert np.array_equal(again.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])

    def test_two_different_fits_share_a_folder(self, rows, tmp_path):
        models = [model_in(tmp_path, learning_rate=rate) for rate in (1e-3, 1e-2)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            for model in models:
                crash(model, *rows)
            for model in models:
                assert_same(model.fit(*rows), model_in(None, learning_rate=model.learning_rate).fit(*rows))


class TestFaults:
    @pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "text"])
    def test_a_damaged_one(self, damage, rows, tmp_path):
        expected = model_in(None).fit(*rows)
        model = model_in(tmp_path)
        crash(model, *rows)
        last = files(tmp_path)[-1]
        content = bytearray(last.read_bytes())
        content[-5] ^= 1
        damaged = {"flipped": content, "cut": content[: len(content) // 2], "empty": b"", "text": b"not a checkpoint"}
        last.write_bytes(bytes(damaged[damage]))
        with pytest.warns(CheckpointWarning, match=f"damaged one, {last.name}"):
            model.fit(*rows)
        assert_same(model, expected)

    def test_all_damaged(self, rows, tmp_path):
        model = model_in(tmp_path)
        crash(model, *rows)
        for path in files(tmp_path):
            path.write_bytes(b"")
        with pytest.warns(CheckpointWarning, match="damaged"):
            model.fit(*rows)
        assert_same(model, model_in(None).fit(*rows))

    def test_what_a_killed_process_left_is_cleared(self, rows, tmp_path):
        model = model_in(tmp_path)
        crash(model, *rows)
        key = files(tmp_path)[0].name.split("-")[0]
        (tmp_path / f".{key}-000004").write_bytes(b"half")
        model.fit(*rows)
        assert not list(tmp_path.glob(".*-*"))

    def test_full_disk(self, rows, tmp_path, monkeypatch):
        def full(file):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.warns(CheckpointWarning, match="No space left on device.*goes on without") as caught:
            model = model_in(tmp_path).fit(*rows)
        assert len([w for w in caught if issubclass(w.category, CheckpointWarning)]) == 1
        assert_same(model, model_in(None).fit(*rows))
        assert not list(tmp_path.glob("*.safetensors"))
        assert not list(tmp_path.glob(".*-*"))

    def test_full_disk_leaves_what_is_there(self, rows, tmp_path, monkeypatch):
        model = model_in(tmp_path)
        crash(model, *rows)
        kept = files(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.warns(CheckpointWarning, match="No space left"):
                model.fit(*rows)
        assert files(tmp_path) == kept

    def test_no_folder(self, rows, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match=r"checkpoint_dir=.*cannot be used as a folder"):
            model_in(tmp_path / "file" / "within").fit(*rows)

    def test_no_pickle(self, rows, tmp_path):
        model_in(tmp_path).fit(*rows)
        (path,) = files(tmp_path)
        assert b"pickle" not in path.read_bytes()
        assert json.loads(path.read_bytes()[8:].split(b"}}", 1)[0].decode() + "}}")["__metadata__"]

    def test_parts_of_its_own(self, tmp_path):
        with CheckpointFolder(tmp_path / "a" / "b", "key") as folder:
            assert folder.latest() is None
            for epoch in range(1, 5):
                folder.keep(
                    epoch, {"epoch": epoch, "values": torch.arange(epoch), "nested": [1.5, None, {"a": (1, 2)}]}
                )
            assert len(files(tmp_path / "a" / "b")) == 2
            state = folder.latest()
        assert state["epoch"] == 4
        assert torch.equal(state["values"], torch.arange(4))
        assert state["nested"] == [1.5, None, {"a": (1, 2)}]
        assert KeepEpochs(folder).folder.latest() is None  # closed


class TestInterrupted:
    """Ctrl-C goes out, the checkpoint never says that the training has finished, and the next fit goes on."""

    PLACES = (
        "sktl.training._checkpoints.encode_tensors", "sktl.training._checkpoints.training_state", "os.replace",
        "os.fsync", "skorch.callbacks.EarlyStopping.on_epoch_end", "sktl.training.KeepEpochs.finish",
        "sktl.training._trainer.Trainer.remember", "sktl.training.EpochTasks.epoch_end",
    )  # fmt: skip

    @pytest.mark.parametrize("place", PLACES)
    def test_anywhere(self, place, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60, 4)), np.arange(60) % 2
        options = {
            "max_epochs": 30, "batch_size": 16, "random_state": 0, "early_stopping": True, "n_iter_no_change": 6,
            "learning_rate": 0.05,
        }  # fmt: skip
        expected = FineTunedClassifier(**options).fit(X, y)
        assert 6 < len(expected.history_) < 30  # it stops early
        model = FineTunedClassifier(checkpoint_dir=tmp_path, **options)
        folder, _, name = place.rpartition(".")
        owner = pydoc.locate(folder)
        whole, n_calls = getattr(owner, name), 0

        def pressed(*args, **kwargs):
            nonlocal n_calls
            n_calls += 1
            if n_calls in (3, 5) or name == "finish":
                signal.raise_signal(signal.SIGINT)
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, pressed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, y)
            assert not [path for path in tmp_path.iterdir() if "-end-" in path.name]
        monkeypatch.undo()
        assert_same(model.fit(X, y), expected)
        assert len(model.history_) == len(expected.history_)
        assert [path for path in tmp_path.iterdir() if "-end-" in path.name]

    def test_partial_fit_leaves_what_was_learned(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60, 4)), np.arange(60) % 2
        model = FineTunedClassifier(random_state=0).partial_fit(X, y)
        before = model.predict_proba(X)
        model.set_params(callbacks=None)
        step = model._session.net.step
        calls = []

        def pressing(module, batch):
            calls.append(1)
            if len(calls) == 3:
                signal.raise_signal(signal.SIGINT)
            return step(module, batch)

        model._session.net.trainer_.updater.step = pressing
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(X, 1 - y)
        assert np.array_equal(model.predict_proba(X), before)
