"""One fit, from data that were understood to a network that has learned: the outline of fine-tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping
from torch import nn

from sktl._device import resolve_precision
from sktl._extraction import Extractor, cache_for
from sktl._preprocessing import Preprocessing
from sktl.backbones import CodeRecipe, auto_batch_size
from sktl.finetuning._augment import augmentation_for, mixture
from sktl.finetuning._batches import Examples, make_batches
from sktl.finetuning._budget import Budget, budget_for
from sktl.finetuning._heads import LinearHead
from sktl.finetuning._inputs import InputKind
from sktl.finetuning._lora import LoRA
from sktl.finetuning._losses import StartingPointStep
from sktl.finetuning._networks import PictureSpec, RowSpec
from sktl.finetuning._plan import GradualUnfreezing, Plan, make_plan, starting_point
from sktl.finetuning._strategies import STRATEGIES, Strategy
from sktl.images import PictureSource
from sktl.training import Step, TrainingNet

SGD_FACTOR = 10.0  # plain gradients need larger rates than Adam's normalised ones
IMPROVEMENT = 1e-4  # of the validation loss, relative


@dataclasses.dataclass(frozen=True)
class Task:
    """What classification and regression do differently.

    Attributes
    ----------
    n_outputs : int
        Of the head.
    solve : callable(codes, target, sample_weight) -> LinearHead
        The linear model.
    step, valid_step : Step
        The loss in training and in validation.
    n_classes : int or None
        None is regression.
    """

    n_outputs: int
    solve: Callable[[np.ndarray, np.ndarray, np.ndarray | None], LinearHead]
    step: Step
    valid_step: Step
    n_classes: int | None


@dataclasses.dataclass
class Job:
    """The data of one fit and what was decided about it.

    Attributes
    ----------
    estimator : estimator
        Its parameters are read, nothing is written to it.
    train, valid : Examples
        `valid` is None where nothing is held out.
    scaler : StandardScaler or None
        Of feature rows.
    seeds : array of int
        For the network, the batches, the training, in this order.
    """

    estimator: Any
    kind: InputKind
    spec: PictureSpec | RowSpec
    task: Task
    train: Examples
    valid: Examples | None
    scaler: StandardScaler | None
    device: torch.device
    seeds: np.ndarray

    @property
    def strategy(self) -> Strategy:
        """Return the strategy's row of the table."""
        return STRATEGIES[self.estimator.strategy]

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Return that of pictures."""
        return None if self.kind.is_rows else self.spec.preprocessing  # type: ignore[union-attr]

    @property
    def adapter(self) -> LoRA | None:
        """Return the adapter as an object."""
        adapter = self.estimator.adapter
        return LoRA() if isinstance(adapter, str) else adapter

    def solved_head(self) -> LinearHead:
        """Return the linear model on the training part's codes."""
        codes = codes_of(self.estimator, self.spec, self.device, self.train.data)[self.train.indices]
        return self.task.solve(codes, self.train.target, self.train.weight)

    def budget(self) -> Budget:
        """Return how long to train."""
        e = self.estimator
        return budget_for(
            len(self.train), device=self.device, is_rows=self.kind.is_rows, batch_size=e.batch_size,
            max_epochs=e.max_epochs, max_steps=e.max_steps, strategy_epochs=self.strategy.max_epochs,
        )  # fmt: skip

    def plan(self, module: nn.Module, budget: Budget) -> Plan:
        """Return which parameters of `module` train at which rates; they are set to do so."""
        e, strategy = self.estimator, self.strategy
        rate = e.learning_rate
        if rate == "auto":
            rate = strategy.learning_rate if not self.kind.is_rows else 1e-3
            rate *= SGD_FACTOR if e.optimizer == "sgd" else 1.0
        if self.kind.is_rows:  # nothing is pretrained
            strategy = dataclasses.replace(strategy, body_share=1.0)
        freezes = e.freeze_bn
        if freezes == "auto":
            freezes = budget.freezes_bn and not strategy.is_random
        return make_plan(
            module, self.spec, strategy, freeze_until=e.freeze_until, learning_rate=float(rate),
            layer_decay=1.0 if strategy.is_random else float(e.layer_decay), weight_decay=float(e.weight_decay),
            l2_sp=float(e.l2_sp), freezes_bn=bool(freezes), adapter=self.adapter, trains_body=strategy.trains,
            seed=int(self.seeds[0]),
        )  # fmt: skip

    def batches(self, budget: Budget, *, seed_shift: int = 0, steps_per_epoch: int | None = None) -> Any:
        """Return the training batches."""
        e = self.estimator
        augment = None
        if isinstance(self.train.data, PictureSource):
            augment = augmentation_for(e.augment, self.train.data, self.preprocessing.size)  # type: ignore[union-attr]
        cutmix = float(getattr(e, "cutmix", 0.0))
        mixes = e.mixup > 0 or cutmix > 0
        return make_batches(
            self.train, budget.batch_size, device=self.device, preprocessing=self.preprocessing, augment=augment,
            mix=mixture(self.task.n_classes, float(e.mixup), cutmix) if mixes else None, n_jobs=e.n_jobs,
            steps_per_epoch=steps_per_epoch, seed=int(self.seeds[1]) + seed_shift,
        )  # fmt: skip

    def valid_batches(self, budget: Budget) -> Any:
        """Return the held-out part in batches, or None."""
        if self.valid is None:
            return None
        return make_batches(
            self.valid, max(budget.batch_size, 32), device=self.device, preprocessing=self.preprocessing,
            is_training=False, n_jobs=self.estimator.n_jobs,
        )  # fmt: skip

    def net(self, plan: Plan, budget: Budget, *, schedule: Any, callbacks: list | None = None) -> TrainingNet:
        """Return the loop that trains by the plan."""
        e = self.estimator
        step = self.task.step
        if e.l2_sp > 0:
            plan.module.to(self.device)
            start = starting_point(plan, plan.module)
            step = StartingPointStep(step, start, float(e.l2_sp)) if start else step
        own: list[Any] = [GradualUnfreezing(plan, budget.n_epochs)] if plan.stages else []
        if self.valid is not None:
            own.append(
                EarlyStopping(
                    patience=int(e.n_iter_no_change), threshold=IMPROVEMENT, load_best=True, sink=lambda *a, **k: None
                )
            )
        names = [("unfreezing" if isinstance(c, GradualUnfreezing) else "sktl_early_stopping", c) for c in own]
        return TrainingNet(
            plan.module, step, valid_step=self.task.valid_step, optimizer=e.optimizer, param_groups=plan.groups,
            schedule=schedule, max_epochs=budget.max_epochs, max_steps=budget.max_steps, ema_decay=e.ema,
            dtype=torch.float32 if self.kind.is_rows else resolve_precision(e.precision, self.device),
            frozen=plan.frozen, keep_last_good=True, classify=self.task.n_classes is not None, device=self.device,
            compile=bool(e.compile) and self.device.type == "cuda", random_state=int(self.seeds[2]),
            callbacks=[*(callbacks or []), *(e.callbacks or []), *names], verbose=int(e.verbose),
        )  # fmt: skip


def codes_of(estimator: Any, spec: PictureSpec | RowSpec, device: torch.device, data: Any) -> np.ndarray:
    """Return the pretrained network's codes of pictures, from the store of codes if there is one; rows are theirs."""
    if isinstance(spec, RowSpec):
        return data
    backbone = spec.load()
    dtype = resolve_precision(estimator.precision, device)
    recipe = CodeRecipe(backbone, (spec.layer,), spec.pooling, spec.preprocessing, dtype)
    extractor = Extractor(
        recipe, device, "auto", estimator.n_jobs, "torch",
        bool(estimator.compile), cache_for(backbone, estimator.cache),
    )  # fmt: skip
    return extractor.codes(data)


def predicting_batch_size(device: torch.device, size: tuple[int, int]) -> int:
    """Return how many pictures go through a network at once in prediction."""
    return auto_batch_size("torch", device, size)
