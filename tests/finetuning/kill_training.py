"""Kill a training at ten random moments; argv: data file, checkpoint folder, where the result goes, options as JSON.

Prints, after each kill, up to which epoch the training is kept, and writes the weights and the number of epochs of the
last, undisturbed run. The children are forked before torch has started any thread, so that they are ready at once.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import nn

from sktl.finetuning import FineTunedClassifier

data = np.load(sys.argv[1])
folder, result, options = Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
rng = np.random.default_rng(0)
torch.set_num_threads(1)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [
            nn.Sequential(nn.Conv2d(n, 2 * n + 2, 3, stride=2), nn.BatchNorm2d(2 * n + 2), nn.ReLU()) for n in (3, 8)
        ]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(18, 2))


class Tells(Callback):
    """Tells the parent that the training of this process begins, and that an epoch has ended."""

    def __init__(self, pipe: int):
        self.pipe = pipe

    def on_train_begin(self, net, **kwargs):
        os.write(self.pipe, b".")

    def on_epoch_end(self, net, **kwargs):
        os.write(self.pipe, b".")


def train(pipe: int, keep: bool = True) -> FineTunedClassifier:
    if data["X"].ndim > 2:
        options["backbone"] = network()
    model = FineTunedClassifier(
        checkpoint_dir=folder if keep else None, random_state=0, callbacks=[Tells(pipe)], **options
    )
    return model.fit(data["X"], data["y"])


def in_child(work, after=None) -> float:
    """Run `work(pipe)`, and kill it some epochs and seconds after training has begun; returns how long it trained."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    start = time.monotonic()
    if after is not None:
        n_epochs, seconds = after
        for _ in range(n_epochs):  # however slow the machine is
            os.read(reading, 1)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    return time.monotonic() - start


def save(name: str, pipe: int, keep: bool) -> None:
    model = train(pipe, keep)
    np.savez(name, n_iter=model.n_iter_, **{k: v.numpy() for k, v in model._learned.tensors.items()})


whole = in_child(lambda pipe: save(result + "-undisturbed.npz", pipe, keep=False))
for _ in range(10):
    in_child(train, (rng.integers(0, 3), rng.uniform(0, 0.1) * whole))
    epochs = [int(path.name.split("-")[1]) for path in folder.glob("*.safetensors")]
    print(max(epochs, default=0), flush=True)
in_child(lambda pipe: save(result + "-killed.npz", pipe, keep=True))
