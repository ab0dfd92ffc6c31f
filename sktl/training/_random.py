"""Torch's global generators, which dropout draws from, lent to one training and then put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from sktl._draws import global_generators


@contextlib.contextmanager
def borrowed_generators(
    device: torch.device, seed: int, state: Mapping[str, Tensor] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Run a block with torch's global generators of the CPU and of `device` seeded, and restore them afterwards.

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

    Yields
    ------
    dict
        Filled, at the end of the block, with the generators' state there.
    """
    with global_generators():
        found = generator_states(device)
        was_deterministic = torch.backends.cudnn.deterministic
        left: dict[str, Tensor] = {}
        try:
            if state:
                _restore(state, device)
            else:
                _seed(seed, device)
            if device.type == "cuda":
                torch.backends.cudnn.deterministic = True
            yield left
        finally:
            left.update(generator_states(device))
            _restore(found, device)
            if device.type == "cuda":
                torch.backends.cudnn.deterministic = was_deterministic


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
