"""What tells two networks apart: their values, and all that else decides what they compute.

The rule errs on the safe side. Where `sktl._identity` can make out everything that a module's behaviour depends on, the
digest of it is the fingerprint, the same in every process. Where it cannot, the object itself is the key as well, for
this process.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
import xxhash
from torch import nn
from torch.nn.modules import module as torch_module

from sktl._identity import ENVIRONMENT, Unchanged, Walk, add_hooks, key_of_object, note_of
from sktl._memory import Remembered, emptied_on_request

GLOBAL_HOOKS = ("_global_forward_pre_hooks", "_global_forward_hooks", "_global_backward_pre_hooks",
                "_global_backward_hooks")  # fmt: skip

_noted: Remembered[int, tuple[weakref.ref, str, Unchanged, NetworkIdentity]] = Remembered(8)  # of modules, by id
emptied_on_request(_noted.clear)


@dataclass(frozen=True)
class NetworkIdentity:
    """Which network it is.

    Attributes
    ----------
    fingerprint : str
        What is shared goes by it.
    seen : str
        Digest of all that could be made out; the fingerprint itself if that was everything.
    values : str
        Digest of the names and values in its state.
    environment : str
        The versions under which `seen` may be compared; empty if under any.
    unknown : tuple of str
        What could not be made out.
    """

    fingerprint: str
    seen: str
    values: str
    environment: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def is_stable(self) -> bool:
        """Whether another process finds the same fingerprint."""
        return not self.unknown

    def is_of(self, other: NetworkIdentity) -> bool:
        """Whether the other is this network, as far as can be seen: what was fitted with this may go on with that.

        A copy and what a pickle brings are other objects, and under other versions code reads otherwise; then all that
        can be compared has to agree.
        """
        if self.fingerprint == other.fingerprint:
            return True
        if self.environment == other.environment:
            return self.seen == other.seen
        return self.values == other.values


def named_identity(name: str, module: nn.Module) -> NetworkIdentity:
    """Return the identity of a registered network: its name and its values."""
    digest = xxhash.xxh3_128(name.encode() + hooks_of_all_modules()[0].encode())
    _add_values(digest, module, {})
    unknown = hooks_of_all_modules()[1]
    return NetworkIdentity(digest.hexdigest(), digest.hexdigest(), digest.hexdigest(), "", unknown)


def module_identity(module: nn.Module, owner: Any = None, setting: Any = None) -> NetworkIdentity:
    """Return the identity of any module.

    Parameters
    ----------
    module : Module
        The network.
    owner : object, optional
        What is the key where the module cannot be made out: the module as the user holds it, or the callable that
        builds it; by default `module`.
    setting : object, optional
        What was done to the owner's network, as text tells it.
    """
    hooks, unknown_hooks = hooks_of_all_modules()
    if not unknown_hooks:
        noted = _noted.get(id(module))
        if noted is not None and noted[0]() is module and noted[1] == hooks and noted[2].holds(module):
            return noted[3]
    note = note_of(module)  # before it is looked through: what changes meanwhile is seen the next time
    walk = Walk()
    found = walk.identity(module)
    unknown = (*found.unknown, *unknown_hooks)
    values = xxhash.xxh3_128()
    _add_values(values, module, walk.tensors)
    seen = xxhash.xxh3_128_hexdigest(f"{ENVIRONMENT};{found.digest};{values.hexdigest()};{hooks}".encode())
    key = seen
    if unknown:
        owner = module if owner is None else owner
        key = xxhash.xxh3_128_hexdigest(f"{seen};{key_of_object(owner)};{setting!r}".encode())
    identity = NetworkIdentity(key, seen, values.hexdigest(), ENVIRONMENT, unknown)
    number = id(module)
    _noted.pop(number, None)
    if note is not None and not unknown:  # then it is what the module is made of, and nothing else
        reference = weakref.ref(module, lambda _: _noted.pop(number, None))
        _noted.get_or_make(number, lambda: (reference, hooks, note, identity))
    return identity


def hooks_of_all_modules() -> tuple[str, tuple[str, ...]]:
    """Return a digest of torch's hooks on every module, empty if there are none, and what of them is unknown."""
    hooks = [getattr(torch_module, name, {}) for name in GLOBAL_HOOKS]
    if not any(hooks):
        return "", ()
    walk = Walk()
    for part in hooks:
        add_hooks(walk, part)
    found = walk.identity(None)
    return found.digest, found.unknown


def _add_values(digest: xxhash.xxh3_128, module: nn.Module, known: dict[int, bytes]) -> None:
    """Take in the names and values of a module's state; `known` are digests by the ids of tensors."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{name}{tensor.dtype}".encode())
        if id(tensor) in known:
            digest.update(known[id(tensor)])
            continue
        try:
            values = tensor.detach().contiguous().cpu()
            digest.update(str(tuple(values.shape)).encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):  # it has none that can be compared
            digest.update(b"?")
