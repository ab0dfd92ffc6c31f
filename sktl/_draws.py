"""Random numbers of a thread's own where torch's functions would draw from the process's global generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sktl._forking import ForkSafeLock

_lock = ForkSafeLock()
_OVERLOADS = {"default": "generator", "low": "low_generator", "names": "generator_with_names"}


@contextlib.contextmanager
def global_generators() -> Iterator[None]:
    """Run a block while no other thread of the library has the state of torch's global generators changed."""
    with _lock:
        yield


class OwnDraws(TorchDispatchMode):
    """In this thread, what draws on the CPU without a generator draws from one that starts at `seed`.

    The numbers are those that ``torch.manual_seed(seed)`` would give, and the global generator stays as it is.

    Parameters
    ----------
    seed : int
        Where the generator starts.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, with the generator if it is one that draws."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
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
