"""Meta-training that goes on where it was stopped, as fine-tuning does, and what can be wrong with the folder."""

import numpy as np
import pytest
import xxhash
from skorch.callbacks import Callback

from sktl.exceptions import CheckpointWarning, WeightsError
from sktl.fewshot import MAMLLearner, ProtoNetLearner
from sktl.training import encode_tensors, read_tensors

FEW = {"n_way": 3, "n_query": 4, "random_state": 0}
PATIENT = {
    **FEW, "n_episodes": 400, "learning_rate": 0.1, "schedule": None, "validation_fraction": 0.3, "n_iter_no_change": 6,
}  # fmt: skip


class Crash(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise RuntimeError("crashed")


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch):
    monkeypatch.setattr("sktl.fewshot.meta_training._training.UPDATES_AN_EPOCH", 5)
    monkeypatch.setattr("sktl.fewshot.meta_training._training.VALID_EPISODES", 10)


def crash(learner, X, y, epoch):
    with pytest.raises(RuntimeError, match="crashed"):
        learner.set_params(callbacks=[Crash(epoch)]).fit(X, y)
    learner.set_params(callbacks=None)


def files(folder):
    return sorted(folder.glob("*.safetensors"), key=lambda path: path.name.split("-")[1])


def same(learner, other):
    assert [row["train_loss"] for row in learner.history_] == [row["train_loss"] for row in other.history_]
    assert learner.n_iter_ == other.n_iter_
    assert all(np.array_equal(t, other._learned.tensors[name]) for name, t in learner._learned.tensors.items())


def test_patience_goes_on(base_rows, tmp_path):
    expected = ProtoNetLearner(**PATIENT).fit(*base_rows)
    n_epochs = len(expected.history_)
    assert 5 < n_epochs < 60  # it stops early
    learner = ProtoNetLearner(**PATIENT, checkpoint_dir=tmp_path)
    for epoch in (n_epochs - 3, n_epochs - 2):  # while misses are counted
        crash(learner, *base_rows, epoch)
    same(learner.fit(*base_rows), expected)
    (kept,) = files(tmp_path)
    assert "-end-" in kept.name
    same(ProtoNetLearner(**PATIENT, checkpoint_dir=tmp_path, callbacks=[Crash(-1)]).fit(*base_rows), expected)


def test_without_a_seed_it_is_the_same_training(base_rows, tmp_path):
    options = {**PATIENT, "random_state": None}
    learner = ProtoNetLearner(**options, checkpoint_dir=tmp_path)
    crash(learner, *base_rows, 2)
    learner.fit(*base_rows)
    assert len(learner.history_) > 3
    same(ProtoNetLearner(**options, checkpoint_dir=tmp_path, callbacks=[Crash(-1)]).fit(*base_rows), learner)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_one_is_seen_and_the_one_before_taken(damage, base_rows, tmp_path):
    options = {**FEW, "n_episodes": 30, "meta_batch_size": 1}
    expected = MAMLLearner(**options).fit(*base_rows)
    learner = MAMLLearner(**options, checkpoint_dir=tmp_path)
    crash(learner, *base_rows, 3)
    _, last = files(tmp_path)
    content = bytearray(last.read_bytes())
    content[-5] ^= 1
    last.write_bytes({"flipped": bytes(content), "cut": content[: len(content) // 2], "empty": b""}[damage])
    with pytest.warns(CheckpointWarning, match=f"damaged one, {last.name}"):
        same(learner.fit(*base_rows), expected)


def test_one_that_does_not_fit_is_named(base_rows, tmp_path):
    learner = ProtoNetLearner(**FEW, n_episodes=30, checkpoint_dir=tmp_path)
    crash(learner, *base_rows, 3)
    for path in files(tmp_path):  # made up, with digests that fit
        tensors, rest = read_tensors(path)
        content = encode_tensors({name: value[:1] if value.ndim else value for name, value in tensors.items()}, rest)
        path.unlink()
        name = f"{path.stem.rpartition('-')[0]}-{xxhash.xxh3_64_hexdigest(content)}.safetensors"
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=r"(?s)does not fit this training.*Remove the files"):
        learner.fit(*base_rows)
    assert not hasattr(learner, "n_iter_")


@pytest.mark.parametrize("place", ["/net/optimizer/state/0/exp_avg", "/net/optimizer/state/1/exp_avg_sq"])
def test_moments_of_another_shape_are_refused(place, base_rows, tmp_path):
    learner = ProtoNetLearner(**FEW, n_episodes=30, checkpoint_dir=tmp_path)
    crash(learner, *base_rows, 3)
    for path in files(tmp_path):
        tensors, rest = read_tensors(path)
        content = encode_tensors({**tensors, place: tensors[place].flatten()[0]}, rest)
        path.unlink()
        name = f"{path.stem.rpartition('-')[0]}-{xxhash.xxh3_64_hexdigest(content)}.safetensors"
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="not of its parameter's shape"):
        learner.fit(*base_rows)
