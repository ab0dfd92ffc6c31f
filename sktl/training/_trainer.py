"""Epochs of updates and of validation: the loop itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sktl._deadline import check_deadline
from sktl.training._ema import WeightAverage
from sktl.training._errors import DivergenceError, NonFiniteLossError, diverged
from sktl.training._hooks import BatchHooks
from sktl.training._meter import LossMeter
from sktl.training._optimizers import Rates, largest_rate
from sktl.training._steps import Step
from sktl.training._structure import Batch
from sktl.training._update import Updater


@dataclass
class Clock:
    """Where a training stands, in steps (updates) and epochs since the network was initialised."""

    n_steps: int = 0
    n_epochs: int = 0
    start_step: int = 0  # of the plan that is under way: of the last `fit`
    start_epoch: int = 0
    planned_steps: int | None = None  # the schedule's length
    micro_batch_size: int | None = None  # what memory allowed so far


class Trainer:
    """Runs epochs on a network and keeps its modes, rates and averaged weights as they have to be.

    Parameters
    ----------
    updater : Updater
        Makes a batch an update.
    clock : Clock
        Moved on by each update.
    average : WeightAverage, optional
        Updated each step; in the network between epochs.
    frozen : callable(module) -> iterable of modules, optional
        The parts that stay in evaluation mode.
    keep_last_good : bool, default=False
        Keep a copy of each epoch's final state for the error of a divergence.
    """

    def __init__(
        self,
        updater: Updater,
        clock: Clock,
        *,
        average: WeightAverage | None = None,
        frozen: Callable[[nn.Module], Iterable[nn.Module]] | None = None,
        keep_last_good: bool = False,
    ):
        self.updater = updater
        self.clock = clock
        self.average = average
        self.frozen = frozen
        self.keep_last_good = keep_last_good
        self.rates: Rates | None = None
        self.tick: Callable[[int], None] | None = None  # told the number of steps after each
        self._last_good: dict[str, Tensor] | None = None
        self._last_good_epoch = 0

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.updater.module

    def train_epoch(
        self, batches: Iterable[Batch], *, stop_at: float, hooks: BatchHooks | None = None
    ) -> dict[str, float]:
        """Update the weights batch by batch, up to the clock's step `stop_at`; returns the epoch's means by name.

        Raises
        ------
        DivergenceError
            If a loss is not finite: on a CPU before it is used, elsewhere when the epoch's losses are read.
        """
        self._to_training()
        clock, updater, rates, average = self.clock, self.updater, self.rates, self.average
        start, first_step = clock.start_step, clock.n_steps
        meter = LossMeter()
        with _closing(batches) as epoch:
            for batch in epoch:
                check_deadline()
                if hooks is not None:
                    hooks.begin(batch)
                if rates is not None:
                    rates.set(clock.n_steps - start)
                try:
                    loss, weight, parts = updater(batch)
                except NonFiniteLossError:
                    raise self.diverged("The loss is not finite", clock.n_steps) from None
                clock.n_steps += 1
                if self.tick is not None:
                    self.tick(clock.n_steps)
                meter.add(loss, weight, parts)
                if average is not None:
                    average.update()
                if hooks is not None:
                    hooks.end(batch, loss)
                if meter.first_bad is not None or clock.n_steps >= stop_at:
                    break
        means = meter.means()
        if meter.first_bad is not None:
            raise self.diverged("The loss is not finite", first_step + meter.first_bad)
        if clock.n_steps == first_step:
            raise ValueError("The batches hold nothing: an epoch went by without a single one.")
        if updater.processes is not None:
            updater.processes.average(self.module.buffers())  # each has seen its share
        clock.n_epochs += 1
        clock.micro_batch_size = updater.micro_batch_size
        self._to_evaluation()
        return means

    @torch.no_grad()
    def valid_epoch(self, batches: Iterable[Batch], step: Step, *, hooks: BatchHooks | None = None) -> dict[str, float]:
        """Return the means of `step` over the batches, without updates."""
        meter = LossMeter()
        with _closing(batches) as epoch:
            for batch in epoch:
                check_deadline()
                if hooks is not None:
                    hooks.begin(batch)
                loss, weight, parts = self.updater.evaluate(step, batch)
                meter.add(loss, weight, parts)
                if hooks is not None:
                    hooks.end(batch, loss)
        return meter.means()

    def remember(self) -> None:
        """Keep a copy of the network's state, if that is wanted and its weights are finite."""
        if self.keep_last_good and self.has_finite_weights():
            module = getattr(self.module, "_orig_mod", self.module)  # what torch.compile wraps
            self._last_good = {name: value.detach().clone() for name, value in module.state_dict().items()}
            self._last_good_epoch = self.clock.n_epochs

    def has_finite_weights(self) -> bool:
        """Whether all weights are finite; waits for the device once."""
        with torch.no_grad():
            flags = [parameter.isfinite().all() for parameter in self.module.parameters()]
            return bool(torch.stack(flags).all()) if flags else True

    def diverged(self, what: str, step: int) -> DivergenceError:
        """Return the error that training met in this `step` (counted from 0)."""
        rates = self.rates
        return diverged(
            what,
            epoch=self.clock.n_epochs + 1,
            step=step + 1,
            learning_rate=largest_rate(self.updater.optimizer)
            if rates is None
            else rates.rate_at(step - self.clock.start_step),
            is_clipped=self.updater.clip_norm is not None,
            last_good_state=self._last_good,
            last_good_epoch=self._last_good_epoch,
        )

    def _to_training(self) -> None:
        if self.average is not None:
            self.average.show(False)
        self.module.train()
        for part in self.frozen(self.module) if self.frozen is not None else ():
            part.eval()

    def _to_evaluation(self) -> None:
        if self.average is not None:
            self.average.show(True)
        self.module.eval()


@contextlib.contextmanager
def _closing(batches: Iterable[Batch]) -> Iterator[Iterable[Batch]]:
    """Open one epoch, and close it when it is left: by its end, early, or by an error."""
    epoch: Any = iter(batches)
    try:
        yield epoch
    finally:
        close = getattr(epoch, "close", None)
        if close is not None:
            close()
