"""What meta-training learned: tensors, and how to rebuild the method around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl._draws import OwnDraws
from sktl._forking import ForkSafeLock
from sktl._memory_format import channels_last
from sktl.backbones import SmallBatches
from sktl.fewshot.heads import State
from sktl.fewshot.meta_training._encoders import EncoderPlan
from sktl.fewshot.meta_training._method import FewShotMethod
from sktl.training import as_tensors, to_arrays


@dataclass
class TaskState:
    """What a learner knows of one task: all that prediction needs beside the learner itself.

    Attributes
    ----------
    tensors : dict of str to Tensor
        On the CPU.
    n_outputs : int
        Classes, or values a row.
    classes : ndarray or None
        The labels in the order of the outputs; None for a regression.
    """

    tensors: State
    n_outputs: int
    classes: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "tensors": to_arrays(self.tensors)}  # which skops takes too

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "tensors": as_tensors(state["tensors"])})


@dataclass(frozen=True)
class MethodPlan:
    """All that rebuilds a method as it was before training."""

    method: type[FewShotMethod]
    encoder: EncoderPlan
    n_outputs: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """Return the method on the CPU; torch's global generator stays as it is."""
        encoder = self.encoder.build()
        with OwnDraws(self.encoder.seed + 1):
            built: Any = self.method
            return built(encoder, self.n_outputs, **self.options)

    @property
    def trains_channels_last(self) -> bool:
        """Whether convolutions are faster in that format: with the same weights for all tasks they are."""
        return not self.encoder.spec.is_rows and not self.method.has_weights_of_each_task


class FittedMethod:
    """A trained method. Its pickle holds tensors on the CPU.

    Parameters
    ----------
    plan : MethodPlan
        Rebuilds the method.
    tensors : mapping of str to Tensor
        Its state.
    """

    def __init__(self, plan: MethodPlan, tensors: Mapping[str, Tensor]):
        self.plan = plan
        self.tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        self._ready: dict[Any, Any] = {}
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()  # functional calls swap a network's weights for the time of the call

    @classmethod
    def of(cls, module: nn.Module, plan: MethodPlan) -> FittedMethod:
        """Return what `module` has learned."""
        frozen = tuple(f"{name}." for name in getattr(module, "frozen", ()))
        learned = {name: value.clone() for name, value in module.state_dict().items() if not name.startswith(frozen)}
        return cls(plan, learned)

    def trainable(self) -> Any:
        """Return a copy of the method on the CPU."""
        module = self.plan.build()
        module.load_state_dict(self.tensors, strict=not module.frozen)
        return module

    def module(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
        """Return the method in evaluation mode on `device`."""
        with self.lock:
            if self.lock.was_abandoned:  # by a fork, perhaps with another task's weights in place
                self._ready, self.lock.was_abandoned = {}, False
            if (device, dtype) not in self._ready:
                module = self.trainable().requires_grad_(False).eval().to(device, dtype)
                if self.plan.trains_channels_last:
                    module = channels_last(module)
                self._ready[device, dtype] = module
            return self._ready[device, dtype]

    def __getstate__(self) -> dict[str, Any]:
        made = ("_ready", "small_batches", "lock")
        state = {name: value for name, value in vars(self).items() if name not in made}
        return state | {"tensors": to_arrays(self.tensors)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"tensors": as_tensors(state["tensors"])})
        self._ready = {}
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()

    def __deepcopy__(self, memo: Any) -> FittedMethod:
        return FittedMethod(self.plan, self.tensors)
