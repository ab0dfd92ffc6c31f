"""A pretrained network with what belongs to it, and the process-wide store in which it lives once."""

from __future__ import annotations

import copy
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import nn

from sktl._draws import OwnDraws
from sktl._forking import ForkSafeLock
from sktl._functional import check_network
from sktl._memory import Remembered, emptied_on_request, trim
from sktl._memory_format import channels_last
from sktl._modes import in_plain_modes
from sktl._preprocessing import Preprocessing
from sktl.backbones._as_made import AsMade
from sktl.backbones._channels import first_channels
from sktl.backbones._copying import own_copy
from sktl.backbones._fingerprint import (
    NetworkIdentity,
    hooks_of_all_modules,
    module_identity,
    named_identity,
)
from sktl.backbones._folding import fold_batch_norms
from sktl.backbones._layers import Trace
from sktl.backbones._packing import pack_weights
from sktl.backbones._registry import build_named, find_network, timm_preprocessing
from sktl.backbones._surgery import split_at, trace_of
from sktl.backbones._weights import load_strictly, looks_like_path, read_state_dict, weights_reference

T = TypeVar("T")

KEPT_BYTES = 96 * 2**20  # of networks that nobody holds just now, with what was made of them
KEPT_SIZES = 16  # traces of a network
KEPT_PREPARED = 4  # copies of a network


class Backbone:
    """A network in eval mode, its preprocessing and its fingerprint. Shared: never train or change `module`.

    Attributes
    ----------
    name : str
        What the user called it, or the class of the module given.
    module : Module
        The network on the CPU, in float32, parameters frozen.
    preprocessing : Preprocessing
        What it expects of its pictures.
    identity : NetworkIdentity
        What tells it from others: its values, and for modules given all else that they depend on.
    fingerprint : str
        The identity's, a hexadecimal digest.
    is_stable : bool
        Whether another process would find the same fingerprint.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        preprocessing: Preprocessing,
        identity: NetworkIdentity,
        as_made: AsMade | None = None,
    ):
        self.name = name
        self.as_made = as_made
        self._module = module.requires_grad_(False)
        self.preprocessing = preprocessing
        self.identity = identity
        self.fingerprint = identity.fingerprint
        self.is_stable = identity.is_stable
        self.lock = ForkSafeLock()
        self._traces: Remembered[tuple[int, int], Trace] = Remembered(KEPT_SIZES)
        self._prepared: Remembered[Any, nn.Module] = Remembered(KEPT_PREPARED)
        self._facts: Remembered[Hashable, Any] = Remembered()
        self._n_bytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))

    @property
    def n_bytes(self) -> int:
        """Return how much memory it takes, its prepared copies included."""
        return self._n_bytes * (1 + len(self._prepared))

    def release(self) -> None:
        """Give back what can be made again."""
        with self.lock:
            self._traces.clear()
            self._prepared.clear()

    @property
    def module(self) -> nn.Module:
        """The network; whoever has put a part of it into training mode finds it in evaluation mode again."""
        return self._module.eval() if any(part.training for part in self._module.modules()) else self._module

    def remembered(self, question: Hashable, find: Callable[[], T]) -> T:
        """Return what `find` returns: a fact about the network, found once; `question` names it."""
        with self.lock:
            return self._facts.get_or_make(question, find)

    def can_split_at(self, layer: str, size: tuple[int, int]) -> bool:
        """Whether the network can be cut in two after a layer, for pictures of `size`."""

        def find() -> bool:
            try:
                split_at(self.module, layer, self.trace(size))
            except ValueError:  # something goes round that layer
                return False
            return True

        return self.remembered(("split", layer, size), find)

    def trace(self, size: tuple[int, int]) -> Trace:
        """Return the layers as a picture of `size` (height, width) in pixels meets them."""
        with self.lock:
            return self._traces.get_or_make(size, lambda: self._traced(size))

    def _traced(self, size: tuple[int, int]) -> Trace:
        try:
            with OwnDraws():
                return trace_of(self.module, size)
        finally:
            trim()  # of the activations of all layers, which tracing needs at once

    def prepared(
        self, device: torch.device, size: tuple[int, int], keep: tuple[str, ...] = (), *, packed: bool = False
    ) -> nn.Module:
        """Return the network as it runs fastest on `device`: batch norms folded, channels last. Shared and cached.

        Parameters
        ----------
        device : torch.device
            Where it runs.
        size : (int, int)
            Height and width of the pictures, to check the folding by.
        keep : tuple of str
            Layers whose outputs are wanted.
        packed : bool, default=False
            Whether convolutions' weights are laid out for PyTorch's kernels, on a CPU in float32.
        """
        with self.lock:
            trace = self.trace(size)
            convolutions = tuple(n for n in keep if isinstance(trace.call(n).module, nn.Conv2d))  # type: ignore[union-attr]
            return self._prepared.get_or_make(
                (device, convolutions, packed), lambda: self._folded(device, trace.input_shape, convolutions, packed)
            )

    def _folded(
        self, device: torch.device, shape: tuple[int, ...], convolutions: tuple[str, ...], packed: bool
    ) -> nn.Module:
        example = torch.linspace(-1, 1, math.prod(shape)).reshape(shape)
        with OwnDraws():
            folded = fold_batch_norms(self.module, example, convolutions)
            folded = channels_last(folded.to(device=device))
            return pack_weights(folded, example.to(memory_format=torch.channels_last)) if packed else folded

    def fresh_module(self) -> nn.Module:
        """Return a copy of the network that may be trained."""
        return own_copy(self.module).requires_grad_(True)


class BackboneStore:
    """Every loaded network once per process, by what was asked for and by fingerprint. Thread-safe.

    A network lives as long as somebody holds it; of the others, those used last stay, `KEPT_BYTES` of them and always
    the very last.
    """

    def __init__(self) -> None:
        self._by_reference: Remembered[tuple, str] = Remembered(1024)
        self._alive: weakref.WeakValueDictionary[str, Backbone] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[str, Backbone] = OrderedDict()
        self._held: weakref.WeakKeyDictionary[Any, Backbone] = weakref.WeakKeyDictionary()
        self._lock = ForkSafeLock()

    def named(self, name: str, weights: Any, seed: int) -> Backbone:
        """Return the registered network `name`, loading it on its first use."""
        drawn = None if weights is not None else seed
        provider, public = find_network(name)
        reference = (provider, public, *weights_reference(weights), drawn, hooks_of_all_modules())
        with self._lock:
            backbone = self._alive.get(self._by_reference.get(reference, ""))
            if backbone is None:
                module = build_named(name, weights, seed)
                preprocessing = provider.preprocessing(public, weights)
                is_ours = type(provider).__module__.startswith("sktl.")  # a user's may change what a name means
                identity = named_identity(public, module) if is_ours else module_identity(module)
                backbone = self._shared(identity, module)
                if backbone is None:
                    as_made = None if is_ours else AsMade(module, module)
                    backbone = Backbone(public, module, preprocessing, identity, as_made)
            self._by_reference.pop(reference, None)
            self._by_reference.get_or_make(reference, lambda: backbone.fingerprint)
            return self._keep(backbone)

    def given(self, module: nn.Module, owner: Any = None, setting: Any = None) -> Backbone:
        """Return the backbone of a module of the user's, which stays untouched: the store works on a copy.

        `owner` and `setting` say where it comes from; see `module_identity`.
        """
        identity = module_identity(module, owner, setting)
        with self._lock:
            if (backbone := self._shared(identity, module)) is None:
                check_network(module, "backbone")
                own = copy.deepcopy(module).cpu().float()
                as_made = AsMade(module, own)
                backbone = Backbone(type(module).__name__, own, _preprocessing_of(module), identity, as_made)
            return self._keep(backbone)

    def _shared(self, identity: NetworkIdentity, module: nn.Module) -> Backbone | None:
        """Return the network that there is of this identity, if it still computes what that says."""
        backbone = self._alive.get(identity.fingerprint)
        if backbone is None or backbone.as_made is None or backbone.as_made.holds(module):
            return backbone
        return None

    def hold(self, owner: Any, backbone: Backbone) -> None:
        """Keep a network as long as an estimator that runs it exists."""
        with self._lock:
            self._held[owner] = backbone

    def clear(self) -> None:
        """Forget all networks; those still needed are loaded again."""
        with self._lock:
            for part in (self._by_reference, self._alive, self._kept, self._held):
                part.clear()

    def _keep(self, backbone: Backbone) -> Backbone:
        """Note that a network is used, and let go of those used longest ago if there are too many."""
        self._alive[backbone.fingerprint] = self._kept[backbone.fingerprint] = backbone
        self._kept.move_to_end(backbone.fingerprint)
        while len(self._kept) > 1 and sum(kept.n_bytes for kept in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
            trim()
        return backbone


STORE = BackboneStore()


@emptied_on_request
def _release_all() -> None:
    for backbone in list(STORE._alive.values()):
        backbone.release()
    STORE.clear()


@in_plain_modes
def load_backbone(backbone: Any, weights: Any = "default", *, seed: int = 0, holder: Any = None) -> Backbone:
    """Return the network that `backbone` and `weights` mean, from the process-wide store.

    Parameters
    ----------
    backbone : str, Module or callable
        A name as listed by `list_backbones`, a module, or a callable that returns a module.
    weights : "default", None, str or path-like, default="default"
        Published weights (the best, or by name), random values, or a file. For a module, "default" keeps its values.
    seed : int, default=0
        Fixes random values.
    holder : object, default=None
        An estimator that will run the network again: it is kept as long as this exists.

    Returns
    -------
    Backbone

    Raises
    ------
    BackboneNotFoundError
        If the name is unknown.
    WeightsError
        If the weights are missing, damaged or do not fit.
    TypeError
        If `backbone` is of none of these types.
    """
    loaded = _loaded(backbone, weights, seed)
    if holder is not None:
        STORE.hold(holder, loaded)
    return loaded


def _loaded(backbone: Any, weights: Any, seed: int) -> Backbone:
    if isinstance(backbone, str):
        return STORE.named(backbone, weights, seed)
    if isinstance(backbone, nn.Module):
        module = backbone
    elif isinstance(backbone, Callable):  # type: ignore[arg-type]
        with OwnDraws(seed):
            module = backbone()
    else:
        module = None
    if not isinstance(module, nn.Module):
        raise TypeError(
            "backbone must be a name (see sktl.list_backbones), an nn.Module, or a callable that returns one; "
            f"got {type(backbone).__name__}"
            + (f" that returned {type(module).__name__}." if module is not None else ".")
        )
    setting = (*weights_reference(weights), None if module is backbone and weights is not None else seed)
    return STORE.given(_with_weights(module, weights, seed, keep_values=module is backbone), backbone, setting)


def _with_weights(module: nn.Module, weights: Any, seed: int, keep_values: bool) -> nn.Module:
    if isinstance(weights, str) and weights == "default":
        return module
    check_network(module, "backbone")
    if weights is None:
        module = copy.deepcopy(module) if keep_values else module
        with OwnDraws(seed):
            for part in module.modules():
                reset: Any = getattr(part, "reset_parameters", None)
                if reset is not None:
                    reset()
        return module
    if looks_like_path(weights):
        module = copy.deepcopy(module) if keep_values else module
        load_strictly(module, read_state_dict(weights), origin=str(weights))
        return module
    raise ValueError(
        f"For a module of your own, weights must be 'default' (its values), None (random) or a file; got {weights!r}."
    )


def _preprocessing_of(module: nn.Module) -> Preprocessing:
    """Return the preprocessing that a timm model carries, else ImageNet's usual one."""
    cfg = getattr(module, "pretrained_cfg", None)
    if not isinstance(cfg, dict) or "input_size" not in cfg:
        # Where there are no weights to ask: grey pictures are spread over [-1, 1].
        return Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3) if first_channels(module) == 1 else Preprocessing()
    return timm_preprocessing(cfg)
