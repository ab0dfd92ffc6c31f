"""Settings that are told apart by what is inside a callable; run as a script, a training with them is interrupted."""

import functools
import math
import sys
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

from sktl.fewshot import ProtoNetLearner
from sktl.finetuning import FineTunedClassifier


class Stop(BaseException):
    pass


class StopAfter(Callback):
    """Only looks on, and ends everything."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise Stop


class Interferes(Callback):
    """Halves the weights after each epoch, or whatever `factor` says."""

    def __init__(self, factor):
        self.factor = factor

    def on_epoch_end(self, net, **kwargs):
        with torch.no_grad():
            for value in net.module_.parameters():
                value *= self.factor


class Decay:
    """A schedule with a number inside."""

    def __init__(self, rate):
        self._rate = rate

    def __call__(self, step, n_steps):
        return math.exp(-self._rate * step)


def fading(rate):
    return lambda step, n_steps: 1.0 / (1.0 + rate * step)


class Brighter:
    def __init__(self, by):
        self._by = by

    def __call__(self, pictures, generator):
        return pictures.float() * self._by


def sgd(momentum):
    return functools.partial(torch.optim.SGD, momentum=momentum)


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6))
    return X, np.where(X[:, 0] * X[:, 1] > 0, "same", "other")


def classes():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 8)
    return (rng.normal(size=(6, 5))[y] + rng.normal(size=(48, 5)) / 2).astype(np.float32), y


def network(scale=1.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU())
    made.register_forward_hook(lambda module, inputs, output: output * scale)
    return made


def tuned(folder, **options):
    return FineTunedClassifier(
        checkpoint_dir=folder,
        **{"max_epochs": 4, "strategy": "full", "learning_rate": 0.05, "random_state": 0, **options},
    )


def resumed_models(folder):
    """Return models that another process is to go on with, with their data."""
    return [
        (tuned(folder / "tuned", optimizer=sgd(0.7), schedule=Decay(0.1), batch_size=20), rows()),
        (learner(folder / "learner", backbone=network(2.0), schedule=fading(0.3)), classes()),
    ]


def learner(path, **options):
    options = {"n_way": 3, "n_shot": 2, "n_query": 2, "n_episodes": 300, "meta_batch_size": 1, "random_state": 0,
               **options}  # fmt: skip
    return ProtoNetLearner(checkpoint_dir=path, **options)


if __name__ == "__main__":
    for model, data in resumed_models(Path(sys.argv[1])):
        try:
            model.set_params(callbacks=[StopAfter(1)]).fit(*data)
        except Stop:
            print("stopped", flush=True)
