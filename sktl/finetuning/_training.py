"""One fit, from data that were understood to a network that has learned: the outline of fine-tuning."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping
from torch import nn

from sktl._device import resolve_precision
from sktl._extraction import Extractor, cache_for
from sktl._inputs import InputKind
from sktl._preprocessing import Preprocessing
from sktl._progress import stage
from sktl._row_scalers import column_scaler
from sktl.backbones import CodeRecipe, agreeing_precision, auto_batch_size
from sktl.cache import CodeCache
from sktl.finetuning._batch_changes import augmentation_for, mixture
from sktl.finetuning._batches import Examples, make_batches
from sktl.finetuning._budget import Budget, budget_for
from sktl.finetuning._heads import LinearHead, n_distinct
from sktl.finetuning._losses import StartingPointStep
from sktl.finetuning._networks import PictureSpec, RowSpec, randomise
from sktl.finetuning._picture_views import PictureViews
from sktl.finetuning._plan import GradualUnfreezing, Plan, make_plan, starting_point
from sktl.finetuning._progressive_resizing import ProgressiveResizing, ResizedStep
from sktl.finetuning._settings import Settings
from sktl.finetuning._strategies import Strategy
from sktl.finetuning._targets import random_parts
from sktl.images import PictureSource
from sktl.training import KeepEpochs, Step, TrainingNet, processes_of

LEARNING_RATE = 1e-3  # AdamW's, of the head
SGD_FACTOR = 10.0  # plain gradients need larger rates than Adam's normalised ones
VALID_BATCH = 32  # rows at least
IMPROVEMENT = 1e-4  # of the validation loss, relative


@dataclasses.dataclass(frozen=True)
class Task:
    """What classification and regression do differently.

    Attributes
    ----------
    n_outputs : int
        Of the head.
    solve : callable(codes, target, sample_weight) -> LinearHead
        The linear model, as such or as where training starts.
    step, valid_step : Step
        The loss in training and in validation.
    n_classes : int or None
        None is regression, and several labels a row.
    scaler : callable(rows, weight, target) -> StandardScaler
        What brings feature rows to a scale.
    unit_length : bool
        Whether codes of pictures are brought to length 1 where the head is solved.
    penalty : str
        The fitted attribute that holds the strength with which a head was solved.
    held_out : callable(target, early_stopping, fraction, seed) -> (indices, indices) or None
        What is trained on and what is validated on; None where nothing is held out.
    """

    n_outputs: int
    solve: Callable[[np.ndarray, np.ndarray, np.ndarray | None], LinearHead]
    step: Step
    valid_step: Step
    n_classes: int | None
    scaler: Callable[[np.ndarray, np.ndarray | None, np.ndarray], StandardScaler] = column_scaler
    unit_length: bool = False
    penalty: str = "alpha_"
    held_out: Callable[..., tuple[np.ndarray, np.ndarray] | None] = random_parts


@dataclasses.dataclass
class FineTuning:
    """The data of one fit and what was decided about it.

    Attributes
    ----------
    settings : Settings
        What the user asked for.
    train, valid : Examples
        `valid` is None where nothing is held out.
    scaler : StandardScaler or None
        Of feature rows.
    seeds : array of int
        For the network, the batches, the training, in this order.
    keeper : KeepEpochs or None
        Keeps checkpoints.
    saved : dict or None
        The checkpoint to go on from.
    estimator : estimator or None
        Whose callbacks are told of the stages.
    context : CallbackContext or None
        Whose tasks the stages are.
    """

    settings: Settings
    kind: InputKind
    spec: PictureSpec | RowSpec
    task: Task
    train: Examples
    valid: Examples | None
    scaler: StandardScaler | None
    device: torch.device
    seeds: np.ndarray
    keeper: KeepEpochs | None = None
    saved: dict[str, Any] | None = None
    estimator: Any = None
    context: Any = None  # of scikit-learn's callbacks, of the fit

    def watched(self, what: str, n_pictures: int) -> Any:
        """Return the context of a stage before training, whose watch is told how many pictures are done."""
        return stage(self.estimator, self.context, what, n_pictures, "pictures")

    @property
    def strategy(self) -> Strategy:
        """Return the strategy's row of the table."""
        return self.settings.strategy

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Return that of pictures."""
        return None if self.kind.is_rows else self.spec.preprocessing  # type: ignore[union-attr]

    @property
    def augment(self) -> Any:
        """Return what "auto" means for these pictures; None for rows, and where nothing is changed at random."""
        if not isinstance(self.train.data, PictureSource):
            return None
        size: Any = None if self.preprocessing is None else self.preprocessing.size
        n_solved = len(self.train) if self.strategy.solves_head else None
        return augmentation_for(self.settings.augment, self.train.data, size, n_solved)

    @functools.cached_property
    def store(self) -> CodeCache | None:
        """Return where codes and frozen layers' outputs are kept; beyond this fit only if the user names a store."""
        return None if self.kind.is_rows else cache_for(self.spec.load(), self.settings.cache)  # type: ignore[union-attr]

    def solved_head(self, *, resumes: bool = False) -> LinearHead:
        """Return the linear model on the training part's codes, which may go on from frozen layers' outputs."""
        if isinstance(self.spec, RowSpec):
            codes = self.train.data[self.train.indices]  # type: ignore[index]
        else:
            source = PictureViews(self.train.data, self.train.indices)  # type: ignore[arg-type]
            extractor = extractor_of(self.settings, self.spec, self.device, self.store)
            with self.watched("codes", len(source)) as watch:
                resumes = resumes or self.store is not None
                codes = self.spec.in_unit(dataclasses.replace(extractor, resumes=resumes, watch=watch).codes(source))
        head = self.task.solve(codes, self.train.target, self.train.weight)
        return head._replace(n_distinct=n_distinct(codes)) if self.strategy.trains else head

    def network(self) -> Any:
        """Return the network as training finds it, but for a solved head."""
        module = self.spec.build()
        if self.strategy.is_random:
            randomise(module, int(self.seeds[0]))
        return module

    def budget(self) -> Budget:
        """Return how long to train."""
        e = self.settings
        return budget_for(
            len(self.train), device=self.device, is_rows=self.kind.is_rows, batch_size=e.batch_size,
            max_epochs=e.max_epochs, max_steps=e.max_steps, strategy_epochs=self.strategy.max_epochs,
        )  # fmt: skip

    @property
    def learning_rate(self) -> float:
        """Return the head's rate at its peak."""
        e = self.settings
        if e.learning_rate != "auto":
            return float(e.learning_rate)
        return LEARNING_RATE * (SGD_FACTOR if e.optimizer == "sgd" else 1.0)

    @property
    def stops_early(self) -> bool:
        """Return whether training ends where validation no longer gains."""
        return self.valid is not None and bool(self.settings.early_stopping)  # "auto" too

    def freezes_bn(self, budget: Budget) -> bool:
        """Return whether batch norm keeps its statistics."""
        asked = self.settings.freeze_bn
        return budget.freezes_bn and not self.strategy.is_random if asked == "auto" else bool(asked)

    def plan(self, module: nn.Module, budget: Budget) -> Plan:
        """Return which parameters of `module` train at which rates; they are set to do so."""
        e, strategy = self.settings, self.strategy
        if self.kind.is_rows:  # nothing is pretrained
            strategy = dataclasses.replace(strategy, body_share=1.0)
        return make_plan(
            module, self.spec, strategy, freeze_until=e.freeze_until, learning_rate=self.learning_rate,
            layer_decay=1.0 if strategy.is_random else float(e.layer_decay), weight_decay=float(e.weight_decay),
            l2_sp=float(e.l2_sp), freezes_bn=self.freezes_bn(budget), adapter=e.adapter, trains_body=strategy.trains,
            seed=int(self.seeds[0]),
        )  # fmt: skip

    def resizing(self, module: nn.Module, budget: Budget) -> ProgressiveResizing | None:
        """Return what sets the size of training pictures for each epoch; None where they are whole."""
        start, preprocessing = self.settings.progressive_resizing, self.preprocessing
        if start is None or preprocessing is None:
            return None
        resizing = ProgressiveResizing(float(start), preprocessing.size, budget.n_epochs)
        resizing.check(module, self.device)
        return resizing

    def batches(self, budget: Budget, *, seed_shift: int = 0, steps_per_epoch: int | None = None) -> Any:
        """Return the training batches."""
        e = self.settings
        return make_batches(
            self.train, budget.batch_size, device=self.device, preprocessing=self.preprocessing, augment=self.augment,
            mix=mixture(self.task.n_classes, float(e.mixup), float(e.cutmix)) if e.mixes else None, n_jobs=e.n_jobs,
            steps_per_epoch=steps_per_epoch, seed=int(self.seeds[1]) + seed_shift,
        )  # fmt: skip

    def valid_batches(self, budget: Budget) -> Any:
        """Return the held-out part in batches, or None."""
        if self.valid is None:
            return None
        return make_batches(
            self.valid, max(budget.batch_size, VALID_BATCH), device=self.device, preprocessing=self.preprocessing,
            is_training=False, n_jobs=self.settings.n_jobs,
        )  # fmt: skip

    def net(
        self, plan: Plan, budget: Budget, *, schedule: Any, callbacks: list | None = None,
        network: nn.Module | None = None, resizing: ProgressiveResizing | None = None,
    ) -> TrainingNet:  # fmt: skip
        """Return the loop that trains by the plan; `network` is the part that it runs, by default all.

        With `resizing`, training pictures are of the size that it sets.
        """
        e = self.settings
        step = self.task.step
        if e.l2_sp > 0:
            plan.module.to(self.device)
            start = starting_point(plan, plan.module)
            step = StartingPointStep(step, start, float(e.l2_sp)) if start else step
        named: list[tuple[str, Any]] = []
        if plan.stages:
            named.append(("unfreezing", GradualUnfreezing(plan, budget.n_epochs)))
        if resizing is not None:
            step = ResizedStep(step, resizing)
            named.append(("resizing", resizing))
        if self.stops_early:
            stopping = EarlyStopping(
                patience=int(e.n_iter_no_change), threshold=IMPROVEMENT, load_best=True, sink=lambda *a, **k: None
            )
            named.append(("sktl_early_stopping", stopping))
        processes = processes_of(e.device)
        keepers = [] if self.keeper is None else [("checkpoints", self.keeper)]
        return TrainingNet(
            plan.module if network is None else network, step, valid_step=self.task.valid_step,
            optimizer=e.optimizer, param_groups=plan.groups,
            schedule=schedule, max_epochs=budget.max_epochs, max_steps=budget.max_steps, ema_decay=e.ema,
            dtype=torch.float32 if self.kind.is_rows else resolve_precision(e.precision, self.device),
            frozen=plan.frozen, keep_last_good=True, classify=self.task.n_classes is not None, device=self.device,
            compile=bool(e.compile) and self.device.type == "cuda", random_state=int(self.seeds[2]),
            callbacks=[*(callbacks or []), *(e.callbacks or []), *named, *keepers], processes=processes,
            verbose=int(e.verbose),
        )  # fmt: skip


def extractor_of(asked: Any, spec: PictureSpec, device: torch.device, store: CodeCache | None) -> Extractor:
    """Return what computes the pretrained network's codes; `asked` are settings, or an estimator."""
    dtype = resolve_precision(asked.precision, device)
    recipe = CodeRecipe(spec.load(), (spec.layer,), spec.pooling, spec.preprocessing, dtype)
    if asked.precision == "auto":  # codes are solved and kept: they have to be what float32 gives
        recipe = agreeing_precision(recipe, device)
    return Extractor(recipe, device, "auto", asked.n_jobs, "torch", bool(asked.compile), store)


def codes_of(estimator: Any, spec: PictureSpec | RowSpec, device: torch.device, data: Any) -> np.ndarray:
    """Return what the head is given: codes of pictures, from the store of codes if there is one, or the rows."""
    if isinstance(spec, RowSpec):
        return data
    store = cache_for(spec.load(), estimator.cache)
    extractor = dataclasses.replace(extractor_of(estimator, spec, device, store), resumes=store is not None)
    return spec.in_unit(extractor.codes(data))


def predicting_batch_size(device: torch.device, size: tuple[int, int]) -> int:
    """Return how many pictures go through a network at once in prediction."""
    return auto_batch_size("torch", device, size)
