"""Which learning rates a training bears."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from skorch.callbacks import Callback
from torch import nn

from sktl.displays import LearningRateDisplay
from sktl.training import DivergenceError

if TYPE_CHECKING:
    from sktl.finetuning._training import FineTuning

SMOOTHING = 0.9  # of the exponential mean of losses
MOST_STEPS = 100_000
BROKEN = 4.0  # times the lowest loss: the test ends there


class StopWhenBroken(Callback):
    """Ends the test when the loss is several times the lowest one."""

    def on_epoch_end(self, net, **kwargs):
        """Compare the last loss."""
        losses = net.history[:, "train_loss"]
        if losses[-1] > BROKEN * max(min(losses), 1e-3):
            raise KeyboardInterrupt


def range_test(
    training: FineTuning, module: nn.Module, *, n_steps: int, low: float, high: float
) -> LearningRateDisplay:
    """Train `module` at rates from `low` to `high`, one batch each."""
    if not (5 <= n_steps <= MOST_STEPS and 0 < low < high):
        raise ValueError(
            f"The range test needs n_steps from 5 to {MOST_STEPS} and 0 < low < high; got {n_steps}, {low!r}, {high!r}."
        )
    budget = dataclasses.replace(training.budget(), max_epochs=n_steps, max_steps=n_steps, n_batches=1)
    plan = training.plan(module, training.budget())
    plan.stages = []
    highest = max(group["lr"] for group in plan.groups)
    for group in plan.groups:
        group["lr"] *= low / highest
    net = training.net(
        plan, budget, schedule=lambda step, n: math.exp(math.log(high / low) * step / max(1, n - 1)),
        callbacks=[("stop_when_broken", StopWhenBroken())],
    )  # fmt: skip
    batches = training.batches(budget, steps_per_epoch=1)  # an epoch a step: its loss stands in the history
    with contextlib.suppress(DivergenceError):  # where the rate breaks the training is what was asked
        net.fit(batches)
    losses = np.asarray([row["train_loss"] for row in net.history.to_list() if "train_loss" in row])
    rates = low * (high / low) ** (np.arange(len(losses)) / max(1, n_steps - 1))
    smoothed = _smoothed(losses)
    best = int(np.argmin(smoothed)) if len(smoothed) else 0
    slopes = np.gradient(smoothed[: best + 1]) if best > 0 else np.zeros(1)
    return LearningRateDisplay(rates, smoothed, float(rates[int(np.argmin(slopes))]) if len(rates) else low)


def _smoothed(losses: np.ndarray) -> np.ndarray:
    # m_t = b m_{t-1} + (1 - b) l_t, divided by 1 - b^t
    mean, out = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        out.append(mean / (1 - SMOOTHING**step))
    return np.asarray(out)
