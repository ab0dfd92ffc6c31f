"""What estimators that learn from two domains at once share."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktl._callbacks import CallbackSupportMixin
from sktl._device import PRECISIONS, resolve_device
from sktl._estimator import ModuleSharingMixin, NamedPartsMixin
from sktl._magnitudes import check_finite
from sktl._preprocessing import Preprocessing
from sktl._validation import MOST_UNITS
from sktl.adaptation._training_parameters import TRAINING_CONSTRAINTS
from sktl.adaptation.joint._deployable import Deployable
from sktl.adaptation.joint._keep_best import KeepBest
from sktl.adaptation.joint._roles import Roles
from sktl.adaptation.joint._saving import Savable
from sktl.adaptation.joint._target import Target
from sktl.adaptation.joint._training import DomainTraining
from sktl.adaptation.losses import DomainLoss, get_loss
from sktl.training import OPTIMIZERS, EpochTasks, TrainingNet, history_of, warn_of_unreached, was_reached


class DomainAdapted(Savable, Deployable, CallbackSupportMixin, NamedPartsMixin, ModuleSharingMixin):
    """Abstract: `_target` says what is learned of y, `_supervised` how; `_head` is the kind of the last layer."""

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "backbone": [str, nn.Module, callable],
        "loss": [str, DomainLoss, list, tuple, None],
        "weights": [str, Path, None],
        "bottleneck": [Interval(Integral, 1, MOST_UNITS, closed="both"), StrOptions({"auto"}), None],
        "target_domain": "no_validation",
        "batch_norm": [StrOptions({"auto", "shared", "separate", "target"})],
        **TRAINING_CONSTRAINTS,
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "optimizer": [StrOptions({"auto", *OPTIMIZERS}), callable],
        "selection": [StrOptions({"last"}), callable],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocessing": [Preprocessing, Mapping, None],
        "n_jobs": [Integral, None],
        "checkpoint_dir": [str, Path, None],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "random_state": ["random_state"],
    }

    backbone: Any
    loss: Any
    batch_norm: str
    selection: Any
    device: Any
    n_jobs: int | None
    _head: Any = "linear"

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        return {"loss": get_loss}

    def _target(self, y: Any, sample_weight: np.ndarray | None) -> Target:
        """Return what is learned of y."""
        raise NotImplementedError

    def _supervised(self) -> Callable[..., Tensor]:
        """Return the loss of labelled rows."""
        raise NotImplementedError

    def _opened(self, target: Target, roles: Roles, *found: Any) -> tuple[Target, Roles]:
        """Return what is learned, and of which rows, where target rows may be of classes that the source lacks."""
        return target, roles

    def _check_losses(self, losses: Sequence[DomainLoss]) -> None:
        """Raise a ValueError where a loss asks for more than y tells."""

    def _fit(self, X: Any, y: Any, sample_domain: Any, sample_weight: Any) -> Any:
        with contextlib.ExitStack() as lasting:
            training, learned = DomainTraining.of(self, X, y, sample_domain, sample_weight, lasting)
            return self._train(training, learned, X, y)

    def _train(self, training: DomainTraining, learned: dict[str, Any], X: Any, y: Any) -> Any:
        context = self._init_callback_context(max_subtasks=training.budget.max_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        network, batches = training.network(), training.batches()
        learned |= {"_scaler": training.scaler, "n_iter_": 1, "history_": [], **training.resolved(network)}

        def so_far() -> dict[str, Any]:
            return {**learned, "_learned": training.learned(copy.deepcopy(network))}

        selection, keeper, saved = None, training.keeper, training.saved
        if callable(self.selection):
            kept = None if keeper is None else keeper.extra["best"]
            selection = KeepBest(lambda: self._as_if(so_far()), self.selection, X, y, kept)
            if saved is not None:
                selection.restore(saved["best"], network)
        net = training.net(network, batches.layout, selection)
        train = net.fit if keeper is None else partial(keeper.train, net, saved)
        train(batches, progress=EpochTasks(self, context, X, y, fitted=so_far))
        fitted = self._outcome(training, net, batches.take, selection) | {
            name: value for name, value in learned.items() if name not in ("n_iter_", "history_")
        }
        self.__dict__.update(fitted)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    def _outcome(self, training: DomainTraining, net: TrainingNet, take: Any, selection: Any) -> dict[str, Any]:
        net.module.close()
        say_what_was_held_back(net, self)
        network = training.ended(net.module.network) if selection is None else selection.best_network
        if self.batch_norm == "target" and len(training.roles.target):
            training.use_target_statistics(network.to(training.device), take)
        history = history_of(net)
        chosen = {} if selection is None else {"best_epoch_": selection.best_epoch}
        return {"_learned": training.learned(network), "history_": history, "n_iter_": len(history), **chosen}

    def _as_if(self, fitted: Mapping[str, Any]) -> Any:
        view = copy.copy(self)
        view.__dict__.update(fitted)
        return view

    def features(self, X: Any) -> np.ndarray:
        """Return what the last layer is given, the adapted features, float64 of shape (n, n_features)."""
        return self._outputs(X, features=True)

    def _outputs(self, X: Any, *, features: bool = False) -> np.ndarray:
        return self._of_one_pass(X, "features" if features else "logits")[0]

    def _of_one_pass(self, X: Any, *what: str) -> tuple[np.ndarray, ...]:
        check_is_fitted(self, "n_iter_")
        device, dtype = resolve_device(self.device), getattr(torch, self._dtype)
        found = self._learned.outputs(self._read(X), device, dtype, self.n_jobs, what)
        return tuple(check_finite(outputs, self) for outputs in found)

    @property
    def module_(self) -> nn.Module:
        """The network in evaluation mode: pictures with values in 0..255, or rows, to logits or estimates."""
        check_is_fitted(self, "n_iter_")
        return self._learned.on(resolve_device(self.device))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


def say_what_was_held_back(net: TrainingNet, estimator: Any) -> None:
    """Warn of the backbone's parameters that no gradient has reached."""
    parameters = net.module.network.backbone.named_parameters()
    names = [name for name, p in parameters if p.requires_grad and not was_reached(p, net.optimizer_)]
    if names:
        warn_of_unreached(names, estimator, ", unless they are to stay as they are.")
