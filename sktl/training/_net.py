"""The gradient loop: one skorch net that every training of the library runs in."""

from __future__ import annotations

import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sktl._modes import plain_modes
from sktl.training._ema import WeightAverage
from sktl.training._hooks import batch_hooks, checked_callbacks, gradient_hook
from sktl.training._interrupts import end_epoch
from sktl.training._optimizers import ParamGroups, Rates, largest_rate, make_optimizer, parameter_groups, planned_steps
from sktl.training._predicting import PredictingNet
from sktl.training._printing import TableLog, shown_progress
from sktl.training._processes import Processes
from sktl.training._progress import EpochTasks
from sktl.training._random import BorrowedGenerators
from sktl.training._schedules import Schedule, get_schedule
from sktl.training._state import state_of_batches
from sktl.training._steps import Step
from sktl.training._structure import split_rows
from sktl.training._trainer import Clock, Trainer
from sktl.training._update import Split, Updater


class TrainingNet(PredictingNet):
    """Trains a module in place by a step on batches.

    skorch's net with the inner loop replaced: no dataset, loader or collation; losses are read once an epoch, and
    callbacks hear of batches only if one listens. Epoch hooks, history, early stopping, checkpoints are skorch's.

    Parameters
    ----------
    module : nn.Module
        Trained in place. All that is learned belongs to it: a discriminator of a loss too.
    step : callable(module, batch) -> loss, (loss, weight) or StepResult
        The mean loss of a batch, a 0-d tensor; `weight` is what it weighs among the batches of an epoch.
    valid_step : callable, optional
        The same for validation, without gradients; by default `step`.
    optimizer : {"sgd", "adam", "adamw"} or callable(groups, lr=..., **options) -> Optimizer, default="adamw"
        "sgd" has Nesterov momentum 0.9.
    lr : float, default=1e-3
        Base rate of the groups that have none of their own.
    weight_decay : float, optional
        By default the optimizer's own.
    optimizer_options : dict, optional
        Further arguments of the optimizer.
    param_groups : list of dict, or callable(module) -> list of dict, optional
        ``{"params": ..., "lr": ..., "weight_decay": ...}``; by default one group of all parameters.
    schedule : {"constant", "linear", "cosine", "one_cycle", "steps", "dann"} or callable(step, n_steps), optional
        Factor of each group's base rate at a step; None leaves the rates alone (to skorch's LRScheduler, say).
    momentum_schedule : callable(step, n_steps), optional
        The same for momentum (or Adam's first beta); see `one_cycle_momentum`.
    max_epochs, max_steps : int or None, default=(10, None)
        Passes through the batches, and updates; training ends at whichever bound comes first.
    clip_norm, micro_batch_size, split, dtype
        As in `Updater`.
    ema_decay : float, optional
        Keep an exponential moving average of the weights, and validate and end with it.
    frozen : callable(module) -> iterable of modules, optional
        The parts that stay in evaluation mode during training (frozen batch norm).
    keep_last_good : bool, default=False
        Keep a copy of each epoch's final state, for the error that is raised if training diverges.
    classify : bool, default=False
        Whether `predict` returns the index of the largest output.
    callbacks, predict_nonlinearity, compile
        As in skorch.
    warm_start : bool, default=False
        Whether a second `fit` goes on, with the optimizer's state.
    verbose : int, default=0
        1 shows the time left, from 5 seconds on; 2 prints a line an epoch.
    device : torch.device or str, default="cpu"
        Where the module goes; batches must be there too.
    random_state : int, default=0
        Seeds what the module draws (dropout); batches have a seed of their own.
    processes : Processes, optional
        Among which the rows of each batch are shared; all must make the same calls. The first one prints.

    Attributes
    ----------
    history : skorch.history.History
        A row an epoch: epoch, train_loss, valid_loss, ``_best`` flags, further means, lr (the largest), dur.
    clock_ : Clock
        Steps and epochs so far.
    average_ : WeightAverage or None
        With `ema_decay`. Between epochs and after training the module holds the average.
    """

    def __init__(
        self,
        module: nn.Module,
        step: Step,
        *,
        valid_step: Step | None = None,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "adamw",
        lr: float = 1e-3,
        weight_decay: float | None = None,
        optimizer_options: Mapping[str, Any] | None = None,
        param_groups: ParamGroups | None = None,
        schedule: str | Schedule | None = None,
        momentum_schedule: Schedule | None = None,
        max_epochs: int | None = 10,
        max_steps: int | None = None,
        clip_norm: float | None = None,
        micro_batch_size: int | None = None,
        split: Split | None = split_rows,
        dtype: torch.dtype = torch.float32,
        ema_decay: float | None = None,
        frozen: Callable[[nn.Module], Iterable[nn.Module]] | None = None,
        keep_last_good: bool = False,
        classify: bool = False,
        callbacks: list | None = None,
        predict_nonlinearity: Callable | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        device: torch.device | str = "cpu",
        compile: bool = False,
        random_state: int = 0,
        processes: Processes | None = None,
    ):
        self.processes = processes
        self.step = step
        self.valid_step = valid_step
        self.weight_decay = weight_decay
        self.optimizer_options = optimizer_options
        self.param_groups = param_groups
        self.schedule = schedule
        self.momentum_schedule = momentum_schedule
        self.max_steps = max_steps
        self.clip_norm = clip_norm
        self.micro_batch_size = micro_batch_size
        self.split = split
        self.dtype = dtype
        self.ema_decay = ema_decay
        self.frozen = frozen
        self.keep_last_good = keep_last_good
        self.classify = classify
        self.random_state = random_state
        super().__init__(
            module,
            nn.Identity,  # the step is the criterion; skorch's checkpoints ask for a module
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            train_split=None,
            callbacks=checked_callbacks(callbacks),
            predict_nonlinearity=predict_nonlinearity,
            warm_start=warm_start,
            verbose=verbose if processes is None or processes.is_first else 0,
            device=device,
            compile=compile,
        )

    def _get_param_names(self):
        return [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]

    def get_default_callbacks(self):
        """Return the callbacks that are always there: a table of epochs, if verbose above 1."""
        return [("print_log", TableLog())] if self.verbose > 1 else []

    def initialize(self):
        """Set up the optimizer, the callbacks and an empty history; the module's weights stay as they are."""
        if self.max_epochs is None and self.max_steps is None:
            raise ValueError("max_epochs and max_steps are both None; training would never end. Give one of them.")
        get_schedule(self.schedule)
        super().initialize()
        updater = Updater(
            self.module_,
            self.step,
            self.optimizer_,
            device=torch.device(self.device),
            dtype=self.dtype,
            clip_norm=self.clip_norm,
            micro_batch_size=self.micro_batch_size,
            split=self.split,
            processes=self.processes,
        )
        updater.on_gradients = gradient_hook(self, [callback for _, callback in self.callbacks_])
        self.clock_ = Clock(micro_batch_size=self.micro_batch_size)
        self.average_ = None if self.ema_decay is None else WeightAverage(self.module, self.ema_decay)
        self.trainer_ = Trainer(
            updater, self.clock_, average=self.average_, frozen=self.frozen, keep_last_good=self.keep_last_good
        )
        self._generators: dict[str, torch.Tensor] = {}  # where torch's generators stood when training paused
        self._batches_state: dict[str, torch.Tensor] | None = None
        self._is_restored = False
        self._best: dict[str, float] = {}  # lowest losses so far, of training and of validation
        self._batches: Any = None  # while training
        return self

    def initialize_optimizer(self, triggered_directly=None):
        """Make the optimizer of the module's parameters."""
        self.optimizer_ = make_optimizer(
            self.optimizer,
            parameter_groups(self.module, self.param_groups),
            lr=self.lr,
            weight_decay=self.weight_decay,
            options=self.optimizer_options,
        )
        return self

    def fit(self, batches, valid_batches=None, *, progress: EpochTasks | None = None):
        """Train for `max_epochs` or `max_steps`, from the module's present weights.

        Parameters
        ----------
        batches, valid_batches : TensorBatches, StreamBatches, or anything with ``__iter__`` (an epoch) and ``__len__``
            What is trained on, and what the validation loss is taken on, if anything.
        progress : EpochTasks, optional
            Reports epochs to scikit-learn's callbacks.

        Returns
        -------
        self

        Raises
        ------
        DivergenceError
            If a loss, or in the end a weight, is not finite.
        """
        if not (self.warm_start and self.initialized_):
            self.initialize()
        return self.partial_fit(batches, valid_batches, restart_schedule=True, progress=progress)

    def partial_fit(
        self,
        batches,
        valid_batches=None,
        *,
        epochs: int | None = None,
        max_steps: int | None = None,
        restart_schedule: bool = False,
        progress: EpochTasks | None = None,
    ):
        """Train on, for another `epochs` and `max_steps` (by default the constructor's), keeping the optimizer's state.

        The schedule goes on too: it spans the constructor's `max_epochs` and `max_steps` from where it started
        last, and stays at its end beyond. `restart_schedule` starts it anew.
        """
        if not self.initialized_:
            self.initialize()
        if restart_schedule:
            clock = self.clock_
            clock.start_step, clock.start_epoch, clock.planned_steps = clock.n_steps, clock.n_epochs, None
        if epochs is None and max_steps is None:
            epochs, max_steps = self.max_epochs, self.max_steps
        return self._train(batches, valid_batches, epochs, max_steps, progress)

    def resume(self, batches, valid_batches=None, *, progress: EpochTasks | None = None):
        """Do what is left of an interrupted `fit`: the rest of `max_epochs` and `max_steps`."""
        if not self.initialized_:
            self.initialize()
        clock = self.clock_
        epochs = None if self.max_epochs is None else self.max_epochs - (clock.n_epochs - clock.start_epoch)
        steps = None if self.max_steps is None else self.max_steps - (clock.n_steps - clock.start_step)
        if min(1 if epochs is None else epochs, 1 if steps is None else steps) < 1:
            self.notify("on_train_begin", X=None, y=None)  # what callbacks do at the end is left to do
            self.notify("on_train_end", X=None, y=None)
            return self
        return self._train(batches, valid_batches, epochs, steps, progress)

    def _train(self, batches, valid_batches, epochs: int | None, steps: int | None, progress: EpochTasks | None):
        trainer, clock = self.trainer_, self.clock_
        stop_at = math.inf if steps is None else clock.n_steps + steps
        if (epochs is not None and epochs < 1) or clock.n_steps >= stop_at:
            return self
        factor = get_schedule(self.schedule)
        if factor is not None:
            if clock.planned_steps is None:
                clock.planned_steps = planned_steps(batches, self.max_epochs, self.max_steps)
            trainer.rates = Rates(self.optimizer_, clock.planned_steps, factor, self.momentum_schedule)
        if self._is_restored and self._batches_state is not None:
            batches.load_state_dict(self._batches_state)
        self._is_restored = False
        self._batches = batches
        if self.processes is not None:
            self.processes.align(self.module)
        seed = self.random_state + (0 if self.processes is None else self.processes.rank)
        try:
            self._borrowed = own = BorrowedGenerators(torch.device(self.device), seed, self._generators)
            self._generators = own.left
            with plain_modes(), own:
                self.notify("on_train_begin", X=None, y=None)
                self.fit_loop(batches, valid_batches, epochs, stop_at=stop_at, progress=progress)
                if not trainer.has_finite_weights():
                    raise trainer.diverged("The weights are not finite", clock.n_steps - 1)
                self.notify("on_train_end", X=None, y=None)
        finally:
            self._batches_state = state_of_batches(batches)
            self._batches = self._borrowed = None  # the data is not kept
        return self

    def fit_loop(self, X, y=None, epochs=None, *, stop_at: float = math.inf, progress: EpochTasks | None = None):
        """Run the epochs; X are the batches and y those of validation."""
        batches, valid_batches = X, y
        data = {"dataset_train": batches, "dataset_valid": valid_batches}
        with shown_progress(self, batches, epochs, stop_at, progress):
            for _ in itertools.count() if epochs is None else range(epochs):
                if self.clock_.n_steps >= stop_at:
                    break
                start = time.perf_counter()
                with self.lent_generators():
                    if progress is not None:
                        progress.epoch_begin()
                    self.notify("on_epoch_begin", **data)
                self.run_single_epoch(batches, training=True, stop_at=stop_at)
                self.run_single_epoch(valid_batches, training=False)
                self.history[-1].update(lr=largest_rate(self.optimizer_), dur=time.perf_counter() - start)
                self.trainer_.remember()
                with self.lent_generators():
                    stops = end_epoch(self, data)
                    if progress is not None:
                        stops = progress.epoch_end() or stops
                if stops:
                    break
        return self

    def run_single_epoch(self, iterator, training, *, stop_at: float = math.inf):
        """Run one epoch of training or of validation and record its means; None is skipped."""
        if iterator is None:
            return
        hooks = batch_hooks(self, [callback for _, callback in self.callbacks_], is_training=training)
        n_before = self.clock_.n_steps
        try:
            if training:
                means = self.trainer_.train_epoch(iterator, stop_at=stop_at, hooks=hooks)
                self.history.record("train_batch_count", self.clock_.n_steps - n_before)
                if hooks is None:
                    self.history.new_batch()  # skorch's checkpoints look for a last batch
            else:
                means = self.trainer_.valid_epoch(iterator, self.valid_step or self.step, hooks=hooks)
        finally:
            if hooks is not None:
                hooks.close()
        prefix = "train" if training else "valid"
        loss = means.get("loss", math.nan)
        row = self.history[-1]
        row.update({f"{prefix}_{name}": value for name, value in means.items()})
        row[f"{prefix}_loss_best"] = loss < self._best.get(prefix, math.inf)
        if row[f"{prefix}_loss_best"]:
            self._best[prefix] = loss
