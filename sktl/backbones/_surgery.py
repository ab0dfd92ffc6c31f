"""Cutting networks: outputs at layers, prefix and suffix, parameters by depth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktl.backbones._channels import declared_channels, first_channels
from sktl.backbones._heads import PENULTIMATE
from sktl.backbones._layers import Trace, trace_network
from sktl.backbones._selection import resolve_layers


class _DeepestLayerReached(Exception):  # noqa: N818 - no error: it ends a pass
    """Ends a forward pass once every asked layer has spoken."""


class LayerOutputs(nn.Module):
    """A network's outputs at some layers, in one pass that stops after the deepest of them.

    Parameters
    ----------
    network : Module
        The network. Several `LayerOutputs` may share it, but must not run at the same time.
    names : sequence of str
        Modules that one pass calls once; `PENULTIMATE` is what enters the heads, or the output where there is none.
    reduce : callable, default=None
        ``reduce(output, name) -> Tensor``, called at once when a layer has its output, before a later layer may
        overwrite it in place. None copies the output.
    stops : bool, default=True
        Whether the pass ends there by an exception, which exporters do not follow; if not, the rest is run for nothing.
    heads : sequence of str, default=()
        The names of the classifiers whose inputs, side by side, are the codes.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        reduce: Callable | None = None,
        *,
        stops: bool = True,
        heads: Sequence[str] = (),
    ):
        super().__init__()
        self.network = network
        self.stops = stops
        self.names = tuple(names)
        self.heads = tuple(heads)
        self.reduce = reduce or (lambda output, name: output.clone())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return one tensor a layer, in the order of `names`."""
        outputs: dict[str, torch.Tensor] = {}
        entered: dict[str, torch.Tensor] = {}

        def keep(name: str, output: torch.Tensor) -> None:
            outputs[name] = self.reduce(output, name)
            if self.stops and len(outputs) == len(self.names):
                raise _DeepestLayerReached

        def hook_for(name: str):
            return lambda layer, args, output: keep(name, output)

        def entry_hook_for(head: str):
            def hook(layer, args, kwargs):
                entered[head] = next(iter((*args, *kwargs.values())))
                if len(entered) == len(self.heads):
                    keep(PENULTIMATE, joined([entered[name] for name in self.heads]))

            return hook

        handles: list[Any] = []
        for name in self.names:
            if name == PENULTIMATE and self.heads:
                for head in self.heads:
                    module = self.network.get_submodule(head)
                    handles.append(module.register_forward_pre_hook(entry_hook_for(head), with_kwargs=True))
            else:
                module = self.network.get_submodule("" if name == PENULTIMATE else name)
                handles.append(module.register_forward_hook(hook_for(name)))
        try:
            self.network(x)
        except _DeepestLayerReached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return tuple(outputs[name] for name in self.names)


def joined(entered: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return what enters the heads: the one tensor, or the vectors (or means of maps) of several side by side."""
    if len(entered) == 1:
        return entered[0]
    return torch.cat([x.mean((2, 3)) if x.ndim == 4 else x.flatten(1) for x in entered], dim=1)


class _StandIn(nn.Module):
    """Stands where a layer stood, and has its plain attributes: other layers may ask for the grid of its patches."""

    def __init__(self, entry: dict[str, torch.Tensor], original: nn.Module):
        super().__init__()
        self._entry = entry
        self._plain = {k: v for k, v in vars(original).items() if not k.startswith("_") and k != "training"}

    def __getattr__(self, name: str):
        plain = self.__dict__.get("_plain", {})
        return plain[name] if name in plain else super().__getattr__(name)


class _Skip(_StandIn):
    """Stands where a layer of the prefix stood: answers with NaN of the right shape, at no cost in memory."""

    def __init__(self, shape: tuple[int, ...], entry: dict[str, torch.Tensor], original: nn.Module):
        super().__init__(entry, original)
        self._shape = shape

    def forward(self, *args, **kwargs):
        z = self._entry["z"]
        return z.new_full((), torch.nan).expand(z.shape[0], *self._shape[1:])


class _Enter(_StandIn):
    """Stands where the cut layer stood: answers with what the prefix computed."""

    def forward(self, *args, **kwargs):
        return self._entry["z"]


class Suffix(nn.Module):
    """The rest of a network after a layer, as a module that holds and trains the rest's parameters only.

    With `shares`, the parameters are the network's own, so that training the rest trains the network.
    """

    def __init__(self, network: nn.Module, layer: str, trace: Trace, *, shares: bool = False):
        super().__init__()
        self._entry: dict[str, torch.Tensor] = {}
        self._input_shape = trace.input_shape
        self.rest = _with_prefix_skipped(network, layer, trace, self._entry, shares)
        self._heads = tuple(f"rest.{head}" for head in trace.code_heads)

    def outputs(self, layer: str, reduce: Callable | None = None) -> LayerOutputs:
        """Return what computes the whole network's `layer` from the output of the cut layer."""
        name = layer if layer == PENULTIMATE else f"rest.{layer}"
        return LayerOutputs(self, [name], reduce and (lambda z, _: reduce(z, layer)), heads=self._heads)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Go on from `z`, the output of the cut layer."""
        self._entry["z"] = z
        try:
            return self.rest(z.new_full((), torch.nan).expand(z.shape[0], *self._input_shape[1:]))
        finally:
            self._entry.clear()


def _with_prefix_skipped(network: nn.Module, layer: str, trace: Trace, entry: dict, shares: bool) -> nn.Module:
    calls = [call for call in trace.calls if call.name != PENULTIMATE]
    order = [call.name for call in calls]
    before = calls[: order.index(layer)]
    ancestors = {layer[:i] for i, sign in enumerate(layer) if sign == "."} | {""}
    done = {call.name: call for call in before if call.name not in ancestors and not call.name.startswith(layer + ".")}
    outermost = [n for n in done if not any(n.startswith(other + ".") for other in done if other != n)]
    again = {call.name for call in calls[len(before) :]}  # a shared activation may run on both sides
    replaced: dict[int, nn.Module] = {id(cut := network.get_submodule(layer)): _Enter(entry, cut)}
    for name in outermost:
        original = network.get_submodule(name)
        if name not in again:
            replaced[id(original)] = _Skip(done[name].shape or (1,), entry, original)
    # deepcopy takes the stand-ins for the originals, so the prefix is never copied.
    return copy.deepcopy(network, memo={**_own_parts(network, replaced), **replaced} if shares else replaced)


def _own_parts(network: nn.Module, replaced: dict[int, nn.Module]) -> dict[int, Any]:
    """Return, as a memo for deepcopy, what stays itself: modules with nothing replaced in them, and all tensors."""
    whole = [part for part in network.modules() if not any(id(inner) in replaced for inner in part.modules())]
    return {id(thing): thing for thing in (*whole, *network.parameters(), *network.buffers())}


@torch.no_grad()
def split_at(network: nn.Module, layer: str, trace: Trace, *, shares: bool = False) -> tuple[LayerOutputs, Suffix]:
    """Split a network in two: ``suffix(prefix(x)[0])`` is ``network(x)``.

    Parameters
    ----------
    network : Module
        In eval mode.
    layer : str
        The layer after which to cut.
    trace : Trace
        Of the same network.
    shares : bool, default=False
        Whether the suffix holds the network's own modules after the cut, rather than copies.

    Returns
    -------
    prefix : LayerOutputs
        Shares the network's modules.
    suffix : Suffix
        Holds the modules after the cut.

    Raises
    ------
    ValueError
        If something goes round that layer, so that the suffix would lack it.
    """
    (layer,) = resolve_layers(layer, trace)
    prefix, suffix = LayerOutputs(network, [layer]), Suffix(network, layer, trace, shares=shares)
    reference = next(network.parameters())
    x = torch.zeros(trace.input_shape, dtype=reference.dtype, device=reference.device)
    try:
        whole, parts = network(x.clone()), suffix(prefix(x.clone())[0])
        same = isinstance(whole, torch.Tensor) and torch.allclose(whole, parts, rtol=1e-4, atol=1e-5)
    except Exception as error:  # whatever the user's forward raises when it meets the stand-ins
        raise ValueError(f"The network cannot be split at {layer!r}: {error}.") from error
    if not same:
        cuts = [row.name for row in trace.layers]
        raise ValueError(
            f"The network cannot be split at {layer!r}: its output depends on earlier layers by another way too. "
            f"Choose one of {', '.join(cuts)}."
        )
    return prefix, suffix


@dataclass(frozen=True)
class ParameterGroup:
    """The parameters between two neighbouring layers: `name` is the deeper one, `depth` its depth (2.0: the head)."""

    name: str
    depth: float
    parameters: tuple[tuple[str, nn.Parameter], ...]


def parameter_groups(network: nn.Module, trace: Trace) -> list[ParameterGroup]:
    """Return all parameters, each once, grouped by depth from the picture to the classifier."""
    order = [call.name for call in trace.calls]
    ends = [(order.index(row.name), row.name, row.depth) for row in trace.layers]
    heads = set(trace.heads)
    found: dict[str, list[tuple[str, nn.Parameter]]] = {name: [] for _, name, _ in ends}
    head: list[tuple[str, nn.Parameter]] = []
    position = {name: i for i, name in enumerate(order)}
    for name, parameter in network.named_parameters():
        owner = calling_owner(name, position)
        # Tokens and position tables of the network itself, used before its first layer, belong with that layer.
        at = -1 if owner == "" else position[owner]
        row = next((row for end, row, _ in ends if at <= end), None) if owner not in heads else None
        (found[row] if row is not None else head).append((name, parameter))
    groups = [ParameterGroup(name, depth, tuple(found[name])) for _, name, depth in ends if found[name]]
    return groups + ([ParameterGroup(trace.head or "head", 2.0, tuple(head))] if head else [])


def calling_owner(name: str, called: Container[str]) -> str:
    """Return the innermost layer around a parameter that is called: attention may use a layer's weight by itself."""
    owner = owner_of(name)
    while owner and owner not in called:
        owner = owner.rpartition(".")[0]
    return owner


def owner_of(name: str) -> str:
    """Return the layer that a parameter belongs to, where it is reparametrised (by weight norm, say) too."""
    layer, is_reparametrised, _ = name.partition(".parametrizations.")
    return layer if is_reparametrised else name.rpartition(".")[0]


def trace_of(network: nn.Module, size: tuple[int, int], channels: int | None = None) -> Trace:
    """Trace a network on a picture of `size` (height, width) in pixels; its mode and gradients are given back.

    Where `channels` is None, it is three if the network takes them, else one.
    """
    if channels is None:
        try:
            return trace_of(network, size, 3)
        except ValueError as error:
            if first_channels(network) == 3:
                raise
            try:
                return trace_of(network, size, 1)
            except ValueError:
                declared_channels(network)  # says so, where they are the fault
                raise error from None
    reference = next((p for p in network.parameters()), torch.zeros(()))
    wanted = [(p, p.requires_grad) for p in network.parameters()]
    modes = [(m, m.training) for m in network.modules()]
    network.eval()
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        example = torch.linspace(-1, 1, channels * size[0] * size[1], dtype=reference.dtype, device=reference.device)
        return trace_network(network, example.reshape(1, channels, *size))
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
