"""What lets a fine-tuned network be adapted further."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sktl._device import resolve_device, resolve_precision
from sktl._estimator import OpenNetwork, sharing_attributes
from sktl._inputs import InputKind, read_dense
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._lora import merge_adapters
from sktl.finetuning._networks import PictureSpec
from sktl.finetuning._strategies import STRATEGIES


class Reopenable:
    """Mixin of the fine-tuned estimators; see `OpenNetwork`."""

    _learned: FittedNetwork
    _session: Any
    _kind: InputKind
    _scaler: Any
    strategy: str
    precision: str
    device: Any

    def _read(self, X: Any) -> Any:
        data: Any = read_dense(self, X, self._kind, reset=False)
        return data if self._scaler is None else self._scaler.transform(data)

    def _open(self) -> OpenNetwork:
        if getattr(self, "_is_multilabel", False):
            raise ValueError("Adaptation is of classifiers with one label a row; this one was fitted on several.")
        spec = self._learned.spec
        module: Any = merge_adapters(self._learned.trainable()).eval().requires_grad_(True)
        body = tuple(p for name, p in module.named_parameters() if not name.startswith("head."))
        if not isinstance(spec, PictureSpec):
            return OpenNetwork(module, module.codes, module.head, body, False, None, 0, torch.float32)
        dtype = resolve_precision(self.precision, resolve_device(self.device))
        is_pretrained = not STRATEGIES[self.strategy].is_random
        return OpenNetwork(module, module.codes, module.head, body, is_pretrained, spec.preprocessing, 3, dtype)

    def __copy__(self) -> Any:
        """Return a shallow copy; the network that `partial_fit` goes on with is not shared, for it changes in place."""
        copied = sharing_attributes(self)
        if getattr(self, "_session", None) is not None:
            copied._learned, copied._session = copy.deepcopy(self._learned), copy.deepcopy(self._session)
        return copied

    def _closed(self, module: nn.Module) -> Any:
        closed = copy.copy(self)
        closed.__dict__.pop("_session", None)  # goes on with the network that it was begun on
        closed._learned = FittedNetwork.of(module.cpu().requires_grad_(False), self._learned.spec)
        return closed
