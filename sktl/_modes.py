"""Torch's modes: the library computes in its own, whatever the caller has set, and leaves the caller's as they were."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from types import GeneratorType
from typing import Any, TypeVar

import torch
from sklearn.utils.metaestimators import available_if
from torch import Tensor, nn

from sktl._forking import ForkSafeLock

F = TypeVar("F", bound=Callable[..., Any])


def _has_autocast(device: str) -> bool:
    try:
        torch.is_autocast_enabled(device)
    except RuntimeError:  # torch 2.4 has none on MPS
        return False
    return True


_AUTOCAST_DEVICES = tuple(filter(_has_autocast, ("cpu", "cuda", "mps")))


@contextlib.contextmanager
def plain_modes() -> Iterator[None]:
    """Run a block as if the caller had set no mode of torch, and put the caller's modes back.

    Gradients are on, inference mode and autocast are off, new tensors are float32 on the CPU. The default dtype belongs
    to the process: it is float32 for all threads as long as one of them is in such a block. Whether algorithms must be
    deterministic is left to the caller.
    """
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for device in _AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32 or _dtype.n_users:
            stack.enter_context(_dtype.float32())
        yield


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Run a block with a module in evaluation mode, and put the mode of each of its parts back.

    Threads that share the module must take turns.
    """
    training = [part for part in module.modules() if part.training]
    if not training:
        yield
        return
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
        wanted = set(map(id, training))
        for part in module.modules():
            part.training = id(part) in wanted


def usable(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made in inference mode: it could not be learned from elsewhere."""
    return tensor.clone() if tensor.is_inference() else tensor


def in_plain_modes(function: F) -> F:
    """Decorate a function to run in `plain_modes`; so does each step of a generator that it returns."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with plain_modes():
            result = function(*args, **kwargs)
        return _each_step(result) if isinstance(result, GeneratorType) else result

    return run  # type: ignore[return-value]


class InPlainModes:
    """Mixin: all public methods and properties that a subclass defines run in `plain_modes`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name, value in list(vars(cls).items()):
            if not name.startswith("_") and (changed := decorated(value, cls._decorator(name))) is not value:
                setattr(cls, name, changed)
        super().__init_subclass__(**kwargs)

    @classmethod
    def _decorator(cls, name: str) -> Callable[[Any], Any]:
        """Return what a method is decorated by; a mixin may have more to do."""
        of_others = getattr(super(), "_decorator", None)
        return in_plain_modes if of_others is None else of_others(name)


def decorated(value: Any, by: Callable[[Any], Any]) -> Any:
    """Return a class's method or property with its function decorated, and anything else as it is."""
    if inspect.isfunction(value):
        return by(value)
    if isinstance(value, classmethod):
        return classmethod(by(value.__func__))
    if isinstance(value, property) and value.fget is not None:
        return property(by(value.fget), value.fset, value.fdel, value.__doc__)
    if hasattr(value, "check") and inspect.isfunction(getattr(value, "fn", None)):  # from available_if
        return available_if(value.check)(by(value.fn))
    return value


def _each_step(steps: Generator) -> Generator:
    try:
        while True:
            with plain_modes():
                try:
                    value = next(steps)
                except StopIteration:
                    return
            yield value
    finally:
        steps.close()


class _DefaultDtype:
    """Makes float32 the process's default until the last of its users is done."""

    def __init__(self) -> None:
        self.n_users = 0
        self._lock = ForkSafeLock()
        self._found = torch.float32

    @contextlib.contextmanager
    def float32(self) -> Iterator[None]:
        with self._lock:
            if self.n_users == 0:
                self._found = torch.get_default_dtype()
            self.n_users += 1
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            with self._lock:
                self.n_users -= 1
                if self.n_users == 0:
                    torch.set_default_dtype(self._found)


_dtype = _DefaultDtype()
