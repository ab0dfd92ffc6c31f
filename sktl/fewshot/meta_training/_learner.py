"""What the meta-learners share: fit as an outline, adaptation to a task, saving."""

from __future__ import annotations

import contextlib
import copy
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_length, class_labels
from sktl._device import PRECISIONS, resolve_device
from sktl._estimator import ModuleSharingMixin
from sktl._functional import check_network
from sktl._magnitudes import check_finite
from sktl._modes import usable
from sktl._torch_datasets import refuse_silent_targets
from sktl.exceptions import DivergenceError
from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._checkpoint import kept_meta_training
from sktl.fewshot.meta_training._encoders import EncoderPlan
from sktl.fewshot.meta_training._episodes import EpisodeIndices
from sktl.fewshot.meta_training._fitted_method import FittedMethod, MethodPlan, TaskState
from sktl.fewshot.meta_training._held_back import n_held_back
from sktl.fewshot.meta_training._inputs import InputSpec, learn_input, read_input
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.fewshot.meta_training._saving import read_learner, save_learner
from sktl.fewshot.meta_training._targets import checked_targets, checked_values
from sktl.fewshot.meta_training._training import MetaTraining
from sktl.training import SCHEDULES, EpochTasks, best_epoch_of, history_of, shared_seed

PREDICTED_ROWS = 128  # pictures that go through a network at once


class MetaLearner(CallbackSupportMixin, ModuleSharingMixin):
    """Abstract: learns from many small tasks how to learn the next one; subclasses name the method."""

    __metadata_request__fit = {"groups": True}  # noqa: RUF012 - the name and form are scikit-learn's

    _parameter_constraints: dict = {  # noqa: RUF012
        "backbone": [str, nn.Module],
        "n_way": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "n_shot": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "n_query": [Interval(Integral, 1, None, closed="left")],
        "n_episodes": [Interval(Integral, 1, None, closed="left")],
        "meta_batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions(set(SCHEDULES)), callable, None],
        "rotations": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint_dir": [str, Path, None],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "callbacks": [list, tuple, None],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    takes_values = False  # whether tasks may be regressions
    is_adapted = False  # whether copies of the network are adapted by gradient steps
    keeps_maps = False
    has_fixed_outputs = False  # whether a task may have as many classes as the episodes of meta-training, at most
    rows_backbone = "mlp"  # what backbone="auto" is for feature rows
    clip_norm: float | None = None  # of the gradient of an update

    def __init__(
        self, *, backbone, n_way, n_shot, n_query, n_episodes, meta_batch_size, learning_rate, schedule, rotations,
        validation_fraction, n_iter_no_change, warm_start, checkpoint_dir, image_shape, value_range, image_size,
        callbacks, device, precision, random_state, verbose,
    ):  # fmt: skip
        self.backbone = backbone
        self.n_way = n_way
        self.n_shot = n_shot
        self.n_query = n_query
        self.n_episodes = n_episodes
        self.meta_batch_size = meta_batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.rotations = rotations
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        """Return the method's class and its options."""

    def _optimizer(self) -> Any:
        return "adam"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, groups: Any = None) -> Any:
        """Meta-train: learn from episodes drawn from many classes, or from many tasks.

        Parameters
        ----------
        X : array-like or sequence of pictures
            2-D feature rows; or pictures as arrays (n, H, W), (n, H, W, 1 | 3 | 4) or (n, 1 | 3, H, W), uint8 or
            float in [0, 1], or a sequence of file paths or PIL images.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels of any type. Learners of regressions also take continuous values.
        groups : array-like of shape (n,), default=None
            The task of each row, where tasks are given: an episode is then drawn from one of them. Needed for
            regressions.

        Returns
        -------
        self
        """
        return self._fit(X, y, groups)

    def _fit(self, X: Any, y: Any, groups: Any, *, is_regression: bool | None = None) -> Any:
        with contextlib.ExitStack() as lasting:
            return self._fit_in(X, y, groups, is_regression, lasting)

    def _fit_in(self, X: Any, y: Any, groups: Any, is_regression: bool | None, lasting: contextlib.ExitStack) -> Any:
        refuse_silent_targets(X, y, self)
        goes_on = bool(self.warm_start) and hasattr(self, "_learned")
        device = resolve_device(self.device)
        spec, rows = (self._spec, read_input(self, X, self._spec)) if goes_on else learn_input(self, X)
        targets = checked_targets(self, y, groups, len(rows), self.takes_values, is_regression)
        keeper, saved, seed = kept_meta_training(
            self, rows, targets, shared_seed(self.random_state, self.device), lasting
        )
        seeds = np.random.SeedSequence(seed).generate_state(4) >> 1
        training = MetaTraining.of(self, spec, rows, targets, device, seeds, keeper)
        plan = self._learned.plan if goes_on else self._plan(spec, training.n_outputs, int(seeds[0]))
        module = self._learned.trainable() if goes_on else training.started(plan)
        n_epochs = training.n_epochs
        context = self._init_callback_context(max_subtasks=n_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        start = training.start_of(module)
        net, batches, valid = training.net(plan, module), training.batches(), training.valid_batches()
        fitted: dict[str, Any] = {
            "_spec": spec, "n_outputs_": plan.n_outputs, "is_regression_": targets.values is not None,
        }  # fmt: skip
        progress = EpochTasks(
            self, context, X, y,
            fitted=lambda: {**fitted, "_learned": FittedMethod.of(net.module, plan), "n_iter_": net.clock_.n_steps},
        )  # fmt: skip
        if keeper is None:
            net.fit(batches, valid, progress=progress)
        else:
            keeper.train(net, saved, batches, valid, progress=progress)
        stays = training.stays(net, start)
        held_back = n_held_back(self, net.module, plan.encoder, training.X)
        before = (self.n_iter_, self.history_) if goes_on else (0, [])
        history = history_of(net, before[1])
        fitted |= {
            "_learned": FittedMethod.of(net.module, plan), "n_iter_": before[0] + net.clock_.n_steps,
            "history_": history, "best_epoch_": 0 if stays else best_epoch_of(net, history),
            "learning_rate_": float(self.learning_rate),
            "n_trained_": sum(p.numel() for p in net.module.parameters() if p.requires_grad) - held_back,
            "n_parameters_": sum(p.numel() for p in net.module.parameters()),
        }  # fmt: skip
        self.__dict__.update(fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    def adapt_to(self, X: Any, y: Any) -> TaskState:
        """Learn a task from its support set; the learner stays as it is.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.
        y : array-like of shape (n,) or (n, n_outputs)
            Labels of any type, or values where meta-training was on regressions.

        Returns
        -------
        TaskState
            What `logits` needs.

        Raises
        ------
        DivergenceError
            If gradient steps leave the finite numbers.
        """
        rows, target, n_outputs, classes = self._support(X, y)
        self._check_support(len(rows))
        device, dtype = self._where()
        with self._learned.lock, torch.no_grad():
            state = self._ready(device, dtype).adapt(rows.unsqueeze(0), target.unsqueeze(0), n_outputs)
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise DivergenceError(
                f"Adapting this {type(self).__name__} to the support set left the finite numbers. Use fewer "
                "adapt_steps or a smaller inner_learning_rate, and look for extreme values in the input."
            )
        return TaskState({name: value[0].cpu() for name, value in state.items()}, n_outputs, classes)

    def logits(self, state: TaskState, X: Any) -> np.ndarray:
        """Return the outputs for rows of a task that was adapted to.

        Parameters
        ----------
        state : TaskState
            What `adapt_to` returned.
        X : array-like or sequence of pictures
            As in `fit`.

        Returns
        -------
        ndarray of shape (n, n_outputs), float64
            Logits in the order of ``state.classes``, or the values of a regression.
        """
        check_is_fitted(self, "n_iter_")
        return self._answered(state, X, lambda module, tensors, rows: module.logits(tensors, rows))

    def episode_logits(self, X: Any, episodes: EpisodeIndices, y: Any = None) -> np.ndarray:
        """Return the outputs for the queries of many episodes, each adapted to by itself, many at a time.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`; of classes or tasks that are new.
        episodes : EpisodeIndices
            Which rows, as `EpisodeSampler` draws them.
        y : array-like of shape (n,) or (n, n_outputs), default=None
            The values, for a regression.

        Returns
        -------
        ndarray of shape (n_episodes, n_query, n_outputs), float64
        """
        check_is_fitted(self, "n_iter_")
        rows = read_input(self, X, self._spec)
        episodes.check_rows(len(rows))
        device, dtype = self._where()
        targets = None
        if self.is_regression_:
            values = checked_values(self, y)
            check_length(values, len(rows), "y")
            targets = torch.from_numpy(values).to(device, dtype)
        self._check_outputs(episodes.n_way if targets is None else targets.shape[1])
        self._check_support(int((episodes.support_y >= 0).sum(1).max()))
        indices = episodes.apply(lambda part: usable(part).to(device))
        with self._learned.lock, torch.no_grad():
            module = self._ready(device, dtype)
            return module.episode_logits(self._on_device(rows), indices, targets).double().cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write the learner to a ``.safetensors`` file, which `sktl.load` reads: no pickle."""
        save_learner(self, path)

    @classmethod
    def load(cls, path: str | Path, **modules: nn.Module) -> Any:
        """Return the learner of this class that `save` wrote; `sktl.load` takes any class."""
        return read_learner(path, {cls.__name__: cls}, modules)

    def _plan(self, spec: InputSpec, n_outputs: int, seed: int) -> MethodPlan:
        method, options = self._method()
        backbone = self._network_for(spec)
        if isinstance(backbone, nn.Module):  # the user's may change after fit
            check_network(backbone, "backbone")
            backbone = copy.deepcopy(backbone)
        encoder = EncoderPlan(backbone, spec, seed, is_adapted=self.is_adapted, keeps_maps=self.keeps_maps)
        return MethodPlan(method, encoder, n_outputs, options)

    def _network_for(self, spec: InputSpec) -> Any:
        """Return the backbone, or what "auto" is."""
        return self.rows_backbone if self.backbone == "auto" and spec.is_rows else self.backbone

    def _ready(self, device: torch.device, dtype: torch.dtype) -> Any:
        """Return the method that new tasks are learned with; called with its lock held."""
        return self._learned.module(device, dtype)

    def _where(self) -> tuple[torch.device, torch.dtype]:
        """Return where and in what tasks are learned; rows in float64, whose sums do not depend on their company."""
        device = resolve_device(self.device)
        if self._spec.is_rows:
            return (torch.device("cpu") if device.type == "mps" else device), torch.float64
        return device, torch.float32

    def _on_device(self, rows: Tensor) -> Tensor:
        device, dtype = self._where()
        return rows.to(device, dtype if rows.is_floating_point() else None)

    def _sees_queries_together(self) -> bool:
        return False

    def _support(self, X: Any, y: Any) -> tuple[Tensor, Tensor, int, np.ndarray | None]:
        """Return the checked rows and targets of a support set on the device, its outputs, and its classes if any."""
        check_is_fitted(self, "n_iter_")
        rows = read_input(self, X, self._spec)
        check_length(y, len(rows), "y")
        if self.is_regression_:
            target, classes = torch.from_numpy(checked_values(self, y)), None
            n_outputs = target.shape[1]
        else:
            classes, codes = np.unique(class_labels(y, len(rows), self), return_inverse=True)
            target, n_outputs = torch.from_numpy(codes), len(classes)
        self._check_outputs(n_outputs)
        device, dtype = self._where()
        target = target.to(device, dtype if target.is_floating_point() else None)
        return self._on_device(rows), target, n_outputs, classes

    def _answered(self, state: TaskState, X: Any, answer: Callable[[Any, State, Tensor], Tensor]) -> np.ndarray:
        """Return ``answer(module, state, rows)`` for rows of a task, some at a time, float64 (n, n_outputs)."""
        rows = read_input(self, X, self._spec)
        device, dtype = self._where()
        at_once = len(rows) if self._sees_queries_together() else PREDICTED_ROWS
        with self._learned.lock, torch.no_grad():
            module = self._ready(device, dtype)
            tensors = {name: value.unsqueeze(0).to(device) for name, value in state.tensors.items()}
            parts = [answer(module, tensors, self._on_device(p).unsqueeze(0))[0] for p in rows.split(max(1, at_once))]
        return check_finite(torch.cat(parts)[:, : state.n_outputs].double().cpu().numpy(), self)

    def _check_outputs(self, n_outputs: int) -> None:
        """Raise ValueError where a task has more outputs than the learner can give."""
        if self.has_fixed_outputs and n_outputs > self.n_outputs_:
            raise ValueError(
                f"The task has {n_outputs} classes, but this {type(self).__name__} was trained on episodes of at most "
                f"{self.n_outputs_}: its head has no more outputs. Train with n_way={n_outputs}, or take a "
                "metric-based learner, or zero_head=True where a learner has it, which know no such bound."
            )

    def _check_support(self, n_rows: int) -> None:
        """Warn where a support set is larger than the learner was made for."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
