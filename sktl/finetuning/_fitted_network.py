"""What fit learned: the tensors that changed, and how to rebuild the network around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sktl._forking import ForkSafeLock
from sktl.backbones import SmallBatches
from sktl.finetuning._frozen import RestNetwork
from sktl.finetuning._lora import LoRA, adapted_layers, adapters, merge_adapters
from sktl.finetuning._networks import PictureSpec, RowSpec
from sktl.training import as_tensors, to_arrays

HEAD = ("head.weight", "head.bias")


class FittedNetwork:
    """A trained network. Its pickle holds what differs from the pretrained one, on the CPU.

    Parameters
    ----------
    spec : PictureSpec or RowSpec
        Rebuilds the network as it was before.
    tensors : mapping of str to Tensor
        What differs.
    adapter : LoRA or None
        Attached to the layers `adapted`.
    cut : str or None
        The layer up to which nothing has changed, if training took the outputs there; see `RestNetwork`.
    """

    def __init__(
        self,
        spec: PictureSpec | RowSpec,
        tensors: Mapping[str, Tensor],
        *,
        adapter: LoRA | None = None,
        adapted: tuple[str, ...] = (),
        cut: str | None = None,
    ):
        self.spec = spec
        self.tensors = dict(tensors)
        self.adapter = adapter
        self.adapted = adapted
        self.cut = cut
        self._ready: dict[torch.device, nn.Module] = {}
        self._ready_rest: dict[torch.device, RestNetwork] = {}
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()

    @classmethod
    def of(
        cls, module: nn.Module, spec: PictureSpec | RowSpec, adapter: LoRA | None = None, *, cut: str | None = None
    ) -> FittedNetwork:
        """Return what `module` has learned."""
        adapted = tuple(adapted_layers(module))
        learned = cls(spec, _changed(module, spec), adapter=adapter if adapted else None, adapted=adapted, cut=cut)
        if not adapted:
            learned._ready[_device_of(module)] = module.eval()
        return learned

    @classmethod
    def live(cls, module: nn.Module, spec: PictureSpec | RowSpec) -> FittedNetwork:
        """Return a view of a module that is still being trained."""
        learned = cls(spec, {"": torch.empty(0)})
        learned._ready[_device_of(module)] = module
        return learned

    @property
    def is_linear(self) -> bool:
        """Whether only the head was learned."""
        return set(self.tensors) <= set(HEAD)

    def trainable(self) -> nn.Module:
        """Return a copy of the network with its adapters apart, on the CPU."""
        module = self.spec.build()
        if self.adapter is not None:
            self.adapter.attach(module, set(self.adapted).__contains__, 0)
        state = module.state_dict()
        module.load_state_dict({**state, **{name: value.to(state[name].dtype) for name, value in self.tensors.items()}})
        return module

    def module(self, device: torch.device) -> nn.Module:
        """Return the network in evaluation mode on `device`, its adapters merged."""
        with self.lock:
            if device not in self._ready:
                self._ready[device] = merge_adapters(self.trainable()).requires_grad_(False).eval().to(device)
            return self._ready[device]

    def rest(self, device: torch.device) -> RestNetwork:
        """Return the network after its cut, in evaluation mode on `device`."""
        assert self.cut is not None, "the network was trained whole"
        assert isinstance(self.spec, PictureSpec)
        with self.lock:
            if device not in self._ready_rest:
                self._ready_rest[device] = RestNetwork(self.module(device), self.spec, self.cut).eval()  # type: ignore[arg-type]
            return self._ready_rest[device]

    def __getstate__(self) -> dict[str, Any]:
        made = ("_ready", "_ready_rest", "small_batches", "lock")
        state = {name: value for name, value in vars(self).items() if name not in made}
        return state | {"tensors": to_arrays(self.tensors)}  # which skops takes too

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"tensors": as_tensors(state["tensors"])})
        self._ready, self._ready_rest = {}, {}
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()

    def __deepcopy__(self, memo: Any) -> FittedNetwork:
        return FittedNetwork(self.spec, self.tensors, adapter=self.adapter, adapted=self.adapted, cut=self.cut)


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


@torch.no_grad()
def _changed(module: nn.Module, spec: PictureSpec | RowSpec) -> dict[str, Tensor]:
    base: Mapping[str, Tensor]
    if isinstance(spec, PictureSpec):
        base = {f"network.{name}": value for name, value in spec.load().module.state_dict().items()}
    else:
        base = spec.build().state_dict()
    changed = {}
    replaced = {f"{name}.original" for name in adapters(module)}
    for name, value in module.state_dict().items():
        if name in replaced:
            continue
        value = value.detach().cpu()
        if name in HEAD or name not in base or not torch.equal(value, base[name]):
            changed[name] = value.clone(memory_format=torch.contiguous_format)
    return changed
