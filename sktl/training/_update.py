"""One update of the weights from one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sktl._device import autocast
from sktl._functional import single_row_explained
from sktl._warn_once import warn_user
from sktl.training._errors import NonFiniteLossError
from sktl.training._processes import Processes
from sktl.training._steps import Step
from sktl.training._structure import Batch, n_rows, split_rows

Split = Callable[[Batch, int], list[Batch]]
Outcome = tuple[Tensor, Any, Mapping[str, Tensor] | None]  # mean loss, its weight, further means

ONE_ROW = (
    "Use a batch_size of at least 2 that leaves no rest of 1, pass more rows, keep the batch norms fixed where there "
    "is a parameter for that, or take a network without batch norm."
)


class Updater:
    """Runs a step on a batch, backwards too, and lets the optimizer move the weights.

    Where a batch does not fit in memory, it is cut into micro-batches whose gradients add up, half as large each
    time memory runs out: the update stays that of the whole batch (but for layers that look at a batch as a whole,
    such as batch norm in training mode).

    Parameters
    ----------
    module : nn.Module
        The network.
    step : callable(module, batch) -> Tensor or StepResult
        The loss.
    optimizer : Optimizer
        Its parameters are the ones whose gradients are cleared and clipped.
    device : torch.device
        On a CPU each loss is looked at before it is used: that costs nothing there.
    dtype : torch.dtype, default=torch.float32
        Precision of the layers' arithmetic; the weights stay as they are.
    clip_norm : float, optional
        Largest Euclidean norm of all gradients together.
    micro_batch_size : int, optional
        Rows that go through the network at once.
    split : callable(batch, size) -> list of batches, or None
        Cuts a batch; None forbids it, for losses that need a batch whole.
    processes : Processes, optional
        Among which each batch is shared.
    """

    def __init__(
        self,
        module: nn.Module,
        step: Step,
        optimizer: Optimizer,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        clip_norm: float | None = None,
        micro_batch_size: int | None = None,
        split: Split | None = split_rows,
        processes: Processes | None = None,
    ):
        self.module = module
        self.step = step
        self.optimizer = optimizer
        self.device = device
        self.dtype = dtype
        self.clip_norm = clip_norm
        self.micro_batch_size = micro_batch_size
        self.split = split
        self.on_gradients: Callable[[Batch], None] | None = None
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        # float16 gradients underflow unless the loss is scaled up; float32 and bfloat16 have the range.
        self.scaler = torch.amp.GradScaler(device.type) if dtype == torch.float16 else None
        self._is_checked = False
        self.processes = processes
        self._looks_at_loss = device.type == "cpu" and processes is None

    def __call__(self, batch: Batch) -> Outcome:
        """Update the weights; returns the mean loss (on the device), its weight, further means.

        Raises
        ------
        NonFiniteLossError
            On a CPU, before the weights change.
        """
        self._clear_gradients()
        if self.processes is None:
            outcome = self._within_memory(batch, self._whole_backwards, self._parts_backwards)
        else:
            outcome = self._shared_backwards(batch, self.processes)
        if self.scaler is not None and (self.clip_norm is not None or self.on_gradients is not None):
            self.scaler.unscale_(self.optimizer)
        if self.on_gradients is not None:
            self.on_gradients(batch)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return outcome

    def evaluate(self, step: Step, batch: Batch) -> Outcome:
        """Return what `step` makes of the batch, cut as in training; gradients are the caller's matter."""

        def parts(batch: Batch, size: int) -> Outcome:
            return _pooled([self._forward(step, part) for part in self._cut(batch, size)])

        share, counts = (batch, 1.0) if self.processes is None else self.processes.share(batch)
        outcome = self._within_memory(share, lambda batch: self._forward(step, batch), parts)
        return outcome if self.processes is None else _summed(outcome, counts, [], self.processes)

    def _forward(self, step: Step, batch: Batch) -> Outcome:
        with autocast(self.device, self.dtype), single_row_explained(ONE_ROW):
            result = step(self.module, batch)
        if isinstance(result, Tensor):
            return result, n_rows(batch), None
        loss, weight, parts = (*result, None, None)[:3]
        return loss, n_rows(batch) if weight is None else weight, parts

    def _loss_forward(self, batch: Batch) -> Outcome:
        outcome = self._forward(self.step, batch)
        loss = outcome[0]
        if not self._is_checked:
            self._check(loss)
        if self._looks_at_loss and not math.isfinite(loss.item()):
            raise NonFiniteLossError
        return outcome

    def _shared_backwards(self, batch: Batch, processes: Processes) -> Outcome:
        # grad L = sum_r w_r grad l_r / sum_r w_r over the processes r
        share, counts = processes.share(batch)
        together = processes.together(self.module, n_rows(batch))
        if together is None:
            outcome = self._within_memory(share, self._whole_backwards, self._parts_backwards)
        else:  # the processes wait for each other within the network: none may cut its share
            with together:
                outcome = self._whole_backwards(share, is_weighed=True)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        outcome = _summed(outcome, counts, gradients, processes, are_weighed=together is not None)
        if self.device.type == "cpu" and not math.isfinite(outcome[0].item()):
            raise NonFiniteLossError  # in all processes alike
        return outcome

    def _whole_backwards(self, batch: Batch, *, is_weighed: bool = False) -> Outcome:
        outcome = self._loss_forward(batch)
        loss = outcome[0] * outcome[1] if is_weighed else outcome[0]
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return outcome

    def _parts_backwards(self, batch: Batch, size: int) -> Outcome:
        # grad L = sum_k w_k grad l_k / sum_k w_k; the sum of weights is known only at the end
        rows = n_rows(batch)
        outcomes: list[Outcome] = []
        for part in self._cut(batch, size):
            loss, weight, parts = self._loss_forward(part)
            share = loss * (weight / rows)
            (share if self.scaler is None else self.scaler.scale(share)).backward()
            outcomes.append((loss.detach(), weight, parts))
        total = sum(weight for _, weight, _ in outcomes) / rows
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if isinstance(total, Tensor):
            torch._foreach_mul_(gradients, 1 / total.clamp_min(torch.finfo(total.dtype).tiny))
        elif total != 1:
            torch._foreach_mul_(gradients, 1 / total)
        return _pooled(outcomes)

    def _within_memory(
        self, batch: Batch, whole: Callable[[Batch], Outcome], parts: Callable[[Batch, int], Outcome]
    ) -> Outcome:
        while True:
            try:
                if self.micro_batch_size is None or n_rows(batch) <= self.micro_batch_size:
                    return whole(batch)
                return parts(batch, self.micro_batch_size)
            except torch.OutOfMemoryError as error:
                self._halve(batch, error)
            # Only here, with the error gone, are the activations that its traceback held free.
            self._clear_gradients()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _halve(self, batch: Batch, error: torch.OutOfMemoryError) -> None:
        rows = n_rows(batch)
        at_once = min(self.micro_batch_size or rows, rows)
        if self.split is None or at_once < 2:
            reason = "its loss needs the batch whole" if self.split is None else "that is one row at a time"
            error.add_note(f"A batch of {rows} rows cannot be cut further: {reason}. Use a smaller batch_size.")
            raise error
        self.micro_batch_size = -(-at_once // 2)
        warn_user(
            f"Out of memory with {at_once} rows at once; batches of {rows} rows now go through the network "
            f"{self.micro_batch_size} rows at a time, with the gradients added up.",
        )

    def _cut(self, batch: Batch, size: int) -> list[Batch]:
        assert self.split is not None
        return self.split(batch, size)

    def _clear_gradients(self) -> None:
        for parameter in self.parameters:  # optimizer.zero_grad, without its profiling
            parameter.grad = None

    def _check(self, loss: Any) -> None:
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            found = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(
                "A step must return the batch's mean loss as a 0-d floating tensor, or (loss, weight), or "
                f"(loss, weight, parts); its loss is {found}."
            )
        if not loss.requires_grad:
            raise ValueError("The step's loss depends on no parameter that is trained; are all of them frozen?")
        self._is_checked = True


@torch.no_grad()
def _summed(
    outcome: Outcome, counts: float, gradients: list[Tensor], processes: Processes, *, are_weighed: bool = False
) -> Outcome:
    """Return the weighted mean over the processes, and make the gradients theirs."""
    loss, weight, parts = outcome
    own = torch.as_tensor(weight, dtype=loss.dtype, device=loss.device) * counts
    means = [value.detach().to(loss.dtype) * own for value in (loss, *(parts or {}).values())]
    total = own.clone()
    for gradient in () if are_weighed else gradients:
        gradient.mul_(own)
    processes.sum([*gradients, *means, total])
    scale = 1 / total.clamp_min(torch.finfo(total.dtype).tiny)
    for gradient in gradients:
        gradient.mul_(scale)
    pooled = {name: mean * scale for name, mean in zip(parts or (), means[1:])}
    return means[0] * scale, total, pooled if parts is not None else None


def _pooled(outcomes: list[Outcome]) -> Outcome:
    """Return the weighted mean of the micro-batches' means."""
    total = sum(weight for _, weight, _ in outcomes)
    scale = 1 / (total.clamp_min(torch.finfo(total.dtype).tiny) if isinstance(total, Tensor) else total)

    def mean(values: list[Tensor]) -> Tensor:
        return sum((v.detach() * w for v, (_, w, _) in zip(values, outcomes)), start=torch.zeros(())) * scale  # type: ignore[return-value]

    loss = mean([loss for loss, _, _ in outcomes])
    names = outcomes[0][2]
    parts = None if names is None else {name: mean([o[2][name] for o in outcomes if o[2]]) for name in names}
    return loss, total, parts
