"""What the fine-tuned estimators share: fit as an outline, prediction, what a pickle holds."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_length, row_weights
from sktl._device import PRECISIONS, resolve_device
from sktl._estimator import ModuleSharingMixin
from sktl._inputs import InputKind, read_dense, understand
from sktl._magnitudes import check_finite
from sktl._preprocessing import Preprocessing
from sktl._torch_datasets import refuse_silent_targets
from sktl.backbones import load_backbone
from sktl.cache import CodeCache
from sktl.finetuning._batches import Examples
from sktl.finetuning._checkpoint_key import training_identity
from sktl.finetuning._deployable import Deployable
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._gradient_training import Run, set_head
from sktl.finetuning._heads import LinearHead
from sktl.finetuning._held_back import leave_out_unreached
from sktl.finetuning._held_out import NOTHING, HeldOut
from sktl.finetuning._learning_rate_finder import LearningRateDisplay, range_test
from sktl.finetuning._lora import AdapterByName, LoRA
from sktl.finetuning._networks import HIDDEN, PictureSpec, RowSpec, picture_spec
from sktl.finetuning._predicting import outputs_of
from sktl.finetuning._reopening import Reopenable
from sktl.finetuning._resolved import resolved
from sktl.finetuning._session import SeenWeights, Session
from sktl.finetuning._settings import Settings
from sktl.finetuning._strategies import STRATEGIES
from sktl.finetuning._training import FineTuning, Task
from sktl.images import AUGMENTATIONS
from sktl.training import (
    OPTIMIZERS,
    SCHEDULES,
    EpochTasks,
    TrainingNet,
    best_epoch_of,
    history_of,
    kept_training,
    processes_of,
    shared_seed,
)

DEFAULT_BACKBONE = "efficientnet_lite0"


class FineTuned(Deployable, Reopenable, CallbackSupportMixin, AdapterByName, ModuleSharingMixin):
    """Abstract: a network adjusted to data; subclasses say what the targets are."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012
    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        "backbone": [str, nn.Module, callable],
        "weights": [str, Path, None],
        "strategy": [StrOptions(set(STRATEGIES))],
        "layer": [str, Interval(Real, 0, 1, closed="right")],
        "freeze_until": [str, Interval(Real, 0, 1, closed="right"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "tuned_share": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_steps": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions(set(SCHEDULES)), callable, None],
        "augment": [StrOptions({"auto", *AUGMENTATIONS}), callable, None],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "l2_sp": [Interval(Real, 0, None, closed="left")],
        "freeze_bn": ["boolean", StrOptions({"auto"})],
        "adapter": [StrOptions({"lora"}), LoRA, None],
        "ema": [Interval(Real, 0, 1, closed="left"), None],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocessing": [Preprocessing, Mapping, None],
        "n_views": [Interval(Integral, 1, None, closed="left"), None],
        "progressive_resizing": [Interval(Real, 0, 1, closed="right"), None],
        "n_jobs": [Integral, None],
        "cache": [str, Path, CodeCache, None],
        "checkpoint_dir": [str, Path, None],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "compile": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def _task(
        self, y: Any, *, weight: np.ndarray | None, goes_on: bool, classes: Any = None
    ) -> tuple[Task, np.ndarray, dict[str, Any]]:
        """Return what is to be learned, y as its loss wants it, and the attributes that are learned of y."""

    def _weights(self, sample_weight: Any, y: Any, X: Any) -> np.ndarray | None:
        return None if sample_weight is None else row_weights(sample_weight, len(X))

    def _training_of(
        self, X: Any, y: Any, sample_weight: Any, *, goes_on: bool, holds_out: bool = True, classes: Any = None,
        lasting: contextlib.ExitStack | None = None, given: HeldOut = NOTHING,
    ) -> tuple[FineTuning, dict[str, Any]]:  # fmt: skip
        """Read, target, split, network: returns the training and the attributes that are learned of y."""
        refuse_silent_targets(X, y, self)
        if y is None:
            raise ValueError(f"This {type(self).__name__} requires y to be passed, but the target y is None.")
        device, settings = resolve_device(self.device), Settings.of(self)
        kind, task, examples, learned = self._read_examples(X, y, sample_weight, goes_on=goes_on, classes=classes)
        self._check_examples(examples, is_whole=holds_out)
        own = given.examples(self, kind, learned)
        start, processes = self._learned if goes_on else None, processes_of(self.device)
        base = shared_seed(self.random_state, self.device)
        keeper = saved = None
        if lasting is not None and self.checkpoint_dir is not None and settings.strategy.trains:
            network = self._spec(kind, examples.data, task, 0) if start is None else start.spec
            seed = None if self.random_state is None else base
            key, unknown = training_identity(self, network, examples, start, seed, own, given.groups)
            keeper, saved, base = kept_training(self, key, unknown, base, lasting, processes=processes)
        seeds = np.random.SeedSequence(base).generate_state(4) >> 1
        train, valid = examples, own
        if holds_out and own is None and settings.strategy.trains:
            parts = given.parts(self, task, examples, len(examples.data), int(seeds[3]))
            train, valid = (examples, None) if parts is None else (examples.take(parts[0]), examples.take(parts[1]))
        spec = self._spec(kind, examples.data, task, int(seeds[0])) if start is None else start.spec
        scaler = None
        if kind.is_rows:
            rows: Any = examples.data
            scaler = self._scaler if goes_on else task.scaler(rows[train.indices], train.weight, train.target)
            train, valid = _scaled(scaler, train, valid)
        return FineTuning(settings, kind, spec, task, train, valid, scaler, device, seeds, keeper, saved, self), learned

    def _read_examples(
        self, X: Any, y: Any, sample_weight: Any, *, goes_on: bool, classes: Any
    ) -> tuple[InputKind, Task, Examples, dict[str, Any]]:
        """Return how X is read, what is to be learned, the rows with their targets, and what is learned of y."""
        kind: InputKind = self._kind if goes_on else self._understood(X)
        self._check_combination(kind)
        data: Any = read_dense(self, X, kind, reset=not goes_on)
        check_length(y, len(data), "y")
        weight = self._weights(sample_weight, y, data)
        # A row of weight 0 is as if it were not there.
        rows = np.arange(len(data)) if weight is None else np.flatnonzero(weight > 0)
        task, target, learned = self._task(y, weight=weight, goes_on=goes_on, classes=classes)
        return kind, task, Examples(data, rows, target[rows], None if weight is None else weight[rows]), learned

    def _understood(self, X: Any) -> InputKind:
        return understand(self, X, self.backbone, modules_take_rows=False)

    def _spec(self, kind: InputKind, data: Any, task: Task, seed: int) -> PictureSpec | RowSpec:
        if kind.is_rows:
            return RowSpec(data.shape[1], int(np.clip(data.shape[1], *HIDDEN)), task.n_outputs, seed)
        is_auto = isinstance(self.backbone, str) and self.backbone == "auto"
        backbone = DEFAULT_BACKBONE if is_auto else self.backbone
        # From scratch, the values are drawn later: published ones need not be at hand.
        weights = None if STRATEGIES[self.strategy].is_random and isinstance(backbone, str) else self.weights
        network_seed = int(self.random_state) if isinstance(self.random_state, Integral) else 0
        loaded = load_backbone(backbone, weights, seed=network_seed)
        size: Any = self.image_size
        size = size if size is None or isinstance(size, Integral) else tuple(size)
        preprocessing = loaded.preprocessing.resized_to(size).overridden_by(self.preprocessing)
        unit_length = task.unit_length and STRATEGIES[self.strategy].solves_head
        return picture_spec(backbone, weights, network_seed, preprocessing, self.layer, task.n_outputs, unit_length)

    def _fit(self, X: Any, y: Any, sample_weight: Any, given: HeldOut):
        with contextlib.ExitStack() as lasting:
            return self._fit_in(X, y, sample_weight, lasting, given)

    def _fit_in(self, X: Any, y: Any, sample_weight: Any, lasting: contextlib.ExitStack, given: HeldOut):
        goes_on = bool(self.warm_start) and hasattr(self, "_learned")
        training, learned = self._training_of(X, y, sample_weight, goes_on=goes_on, lasting=lasting, given=given)
        strategy, budget = training.strategy, training.budget()
        run = Run(training, self._learned if goes_on else None, schedule=self.schedule) if strategy.trains else None
        n_tasks = int(not training.kind.is_rows) if run is None else run.n_stages + budget.n_epochs
        context = training.context = self._init_callback_context(max_subtasks=n_tasks)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        fitted: dict[str, Any] = {**learned, "_kind": training.kind, "_scaler": training.scaler, "_session": None}
        fitted["_seen_weights"] = SeenWeights().with_rows(training.train.weight, len(training.train))
        if run is None:
            head = training.solved_head()
            tensors = {"head.weight": torch.from_numpy(head.weight), "head.bias": torch.from_numpy(head.bias)}
            fitted |= {
                "_learned": FittedNetwork(training.spec, tensors),
                "n_iter_": max(head.n_iter, 1),
                "history_": [],
            }
            fitted |= resolved(training, budget, None, head)
        else:
            so_far = {**fitted, "n_iter_": 1, "history_": [], "_learned": run.live()}
            net = run.train(EpochTasks(self, context, X, y, fitted=lambda: so_far))
            leave_out_unreached(run.plan, net.optimizer_, self)
            fitted |= _outcome(net, run.learned(), self.history_ if goes_on else [])
            fitted |= resolved(training, run.budget, run.plan, run.head, run.share)
        self.__dict__.update(fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None):
        goes_on = hasattr(self, "_learned")
        training, learned = self._training_of(X, y, sample_weight, goes_on=goes_on, holds_out=False, classes=classes)
        budget = training.budget()
        session: Session = getattr(self, "_session", None) or Session(budget)
        head: LinearHead | None = None
        if session.net is not None:
            module = session.net.module
        elif goes_on:
            module = self._learned.trainable()
        else:
            has_all = training.task.n_classes in (None, len(np.unique(training.train.target)))
            head = training.solved_head() if training.strategy.solves_head and has_all else None
            module = _started(training, head)
        seen = (getattr(self, "_seen_weights", SeenWeights()) if goes_on else SeenWeights()).with_rows(
            training.train.weight, len(training.train)
        )
        if training.train.weight is not None or seen.mean != 1:
            weight = np.ones(len(training.train)) if training.train.weight is None else training.train.weight
            training.train = dataclasses.replace(training.train, weight=weight, mean_weight=seen.mean)
        net = session.open(training, module)
        try:
            n_before = getattr(self, "n_iter_", 0) if goes_on else 0
            net.partial_fit(training.batches(budget, seed_shift=n_before), epochs=1)
        except BaseException:  # an interrupt too: what was learned before stays as it was
            self._session = None
            if goes_on:
                self._learned = copy.deepcopy(self._learned)  # of the values kept, not the network just spoilt
            raise
        if session.plan is not None:
            leave_out_unreached(session.plan, net.optimizer_, self)
        network = FittedNetwork.of(net.module, training.spec, training.settings.adapter)
        outcome = _outcome(net, network, self.history_ if goes_on else [], last=1)
        outcome |= resolved(training, session.budget, session.plan, head)
        self.__dict__.update(
            {
                **learned,
                "_kind": training.kind,
                "_scaler": training.scaler,
                **outcome,
                "_session": session,
                "_seen_weights": seen,
            }
        )
        return self

    def find_learning_rate(
        self, X: Any, y: Any, sample_weight: Any = None, *, n_steps: int = 60, low: float = 1e-6, high: float = 1.0
    ) -> LearningRateDisplay:
        """Train a while at ever larger rates, from where `fit` would start, and see where the loss falls and breaks.

        Nothing is learned; the estimator stays as it is.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        n_steps : int, default=60
            Updates, at most.
        low, high : float
            First and last rate of the head.

        Returns
        -------
        LearningRateDisplay
            The losses, a suggestion, and ``plot()``.
        """
        self._validate_params()
        if not STRATEGIES[self.strategy].trains:
            raise ValueError('strategy="head" is solved, not trained: it has no learning rate to find.')
        blank = clone(self)
        training, _ = blank._training_of(X, y, sample_weight, goes_on=False, holds_out=False)
        head = training.solved_head() if training.strategy.solves_head else None
        return range_test(training, _started(training, head), n_steps=n_steps, low=low, high=high)

    def _check_combination(self, kind: InputKind) -> None:
        strategy = STRATEGIES[self.strategy]
        if self.adapter is not None and (strategy.is_random or not strategy.trains):
            raise ValueError(
                f"adapter={self.adapter!r} changes pretrained layers, but strategy={self.strategy!r} "
                f"{'has none' if strategy.is_random else 'leaves them as they are'}. Use 'lp-ft', 'full' or 'last'."
            )
        if kind.is_rows and getattr(self, "cutmix", 0) > 0:
            raise ValueError(f"cutmix={self.cutmix} cuts patches of pictures, but X holds feature rows. Use mixup.")

    def _check_examples(self, examples: Examples, *, is_whole: bool) -> None:
        if is_whole and len(examples) < 2:
            raise ValueError(
                f"Found array with {len(examples)} sample(s) of weight above zero while a minimum of 2 is required by "
                f"{type(self).__name__}; one sample is not enough."
            )

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs, float64."""
        check_is_fitted(self, "n_iter_")
        outputs = outputs_of(self, self._learned, self._read(X), resolve_device(self.device))
        return check_finite(outputs, self)

    @property
    def module_(self) -> nn.Module:
        """The network in evaluation mode: pictures with values in 0..255, or standardised rows, to outputs."""
        check_is_fitted(self, "n_iter_")
        return self._learned.module(resolve_device(self.device))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = tags.input_tags.sparse = True
        return tags


def _started(training: FineTuning, head: LinearHead | None) -> nn.Module:
    """Return the network as training finds it."""
    module = training.network()
    if head is not None:
        set_head(module, head)
    return module


def _outcome(net: TrainingNet, learned: FittedNetwork, before: list, *, last: int | None = None) -> dict[str, Any]:
    rows = history_of(net, before, last=last)
    return {"_learned": learned, "history_": rows, "n_iter_": len(rows), "best_epoch_": best_epoch_of(net, rows)}


def _scaled(scaler: Any, train: Examples, valid: Examples | None) -> tuple[Examples, Examples | None]:
    """Return both parts with standardised rows; parts of one table stay parts of one."""
    data = scaler.transform(train.data)
    if valid is not None:
        valid = dataclasses.replace(valid, data=data if valid.data is train.data else scaler.transform(valid.data))
    return dataclasses.replace(train, data=data), valid
