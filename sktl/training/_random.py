"""Torch's global generators, which dropout draws from, lent to one training and then put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sktl._draws import OwnDraws, global_generators


class BorrowedGenerators:
    """A block with torch's global generators of the CPU and of `device` seeded; they are restored afterwards.

    The generators belong to the process: trainings in its threads take turns, so that none draws from another's.
    On CUDA, cuDNN keeps to its deterministic algorithms within.

    Parameters
    ----------
    device : torch.device
        Where the training runs.
    seed : int
        What the generators start from.
    state : mapping, optional
        What they go on from instead: what an earlier block left.

    Attributes
    ----------
    left : dict
        Filled, at the end of the block, with the generators' state there.
    """

    def __init__(self, device: torch.device, seed: int, state: Mapping[str, Tensor] | None = None):
        self.device = device
        self.seed = seed
        self.state = state
        self.left: dict[str, Tensor] = {}
        self._found: dict[str, Tensor] = {}
        self._own_draws: OwnDraws | None = None
        self._held = contextlib.ExitStack()
        self._was_deterministic = False

    def __enter__(self) -> BorrowedGenerators:
        self._take()
        if self.state:
            _restore(self.state, self.device)
        else:
            _seed(self.seed, self.device)
        return self

    def __exit__(self, *exception: object) -> None:
        self.left.update(self._give_back())

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Give the generators back for a block of the user's code, which may wait for a training in another thread.

        What the block draws on the CPU is what it would have drawn without. On other devices nothing is given back.
        """
        if self.device.type != "cpu" or self._own_draws is not None:
            yield
            return
        self._own_draws = OwnDraws(state=self._give_back()["cpu"])
        try:
            with self._own_draws:
                yield
        finally:
            own, self._own_draws = self._own_draws.generator.get_state(), None
            self._take()
            _restore({"cpu": own}, self.device)

    def now(self) -> dict[str, Tensor]:
        """Return where the generators of the block stand."""
        if self._own_draws is not None:
            return {"cpu": self._own_draws.generator.get_state()}
        return generator_states(self.device)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy of what is being trained borrows nothing

    def _take(self) -> None:
        self._held.enter_context(global_generators())
        self._found = generator_states(self.device)
        self._was_deterministic = torch.backends.cudnn.deterministic
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = True

    def _give_back(self) -> dict[str, Tensor]:
        try:
            own = generator_states(self.device)
            _restore(self._found, self.device)
            if self.device.type == "cuda":
                torch.backends.cudnn.deterministic = self._was_deterministic
        finally:
            self._held.close()
        return own


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators that a training on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _restore(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"].cpu())


def _seed(seed: int, device: torch.device) -> None:
    # torch.manual_seed would seed every GPU of the machine.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
