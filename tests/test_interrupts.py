"""Ctrl-C goes out of every family's training, while a callback or a scorer runs too."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from skorch.callbacks import Callback

import sktl
from sktl.adaptation import GradualAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.fewshot import MAMLLearner, ProtoNetLearner


def press(*args, **kwargs):
    signal.raise_signal(signal.SIGINT)
    return 0.0


class Pressing(Callback):
    """Presses Ctrl-C at the end of an epoch."""

    def on_epoch_end(self, net, **kwargs):
        press()


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = np.arange(60) % 3
MARKED = np.where(np.arange(60) < 30, Y, -1)


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        (sktl.FineTunedClassifier(callbacks=[Pressing()]), Y),
        (sktl.FineTunedRegressor(callbacks=[Pressing()]), X[:, 0]),
        (sktl.DomainAdaptedClassifier(callbacks=[Pressing()]), MARKED),
        (sktl.DomainAdaptedClassifier(selection=press, callbacks=[Pressing()]), MARKED),
        (SourceFreeAdaptedClassifier(sktl.DomainAdaptedClassifier(callbacks=[Pressing()])), MARKED),
        (GradualAdaptedClassifier(sktl.FineTunedClassifier(callbacks=[Pressing()])), MARKED),
        (ProtoNetLearner(n_episodes=8, n_way=2, n_shot=1, n_query=1, callbacks=[Pressing()]), Y),
        (MAMLLearner(n_episodes=8, n_way=2, n_shot=1, n_query=1, callbacks=[Pressing()]), Y),
    ],
    ids=lambda value: type(value).__name__,
)
def test_goes_out(estimator, y):
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert not hasattr(estimator, "n_iter_")


def test_meta_training_goes_on_after_it(tmp_path, monkeypatch):
    options = {"n_episodes": 1600, "meta_batch_size": 4, "n_way": 2, "n_shot": 1, "n_query": 1, "random_state": 0}
    expected = ProtoNetLearner(**options).fit(X, Y)
    assert len(expected.history_) > 2
    model = ProtoNetLearner(checkpoint_dir=tmp_path / "kept", **options)
    replace, n_calls = os.replace, 0

    def pressed(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            press()
        return replace(*args)

    monkeypatch.setattr("os.replace", pressed)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    monkeypatch.undo()
    assert model.fit(X, Y).history_[-1]["train_loss"] == expected.history_[-1]["train_loss"]
    assert len(model.history_) == len(expected.history_)


ENGINES_COME_AND_GO = """
import faulthandler, gc, signal
import numpy as np, torch
from torch import nn
import sktl
faulthandler.enable()
pictures = np.zeros((2, 16, 16, 3), np.uint8)
networks = [nn.Sequential(nn.Conv2d(3, n, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, 2))
            for n in (4, 5, 6)]
for network in networks:
    sktl.CNNCodesTransformer(network, image_size=16, engine="openvino").fit_transform(pictures)
del network
while networks:  # the first one goes first
    networks.pop(0)
    gc.collect()
sktl.clear_memory()
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("goes on")
"""


def test_signals_arrive_after_engines_have_gone():
    """OpenVINO's cores set stacks for signals aside, and put one back that may be gone."""
    pytest.importorskip("openvino", reason="the engine is an optional package")
    done = subprocess.run([sys.executable, "-c", ENGINES_COME_AND_GO], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "goes on", (done.returncode, done.stderr[-2000:])
