"""Batches: every row once an epoch, in an order of their own; streams that are closed whatever happens."""

import numpy as np
import pytest
import torch

from sktl.training import ClassificationStep, StreamBatches, TensorBatches, TrainingNet, split_rows
from sktl.training import _batches as batches_module


def test_each_epoch_is_a_permutation_of_aligned_rows():
    X = torch.arange(10)
    batches = TensorBatches((X, 2 * X), 4, seed=3)
    epochs = []
    for _ in range(2):
        parts = list(batches)
        assert [len(x) for x, _ in parts] == [4, 4, 2]
        assert all(torch.equal(2 * x, y) for x, y in parts)
        epochs.append(torch.cat([x for x, _ in parts]).tolist())
        assert sorted(epochs[-1]) == list(range(10))
    assert epochs[0] != epochs[1]
    generator = torch.Generator().manual_seed(3)  # the order is the plain permutation of that seed
    assert epochs == [torch.randperm(10, generator=generator).tolist() for _ in range(2)]


@pytest.mark.parametrize(
    ("last", "sizes"), [("keep", [4, 4, 1]), ("drop", [4, 4]), ("spread", [3, 3, 3])], ids=lambda v: str(v)
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_what_becomes_of_the_last_rows(last, sizes, shuffle):
    batches = TensorBatches(torch.arange(9), 4, last=last, shuffle=shuffle)
    parts = list(batches)
    assert [len(part) for part in parts] == sizes
    assert len(batches) == len(sizes)
    rows = torch.cat(parts).tolist()
    assert len(set(rows)) == sum(sizes)
    if not shuffle:
        assert rows == list(range(sum(sizes)))


def test_fewer_rows_than_a_batch_are_one_batch():
    assert [len(part) for part in TensorBatches(torch.arange(3), 64, last="drop")] == [3]


@pytest.mark.parametrize("shuffle", [True, False])
def test_steps_per_epoch_goes_round_the_rows_evenly(shuffle):
    batches = TensorBatches(torch.arange(5), 3, steps_per_epoch=10, shuffle=shuffle)
    parts = list(batches)
    assert [len(part) for part in parts] == [3] * 10
    assert len(batches) == 10
    assert torch.cat(parts).bincount().tolist() == [6] * 5
    assert len(list(TensorBatches(torch.arange(100), 3, steps_per_epoch=2))) == 2


def test_gathering_in_parts_changes_nothing(monkeypatch):
    tensors = {"X": torch.arange(40.0).reshape(20, 2), "y": torch.arange(20)}
    whole = list(TensorBatches(tensors, 3, seed=1))
    monkeypatch.setattr(batches_module, "GATHERED_BYTES", 1)
    parts = list(TensorBatches(tensors, 3, seed=1))
    assert len(whole) == len(parts) == 7
    for a, b in zip(whole, parts):
        assert a.keys() == b.keys() == {"X", "y"}
        assert torch.equal(a["X"], b["X"])
        assert torch.equal(a["y"], b["y"])


def test_nested_structures_and_arrays_keep_their_shape():
    tensors = {"views": (np.zeros((6, 2)), torch.ones(6, 3)), "y": np.arange(6)}
    batch = next(iter(TensorBatches(tensors, 4)))
    assert batch["views"][0].shape == (4, 2)
    assert batch["views"][1].shape == (4, 3)
    assert batch["y"].shape == (4,)
    halves = split_rows(batch, 2)
    assert [half["y"].tolist() for half in halves] == [batch["y"][:2].tolist(), batch["y"][2:].tolist()]


def test_transforms_draw_from_the_batches_own_generator():
    def jitter(batch, generator):
        return batch + torch.rand(batch.shape, generator=generator)

    first, second = (torch.cat(list(TensorBatches(torch.zeros(8), 3, transform=jitter, seed=5))) for _ in range(2))
    assert torch.equal(first, second)
    assert first.unique().numel() == 8


def test_state_decides_the_epochs_to_come():
    batches = TensorBatches(torch.arange(10), 4, seed=0)
    list(batches)
    other = TensorBatches(torch.arange(10), 4, seed=99)
    other.load_state_dict(batches.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(batches, other))


@pytest.mark.parametrize(
    ("tensors", "options", "match"),
    [
        ((torch.zeros(3), torch.zeros(4)), {}, "same number of rows"),
        ((), {}, "same number of rows"),
        (torch.zeros(0), {}, "at least one row"),
        (torch.zeros(3), {"batch_size": 0}, "batch_size"),
        (torch.zeros(3), {"last": "merge"}, "'spread'"),
        (torch.zeros(3), {"steps_per_epoch": 0}, "steps_per_epoch"),
    ],
)
def test_bad_batches_are_refused(tensors, options, match):
    with pytest.raises(ValueError, match=match):
        TensorBatches(tensors, **{"batch_size": 2, **options})


class Source:
    """Opens epochs of two batches and counts how many are open."""

    def __init__(self, fail_at=None):
        self.n_open = self.n_opened = 0
        self.fail_at = fail_at

    def __call__(self, generator):
        self.n_opened += 1
        self.n_open += 1
        try:
            for number in range(2):
                if number == self.fail_at:
                    raise OSError("the disk is gone")
                X = torch.randn(5, 4, generator=generator)
                yield X.numpy(), (X[:, 0] > 0).long()
        finally:
            self.n_open -= 1


def test_streams_give_tensors_anew_each_epoch_and_resume():
    stream = StreamBatches(Source(), seed=2, transform=lambda batch, generator: batch)
    first, state = list(stream), stream.state_dict()
    second = list(stream)
    assert all(isinstance(tensor, torch.Tensor) for batch in first for tensor in batch)
    assert not torch.equal(first[0][0], second[0][0])
    again = StreamBatches(Source(), seed=7)
    again.load_state_dict(state)
    assert torch.equal(next(iter(again))[0], second[0][0])


def test_streams_without_a_length_say_so():
    with pytest.raises(TypeError, match="n_batches"):
        len(StreamBatches(Source()))
    assert len(StreamBatches(Source(), n_batches=2)) == 2


def failing_step(module, batch):
    raise RuntimeError("the step fails")


@pytest.mark.parametrize("fault", ["none", "stop", "step", "source"])
def test_the_loop_closes_the_stream(mlp, fault):
    source = Source(fail_at=1 if fault == "source" else None)
    net = TrainingNet(
        mlp(), failing_step if fault == "step" else ClassificationStep(), max_epochs=2, max_steps=3
    )  # "stop": max_steps ends in the middle of the second epoch
    stream = StreamBatches(source, n_batches=2)
    if fault == "step":
        with pytest.raises(RuntimeError, match="the step fails"):
            net.fit(stream)
    elif fault == "source":
        with pytest.raises(OSError, match="disk"):
            net.fit(stream)
    else:
        net.fit(stream)
        assert net.clock_.n_steps == 3
        assert source.n_opened == 2
    assert source.n_open == 0


def test_empty_batches_are_an_error_not_an_endless_loop(mlp):
    with pytest.raises(ValueError, match="nothing"):
        TrainingNet(mlp(), ClassificationStep(), max_epochs=None, max_steps=3).fit([])
