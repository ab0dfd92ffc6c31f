"""A mistyped number costs no more than the data do, or is refused at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sktl._validation import effective_n_jobs
from sktl.adaptation._batches import DomainBatches, FromTensor, Layout
from sktl.backbones import Preprocessing
from sktl.finetuning import FineTunedClassifier
from sktl.training import TensorBatches

PROGRAM = Path(__file__).with_name("huge_parameters.py")
HUGE = 10**12


def test_every_whole_number():
    pytest.importorskip("resource", reason="memory can be limited on POSIX systems only")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(HUGE)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *broken, last = done.stdout.splitlines()
    assert not broken
    assert int(last.split()[1]) > 120


class TestEpochsOfAnyLength:
    def test_rows_come_as_they_did(self):
        # One permutation after another, also where they are drawn part by part.
        batches = TensorBatches(torch.arange(10), 4, steps_per_epoch=3000, seed=3)
        rows = torch.cat(list(batches))
        assert len(rows) == 12000
        generator = torch.Generator().manual_seed(3)
        assert torch.equal(rows, torch.cat([torch.randperm(10, generator=generator) for _ in range(1200)]))

    def test_nothing_is_made_ahead(self):
        batches = TensorBatches(torch.arange(10), 4, steps_per_epoch=HUGE)
        assert len(batches) == HUGE
        assert len(next(iter(batches))) == 4

    def test_of_two_domains(self):
        X = torch.arange(10.0)[:, None]
        parts = [(np.arange(6), 4), (np.arange(6, 10), 4)]
        options = {"n_epochs": HUGE, "device": torch.device("cpu"), "seed": 0}
        given = (FromTensor(X), torch.zeros(10, dtype=torch.int64), None, parts, Layout((4,), 0, 4))
        first = next(iter(DomainBatches(*given, n_batches=HUGE, **options)))
        assert torch.equal(first.X, next(iter(DomainBatches(*given, n_batches=2, **options))).X)
        assert sum(1 for _ in DomainBatches(*given, n_batches=2500, **options)) == 2500


def test_threads_are_bounded():
    assert effective_n_jobs(HUGE) < 10_000
    assert effective_n_jobs(3) == 3


@pytest.mark.parametrize("given", [{"size": HUGE}, {"size": (32, HUGE)}, {"size": 32, "crop_pct": 1e-9}])
def test_pictures_of_any_size_are_not(given):
    with pytest.raises(ValueError, match=r"Pictures would be scaled to .* at most 16384"):
        Preprocessing(**given)


def test_views_of_frozen_layers():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 255, (6, 64, 64, 3), dtype=np.uint8), np.arange(6) % 2
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        net = nn.Sequential(*layers, nn.Linear(4, 2))
    model = FineTunedClassifier(
        net, strategy="last", freeze_until="0", image_size=64, n_views=HUGE, cache="memory", max_epochs=2,
        augment="flip", random_state=0,
    )  # fmt: skip
    assert model.fit(X, y).predict(X).shape == (6,)


def test_range_test_is_bounded():
    with pytest.raises(ValueError, match="n_steps from 5 to 100000"):
        FineTunedClassifier().find_learning_rate(np.eye(6), [0, 1] * 3, n_steps=HUGE)
