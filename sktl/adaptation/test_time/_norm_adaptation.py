"""A network whose batch norms follow the rows that come: AdaBN and TENT."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sktl._device import autocast
from sktl._estimator import OpenNetwork
from sktl._warn_once import warn_user
from sktl.adaptation._moments import Moments, held, norms_of
from sktl.adaptation.from_fitted._target_rows import TargetRows
from sktl.adaptation.test_time._collapse import Collapse, Predictions, are_spread_thin, could_be_of_the_source
from sktl.adaptation.test_time._tent import EntropyStep, NormsAlone
from sktl.training import TrainingNet, load_training_state, progress_of, refuse_processes, to_arrays


@dataclass(frozen=True)
class NormOptions:
    """How norms follow: `trains` is TENT's; `undoes` is whether collapse is looked for."""

    trains: bool
    undoes: bool
    prior: float
    learning_rate: float
    optimizer: str | Callable
    max_epochs: int
    seed: int
    verbose: int = 0


class NormAdaptation:
    """A network, its statistics so far, and where its norms' parameters started.

    Parameters
    ----------
    network : OpenNetwork
        Adapted in place.
    device : torch.device
        Where it runs.
    options : NormOptions
        What is done.
    moments : Moments
        Of what was seen so far; with the source's statistics.
    start : dict of str to Tensor
        The norms' scales and shifts before any adaptation, by name.
    """

    def __init__(
        self, network: OpenNetwork, device: torch.device, options: NormOptions, moments: Moments,
        start: dict[str, Tensor],
    ):  # fmt: skip
        self.network = network
        self.device = device
        self.options = options
        network.module.to(device)
        self.norms = norms_of(network.module)
        self.moments = moments.to(device)
        self.start = {name: value.to(device) for name, value in start.items()}
        self.module = NormsAlone(network.module, self.norms).requires_grad_(False)
        self._forget()

    @property
    def n_passes(self) -> int:
        """Return how often `adapt` goes through its rows."""
        return 1 + self.options.undoes + (self.options.max_epochs if self.options.trains else 0)

    @property
    def least(self) -> int:
        """Return how many rows a batch holds at least: one, where there is something to add its statistics to."""
        return 1 if not self.options.trains and (self.options.prior > 0 or self.moments.n_rows > 1) else 2

    def adapt(self, rows: TargetRows, size: int, watch: Callable[[int], None] | None = None) -> None:
        """Go through the rows: train by TENT if asked, and take their statistics in.

        `watch` is told how many rows were passed by now, those of each pass.
        """
        held, before, now = self._state(), Predictions(), Predictions()
        self._watch = watch or _nobody
        self._n_passed = 0
        if self.options.undoes:
            self._pass(rows, size, before)
        if self.options.trains:
            batches = rows.batches(
                torch.zeros(rows.n_rows, dtype=torch.int64), size, steps_per_epoch=-(-rows.n_rows // size),
                max_epochs=self.options.max_epochs, augment=None, seed=self.options.seed,
            )  # fmt: skip
            self._train(batches, rows.n_rows)
            self._undo_collapse()
        self.module.train(rows.n_rows > 1)
        with self.moments.listening(self.norms):
            self._pass(rows, size, now)
        if rows.n_rows > 1 and self._has_spread(before, now):
            self._leave_out(held, before, now)
        self._watch = _nobody
        self._settle()

    def follow(self, batch: Tensor) -> Tensor:
        """Take in one batch of a stream; returns its logits."""
        held, before = self._state(), self._logits(batch)
        logits = self._trained_on(batch) if self.options.trains else self._seen(batch)
        if len(batch) > 1 and self._has_spread(Predictions(before), Predictions(logits)):
            self._leave_out(held, Predictions(before), Predictions(logits))
            logits = before
        self._settle()
        return logits

    def progress(self) -> dict[str, Any]:
        """Return, on the CPU, what the network and the moments do not tell: the optimizer's state and the watch's."""
        net, watch = progress_of(self.net) if self.options.trains else None, self.step.collapse
        return {"net": net, "watch": to_arrays((watch.before, watch.now))}

    def take_up(self, progress: Mapping[str, Any]) -> None:
        """Go on from where `progress` was asked of another that had come as far."""
        if progress["net"] is not None:
            load_training_state(self.net, progress["net"])
        watch = self.step.collapse
        watch.before, watch.now = (
            None if held is None else torch.as_tensor(held, device=self.device) for held in progress["watch"]
        )

    def _has_spread(self, before: Predictions, now: Predictions) -> bool:
        """Whether the rows just seen were of few classes; the first norm alone is given what no norm has changed."""
        if not self.options.undoes or not are_spread_thin(before, now):
            return False
        first = next((i for i, own in enumerate(self.moments.last) if own is not None), None)
        if first is None:
            return False
        _, mean, var = self.moments.last[first]  # type: ignore[misc]
        return could_be_of_the_source(mean, var, *self.moments.source[first])

    def _seen(self, batch: Tensor) -> Tensor:
        """Take in the statistics, and predict by all so far."""
        self.module.train(len(batch) > 1)  # a single row has no statistics to be normalised by, but counts among all
        with self.moments.listening(self.norms):
            self._logits(batch)
        self._settle()
        return self._logits(batch)

    def _trained_on(self, batch: Tensor) -> Tensor:
        """Take a step of TENT; the predictions are those that it was taken by, as in the paper."""
        self.step.listening = lambda: self.moments.listening(self.norms)
        step = self.step
        self.net.partial_fit([batch], epochs=1)
        step.listening = contextlib.nullcontext
        logits = step.logits_before if self._undo_collapse() else step.logits
        assert logits is not None
        return logits

    @torch.no_grad()
    def _logits(self, batch: Tensor) -> Tensor:
        with autocast(self.device, self.network.dtype):
            return self.module(batch).float()

    def _pass(self, rows: TargetRows, size: int, into: Predictions) -> None:
        for batch in rows.in_order(size):
            into.add(self._logits(batch))
            self._n_passed += len(batch)
            self._watch(self._n_passed)

    def _train(self, batches: Any, n_rows: int) -> None:
        first, n_epochs = self.net.clock_.n_steps, self.options.max_epochs
        n_steps, start = len(batches) * n_epochs, self._n_passed

        def tick(n: int) -> None:
            self._watch(start + (n - first) * n_rows * n_epochs // n_steps)

        self.net.trainer_.tick = tick
        try:
            self.net.partial_fit(batches, epochs=n_epochs)
        finally:
            self.net.trainer_.tick = None
        self._n_passed = start + n_rows * n_epochs

    def copied(self) -> nn.Module:
        """Return a copy of the network as it predicts now."""
        return copy.deepcopy(self.network.module).requires_grad_(False).eval()

    def _settle(self) -> None:
        """Let the network predict by the statistics so far."""
        self.module.eval()
        self.moments.write(self.norms, self.options.prior)

    def _state(self) -> tuple[Moments, dict[str, Tensor]]:
        """Return what adaptation changes, as it is now."""
        named = dict(self.network.module.named_parameters())
        return copy.copy(self.moments), {name: named[name].detach().clone() for name in self.start}

    @torch.no_grad()
    def _put_back(self, affine: dict[str, Tensor]) -> None:
        named = dict(self.network.module.named_parameters())
        for name, value in affine.items():
            named[name].copy_(value)
        self._forget()

    def _leave_out(self, held: tuple[Moments, dict[str, Tensor]], before: Predictions, now: Predictions) -> None:
        """Go back to where adaptation stood before these rows, with a warning."""
        warn_user(
            "These rows seem to be of a single class, or a few, and predictions collapse: as the norms stood they "
            f"amount to {before.n_classes:.1f} classes, and by these rows' own statistics to {now.n_classes:.1f}, with "
            f"an entropy of {now.entropy:.2f} instead of {before.entropy:.2f}. The rows are left out. Adapt to rows of "
            "all classes in random order; undo_collapse=False adapts all the same.",
        )
        self.moments = held[0]
        self._put_back(held[1])

    def _undo_collapse(self) -> bool:
        """Put TENT's parameters back where they started if they make all rows one class, with a warning."""
        if not self.options.undoes or not self.step.collapse.is_there:
            return False
        before, now = self.step.collapse.n_classes
        warn_user(
            f"TENT has collapsed: predictions that amounted to {before:.1f} classes now amount to {now:.1f}. The "
            "norms' scales and shifts are put back to where they started. Rows of a single class, a batch too small or "
            "a learning_rate too large do that.",
        )
        self._put_back(self.start)
        return True

    def _forget(self) -> None:
        """Start the optimiser and the watch anew."""
        o = self.options
        self.step = EntropyStep(self.start, Collapse())
        if not o.trains:
            return
        named = dict(self.network.module.named_parameters())
        trained = [named[name].requires_grad_(True) for name in self.start]
        self.net = TrainingNet(
            self.module, self.step, optimizer=o.optimizer, lr=o.learning_rate, weight_decay=0.0,
            param_groups=[{"params": trained}], max_epochs=o.max_epochs, split=None, dtype=self.network.dtype,
            device=self.device, random_state=o.seed, verbose=0 if o.verbose == 1 else o.verbose,
        ).initialize()  # fmt: skip


def _nobody(n_rows: int) -> None:
    """Tell nobody."""


def affine_of(network: OpenNetwork) -> dict[str, Tensor]:
    """Return copies of the norms' scales and shifts, by name."""
    own = {id(p) for norm in norms_of(network.module) for p in norm.parameters(recurse=False)}
    return {name: held(p) for name, p in network.module.named_parameters() if id(p) in own}


def check_norms(network: OpenNetwork, method: str, classifier: Any) -> None:
    """Raise a ValueError if the network of a classifier has no norms that the method changes, or is shared."""
    name, norms = type(classifier).__name__, norms_of(network.module)
    if method == "tent":
        refuse_processes(
            classifier.device, "TENT, whose small batches come one after another,",
            f"Run it in one process, on a {name} with set_params(device='auto').",
        )  # fmt: skip
    if not norms or (method == "tent" and not affine_of(network)):
        what = "no batch norm with running statistics" if not norms else "no batch norm with a scale and a shift"
        raise ValueError(
            f"method={method!r} adapts batch norms, but the network of this {name} has {what}. "
            "SourceFreeAdaptedClassifier and GradualAdaptedClassifier adapt any network of sktl, and "
            "DomainAdaptedClassifier has a bottleneck with batch norm."
        )
