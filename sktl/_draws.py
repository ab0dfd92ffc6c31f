"""Random numbers of a thread's own where torch's functions would draw from the process's global generator."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from numbers import Integral
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sktl._forking import ForkSafeLock

_lock = ForkSafeLock()
_trainings = threading.local()  # `depth`: how many trainings of this thread draw from the global generators
_draw: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # whether networks draw
_OVERLOADS = {"default": "generator", "low": "low_generator", "names": "generator_with_names"}


def seed_of(random_state: Any) -> int:
    """Return a seed; None takes one of the operating system's, so that NumPy's global generator stays as it is."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(random_state.randint(2**31))


@contextlib.contextmanager
def global_generators() -> Iterator[None]:
    """Run a block while no other thread of the library has the state of torch's global generators changed.

    Draws in it are from the global generators, even if the block is within an `OwnDraws`.
    """
    with _lock:
        _trainings.depth = _depth() + 1
        try:
            yield
        finally:
            _trainings.depth -= 1


def _depth() -> int:
    return getattr(_trainings, "depth", 0)


class OwnDraws(TorchDispatchMode):
    """In this thread, what draws on the CPU without a generator draws from one that starts at `seed`.

    The numbers are those that ``torch.manual_seed(seed)`` would give, and the global generator stays as it is.

    Parameters
    ----------
    seed : int, default=0
        Where the generator starts.
    state : Tensor, optional
        The state that it starts from instead, as ``torch.get_rng_state`` gives it.
    """

    def __init__(self, seed: int = 0, state: Tensor | None = None):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        if state is not None:
            self.generator.set_state(state)
        self.has_drawn = False
        self._depth = 0

    def __enter__(self) -> OwnDraws:
        self._depth = _depth()
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, with the generator if it is one that draws."""
        kwargs = kwargs or {}
        is_here = self._depth == _depth()
        if not is_here or not _draws(func, args, kwargs) or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        self.has_drawn = True
        tensors = [value for value in args if isinstance(value, Tensor)]
        device = tensors[0].device if tensors else torch.device(kwargs.get("device") or "cpu")
        if device.type != "cpu":
            return func(*args, **kwargs)
        if any(argument.name == "generator" for argument in func._schema.arguments):
            return func(*args, **{**kwargs, "generator": self.generator})
        other = _OVERLOADS.get(func._overloadname, "")
        if other in func.overloadpacket.overloads():
            return getattr(func.overloadpacket, other)(*args, **{**kwargs, "generator": self.generator})
        with global_generators():  # an operation that takes no generator
            found = torch.get_rng_state()
            try:
                torch.set_rng_state(self.generator.get_state())
                result = func(*args, **kwargs)
                self.generator.set_state(torch.get_rng_state())
            finally:
                torch.set_rng_state(found)
        return result


def _draws(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call draws: dropout, say, does not in evaluation mode, nor attention whose dropout is 0."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    for place, argument in enumerate(func._schema.arguments):
        if argument.name in ("train", "training", "dropout_p"):
            value = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
            if value is not None and not value:
                return False
    return True


@contextlib.contextmanager
def repeatable(network: nn.Module) -> Iterator[None]:
    """Run one pass of a network so that what it draws in evaluation mode, on the CPU, is the same in every pass."""
    if not _draw.get(network, True):
        yield
        return
    with OwnDraws() as own:  # which makes each operation slower: it is left out for a network that has not drawn
        yield
    _draw[network] = own.has_drawn
