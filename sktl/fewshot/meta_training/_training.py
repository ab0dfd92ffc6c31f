"""One meta-training, from data that were understood to a net that trains."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from torch import Tensor, nn

from sktl._device import resolve_precision
from sktl._memory_format import channels_last
from sktl.fewshot.meta_training._encoders import standardised, wants_standardised_rows
from sktl.fewshot.meta_training._episodes import EpisodeBatches, EpisodeSampler, as_range
from sktl.fewshot.meta_training._fitted_method import MethodPlan
from sktl.fewshot.meta_training._inputs import InputSpec
from sktl.fewshot.meta_training._method import method_step
from sktl.fewshot.meta_training._targets import Targets, held_out, some_held_out, with_rotations
from sktl.training import KeepEpochs, TrainingNet, processes_of

UPDATES_AN_EPOCH = 100
VALID_EPISODES = 200
LEAST_GAIN = 0.01  # of the accuracy on held-out classes, for which codes that were good at the start are changed


@dataclass
class MetaTraining:
    """The data of one meta-training.

    Attributes
    ----------
    estimator : MetaLearner
        Its parameters are read, nothing is written to it.
    X : Tensor
        All rows that are trained on, on the device.
    targets : Targets
        Of these.
    valid : (Tensor, Targets) or None
        The classes that are held out.
    seeds : array of int
        For the network, the episodes, the training and the held-out part, in this order.
    keeper : KeepEpochs or None
        Keeps checkpoints.
    may_stay : bool
        Whether the network stays as it started unless classes that are held out gain: one that starts as the identity.
    """

    estimator: Any
    spec: InputSpec
    X: Tensor
    targets: Targets
    valid: tuple[Tensor, Targets] | None
    device: torch.device
    seeds: np.ndarray
    keeper: KeepEpochs | None = None
    may_stay: bool = False

    @classmethod
    def of(
        cls, estimator: Any, spec: InputSpec, rows: Tensor, targets: Targets, device: torch.device, seeds: np.ndarray,
        keeper: KeepEpochs | None = None,
    ) -> MetaTraining:  # fmt: skip
        """Hold classes out, turn pictures, move rows to the device; raises where episodes cannot be drawn."""
        least = 1 if targets.groups is not None else as_range(estimator.n_way, "n_way")[1]
        rows = rows.float() if rows.is_floating_point() else rows
        is_auto = isinstance(estimator.validation_fraction, str)
        if not is_auto:
            parts = held_out(targets, estimator.validation_fraction, least, int(seeds[3]))
        elif estimator._network_for(spec) == "residual":
            parts = some_held_out(targets, least, int(seeds[3]))
        else:
            parts = None
        sets: list[tuple[Tensor, Targets]] = []
        for which in (np.arange(len(rows)),) if parts is None else parts:
            part, part_targets = rows[torch.from_numpy(which)], targets.take(which)
            if estimator.rotations:
                part, part_targets = with_rotations(part, part_targets)
            sets.append((part.to(device), part_targets))
        valid = sets[1] if len(sets) > 1 else None
        may_stay = is_auto and valid is not None
        training = cls(estimator, spec, *sets[0], valid, device, seeds, keeper, may_stay)
        training.batches()
        training.valid_batches()
        processes = processes_of(estimator.device)
        if processes is not None:
            processes.check_rows(training.meta_batch_size, "An update's meta_batch_size")
        return training

    @property
    def n_outputs(self) -> int:
        """Return how many outputs a task has, at most."""
        if self.targets.values is not None:
            return self.targets.values.shape[1]
        return as_range(self.n_way, "n_way")[1]

    @property
    def n_way(self) -> Any:
        """Return the classes an episode: no more than are left where some are held out unasked."""
        n_way, targets = self.estimator.n_way, self.targets
        if not self.may_stay or targets.groups is not None:
            return n_way
        return tuple(min(n, len(np.unique(targets.labels))) for n in as_range(n_way, "n_way"))

    @property
    def n_updates(self) -> int:
        """Return how many updates are made."""
        return -(-self.estimator.n_episodes // self.meta_batch_size)

    @property
    def meta_batch_size(self) -> int:
        """Return the episodes of an update: not more than there are at all."""
        return min(self.estimator.meta_batch_size, self.estimator.n_episodes)

    @property
    def n_epochs(self) -> int:
        """Return in how many epochs; validation, callbacks and checkpoints come after each."""
        return -(-self.n_updates // UPDATES_AN_EPOCH)

    def started(self, plan: MethodPlan) -> nn.Module:
        """Return the method as it starts."""
        module = plan.build()
        if wants_standardised_rows(plan.encoder):
            encoder = module.encoder if hasattr(module, "encoder") else module.network.body
            standardised(encoder, self.X.cpu())
        if self.targets.values is not None:
            module.learn_scale(torch.from_numpy(self.targets.values))
        return module

    def batches(self) -> EpisodeBatches:
        """Return the training episodes."""
        sampler = self._sampler(self.targets, self.n_way, int(self.seeds[1]))
        n_batches = min(UPDATES_AN_EPOCH, self.n_updates)
        return EpisodeBatches(self.X, sampler, self.meta_batch_size, n_batches, targets=self._values(self.targets))

    def valid_batches(self) -> EpisodeBatches | None:
        """Return the same episodes of held-out classes each time, or None."""
        if self.valid is None:
            return None
        X, targets = self.valid
        size = min(self.meta_batch_size, VALID_EPISODES)
        n_way = min(self.n_outputs, len(np.unique(targets.labels))) if targets.groups is None else self.estimator.n_way
        sampler = self._sampler(targets, n_way, int(self.seeds[3]))
        n_batches = -(-VALID_EPISODES // size)
        return EpisodeBatches(X, sampler, size, n_batches, targets=self._values(targets), is_fixed=True)

    def net(self, plan: MethodPlan, module: nn.Module) -> TrainingNet:
        """Return the loop that trains."""
        e = self.estimator
        own: list[Any] = []
        if self.valid is not None:
            stopping = EarlyStopping(patience=int(e.n_iter_no_change), load_best=True, sink=lambda *a, **k: None)
            own.append(("sktl_early_stopping", stopping))
        if self.keeper is not None:
            own.append(("sktl_checkpoint", self.keeper))
        if plan.trains_channels_last:
            module = channels_last(module)
        # meta-gradients of steps in bfloat16 are mostly noise
        dtype = (
            torch.float32 if e.precision == "auto" or self.spec.is_rows else resolve_precision(e.precision, self.device)
        )
        return TrainingNet(
            module, method_step, optimizer=e._optimizer(), lr=float(e.learning_rate), schedule=e.schedule,
            max_epochs=self.n_epochs, max_steps=self.n_updates, dtype=dtype, keep_last_good=True, device=self.device,
            random_state=int(self.seeds[2]), clip_norm=e.clip_norm,
            frozen=_frozen_parts,
            callbacks=[*(e.callbacks or []), *own], verbose=int(e.verbose), processes=processes_of(e.device),
        )  # fmt: skip

    def start_of(self, module: nn.Module) -> dict[str, Tensor] | None:
        """Return the values that a network may stay at."""
        return copy.deepcopy(module.state_dict()) if self.may_stay else None

    def stays(self, net: TrainingNet, start: dict[str, Tensor] | None) -> bool:
        """Whether classes that are held out did not gain; the network is then as it started."""
        if start is None:
            return False
        learned = copy.deepcopy(net.module.state_dict())
        after = self._valid_accuracy(net.module)
        net.module.load_state_dict(start)
        stays = after < self._valid_accuracy(net.module) + LEAST_GAIN
        if net.processes is not None:
            stays = net.processes.agreed(stays)
        if stays:
            return True
        net.module.load_state_dict(learned)
        return False

    @torch.no_grad()
    def _valid_accuracy(self, module: nn.Module) -> float:
        batches = self.valid_batches()
        assert batches is not None
        module.eval()
        found = [method_step(module, batch).parts or {} for batch in batches]
        return float(np.mean([float(parts["accuracy"]) for parts in found]))

    def _sampler(self, targets: Targets, n_way: Any, seed: int) -> EpisodeSampler:
        e, is_regression = self.estimator, targets.values is not None
        return EpisodeSampler(
            targets.labels, targets.groups, n_way=1 if is_regression else n_way,
            n_shot=max(as_range(e.n_shot, "n_shot")) if is_regression else e.n_shot,
            n_query=e.n_query, device=self.device, seed=seed,
        )  # fmt: skip

    def _values(self, targets: Targets) -> Tensor | None:
        return None if targets.values is None else torch.from_numpy(targets.values).to(self.device)


def _frozen_parts(module: Any) -> list[nn.Module]:
    return [module.get_submodule(name) for name in module.frozen]
