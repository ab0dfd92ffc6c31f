"""Ctrl-C goes out, wherever it comes; a stop is what a skorch callback raises."""

import signal
import threading

import pytest
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sktl.training import ClassificationStep, TensorBatches, TrainingNet


class Does(Callback):
    """Does something at the end of an epoch."""

    def __init__(self, what, epoch=2):
        self.what = what
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            self.what()


def press():
    signal.raise_signal(signal.SIGINT)


def stop():
    raise KeyboardInterrupt


def press_and_swallow_then_stop():
    try:
        press()
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


def net_with(mlp, *callbacks):
    return TrainingNet(mlp(), ClassificationStep(), max_epochs=5, callbacks=list(callbacks))


@pytest.mark.parametrize("what", [press, press_and_swallow_then_stop])
def test_a_signal_goes_out(mlp, rows, what):
    handler = signal.getsignal(signal.SIGINT)
    net = net_with(mlp, Does(what))
    with pytest.raises(KeyboardInterrupt):
        net.fit(TensorBatches(rows, 16))
    assert len(net.history) == 2
    assert signal.getsignal(signal.SIGINT) is handler


def test_with_a_handler_of_the_users_own(mlp, rows):
    def own(number, frame):
        raise KeyboardInterrupt

    found = signal.signal(signal.SIGINT, own)
    try:
        with pytest.raises(KeyboardInterrupt):
            net_with(mlp, Does(press)).fit(TensorBatches(rows, 16))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert len(net_with(mlp, Does(press)).fit(TensorBatches(rows, 16)).history) == 5
    finally:
        signal.signal(signal.SIGINT, found)


def test_in_early_stopping_itself(mlp, rows, monkeypatch):
    monkeypatch.setattr(EarlyStopping, "on_epoch_end", lambda self, net, **kwargs: press())
    with pytest.raises(KeyboardInterrupt):
        net_with(mlp, EarlyStopping("train_loss")).fit(TensorBatches(rows, 16))


def test_a_callback_stops(mlp, rows):
    asked = []
    net = net_with(mlp, Does(stop), Does(lambda: asked.append(1)))
    assert len(net.fit(TensorBatches(rows, 16)).history) == 2
    assert not asked


def test_in_another_thread_a_callback_stops(mlp, rows):
    net = net_with(mlp, Does(stop))
    thread = threading.Thread(target=net.fit, args=(TensorBatches(rows, 16),))
    thread.start()
    thread.join()
    assert len(net.history) == 2


def test_what_keeps_never_stops(mlp, rows):
    keeping = Does(stop)
    keeping.never_stops = True
    with pytest.raises(KeyboardInterrupt):
        net_with(mlp, keeping).fit(TensorBatches(rows, 16))


def test_before_the_epochs_end(make_module, rows):
    class Pressing(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = make_module((nn.Linear, 4, 3))

        def forward(self, X):
            press()
            return self.body(X)

    with pytest.raises(KeyboardInterrupt):
        TrainingNet(Pressing(), ClassificationStep()).fit(TensorBatches(rows, 16))
