"""Adaptation that goes on where it was stopped gives what one without a stop gives, to the bit."""

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.callbacks import Callback

from sktl.adaptation import LOSSES, DomainAdaptedClassifier
from sktl.exceptions import CheckpointWarning
from sktl.metrics import get_domain_scorer

RNG = np.random.default_rng(0)
LABELS = np.where(np.arange(90) % 3 == 0, "a", "b").astype(object)
ROWS = RNG.normal(size=(90, 5)) + (LABELS == "a")[:, None]
DOMAINS = np.repeat(["one", "two", "three"], 30)
MARKED = np.where(DOMAINS == "three", None, LABELS)
PICTURES = RNG.integers(0, 256, (30, 12, 12, 3), dtype=np.uint8)


class StopAfter(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise RuntimeError("stopped")


def model(folder=None, **params):
    given = {"max_epochs": 3, "steps_per_epoch": 3, "batch_size": 8, "random_state": 0, "device": "cpu"}
    return DomainAdaptedClassifier(checkpoint_dir=folder, **(given | params))


def stopped(estimator, *data, after=1, **more):
    with pytest.raises(RuntimeError, match="stopped"):
        estimator.set_params(callbacks=[StopAfter(after)]).fit(*data, **more)
    return estimator.set_params(callbacks=None)


def without_times(history):
    return [{name: value for name, value in row.items() if name not in ("dur",)} for row in history]


def assert_same(one, other, X):
    np.testing.assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert without_times(one.history_) == without_times(other.history_)


@pytest.mark.parametrize("loss", [None, *(name for name in LOSSES if name != "mixstyle")])
def test_every_loss_goes_on(loss, tmp_path):
    expected = model(loss=loss).fit(ROWS, MARKED, sample_domain=DOMAINS)
    model_ = stopped(model(tmp_path, loss=loss), ROWS, MARKED, after=2, sample_domain=DOMAINS)
    n_seen = []
    model_.set_params(callbacks=[Counting(n_seen)]).fit(ROWS, MARKED, sample_domain=DOMAINS)
    assert n_seen == [3]  # of three epochs two were kept
    assert_same(model_, expected, ROWS)
    n_seen.clear()
    assert_same(model_.fit(ROWS, MARKED, sample_domain=DOMAINS), expected, ROWS)
    assert not n_seen  # it was done


class Counting(Callback):
    """Notes the epochs that are trained; it changes nothing."""

    def __init__(self, seen):
        self.seen_ = seen

    def on_epoch_end(self, net, **kwargs):
        self.seen_.append(len(net.history))


@pytest.mark.parametrize("kind", ["weights", "sparse", "pictures", "mixed styles", "target statistics"])
def test_every_kind_of_data_goes_on(kind, tmp_path):
    X, y, more, params = ROWS, MARKED, {"sample_domain": DOMAINS}, {}
    if kind == "weights":
        more["sample_weight"] = RNG.random(90)
    elif kind == "sparse":
        X = sparse.csr_array(np.where(ROWS > 0, ROWS, 0))
    elif kind in ("pictures", "mixed styles"):
        X, y, more = PICTURES, np.where(np.arange(30) < 15, np.arange(30) % 2, -1), {}
        with torch.random.fork_rng(devices=[]):
            layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)]
        params = {"backbone": torch.nn.Sequential(*layers, torch.nn.Flatten()), "augment": "shift_flip"}
        if kind == "mixed styles":
            y, more = np.arange(30) % 2, {"sample_domain": np.arange(30) % 3}
            params["loss"] = "mixstyle"
    else:
        params = {"batch_norm": "target"}
    expected = model(**params).fit(X, y, **more)
    again = stopped(model(tmp_path, **params), X, y, **more).fit(X, y, **more)
    assert_same(again, expected, X)


@pytest.mark.parametrize("after", [1, 2])
def test_the_best_epoch_is_kept_too(after, tmp_path):
    scorer = get_domain_scorer("entropy")
    expected = model(selection=scorer).fit(ROWS, MARKED, sample_domain=DOMAINS)
    again = stopped(model(tmp_path, selection=scorer), ROWS, MARKED, sample_domain=DOMAINS, after=after)
    again.fit(ROWS, MARKED, sample_domain=DOMAINS)
    assert again.best_epoch_ == expected.best_epoch_
    assert_same(again, expected, ROWS)


def test_a_seed_that_was_drawn_is_kept(tmp_path):
    drawn = stopped(model(tmp_path, random_state=None), ROWS, MARKED, sample_domain=DOMAINS)
    first = drawn.fit(ROWS, MARKED, sample_domain=DOMAINS).decision_function(ROWS)
    again = model(tmp_path, random_state=None).fit(ROWS, MARKED, sample_domain=DOMAINS)
    np.testing.assert_array_equal(again.decision_function(ROWS), first)


@pytest.mark.parametrize("change", ["row", "label", "domain", "weight", "loss", "backbone"])
def test_another_training_starts_afresh(change, tmp_path):
    data = {"X": ROWS, "y": MARKED, "sample_domain": DOMAINS}
    stopped(model(tmp_path), ROWS, MARKED, sample_domain=DOMAINS)
    params = {"loss": "mcc"} if change == "loss" else {"bottleneck": 16} if change == "backbone" else {}
    if change == "row":
        data["X"] = np.where(np.arange(90)[:, None] == 7, ROWS + 1e-6, ROWS)
    elif change == "label":
        data["y"] = np.where(np.arange(90) == 7, "a", MARKED)
    elif change == "domain":
        data["sample_domain"] = np.where(np.arange(90) == 7, "two", DOMAINS)
    elif change == "weight":
        data["sample_weight"] = np.where(np.arange(90) == 7, 2.0, 1.0)
    expected = model(**params).fit(**data)
    with pytest.warns(CheckpointWarning, match="of other data or parameters"):
        found = model(tmp_path, **params).fit(**data)
    assert_same(found, expected, ROWS)


def test_what_cannot_be_told_apart_is_not_resumed(tmp_path):
    with pytest.warns(CheckpointWarning, match=r"checkpoint_dir=.*resumes none.*schedule \(code that calls eval\)"):
        model(tmp_path, schedule=lambda step, n_steps: eval("1.0")).fit(ROWS, MARKED, sample_domain=DOMAINS)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_damaged_checkpoint_gives_no_wrong_answer(tmp_path):
    expected = model(selection=get_domain_scorer("entropy")).fit(ROWS, MARKED, sample_domain=DOMAINS)
    model_ = stopped(model(tmp_path, selection=get_domain_scorer("entropy")), ROWS, MARKED, sample_domain=DOMAINS)
    (*_, last) = sorted(tmp_path.glob("*.safetensors"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    with pytest.warns(CheckpointWarning, match="include a damaged one"):
        model_.fit(ROWS, MARKED, sample_domain=DOMAINS)
    assert_same(model_, expected, ROWS)
