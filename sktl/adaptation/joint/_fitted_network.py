"""A network that has learned: on which device it runs, and how it predicts."""

from __future__ import annotations

import contextlib
import copy
import copyreg
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from sktl._device import autocast
from sktl._draws import repeatable
from sktl._forking import ForkSafeLock
from sktl._inputs import as_rows, in_channels
from sktl._modes import evaluating
from sktl._preprocessing import Preprocessing
from sktl.adaptation.joint._description import described, named_backbone, rebuilt
from sktl.adaptation.joint._network import AdaptedNetwork
from sktl.backbones import SmallBatches, auto_batch_size, filled_up
from sktl.images import PictureSource, iter_batches
from sktl.training import as_tensors, to_arrays

PREDICTED_ROWS = 256
MADE_ANEW = ("_ready", "small_batches", "lock")  # by whoever opens a pickle
SMALL_PICTURES = 2**20  # values of a batch of small pictures


class FittedNetwork:
    """A trained network, in evaluation mode. Its pickle holds it on the CPU.

    Parameters
    ----------
    network : AdaptedNetwork
        What was trained; taken over.
    preprocessing : Preprocessing or None
        Of pictures.
    n_channels : int
        Of the pictures as the network is given them.
    is_own : bool
        Whether it is the library's own network for rows; it predicts in double precision.
    """

    def __init__(self, network: AdaptedNetwork, preprocessing: Preprocessing | None, n_channels: int, is_own: bool):
        self.network = network.requires_grad_(False).eval().cpu()
        self.preprocessing = preprocessing
        self.n_channels = n_channels
        self.is_own = is_own
        self.name: str | None = None  # of the backbone, by which the network can be rebuilt
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()
        self._ready: dict[Any, nn.Module] = {}

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
        """Return the network on `device`; shared."""
        with self.lock:
            key = (str(device), dtype)
            if key not in self._ready:
                is_plain = device.type == "cpu" and dtype == torch.float32
                self._ready[key] = self.network if is_plain else copy.deepcopy(self.network).eval().to(device, dtype)
            return self._ready[key]

    def outputs(
        self, data: Any, device: torch.device, dtype: torch.dtype, n_jobs: int | None, what: tuple[str, ...]
    ) -> tuple[np.ndarray, ...]:
        """Return "features", which the classifier is given, "logits", or both of one pass, in float64.

        Both are what they are by themselves, to the bit.
        """
        if isinstance(data, PictureSource):
            return self._of_pictures(data, device, dtype, n_jobs, what)
        return self._of_rows(data, device, dtype, what)

    def _of_rows(
        self, data: Any, device: torch.device, dtype: torch.dtype, what: tuple[str, ...]
    ) -> tuple[np.ndarray, ...]:
        if self.is_own and device.type != "mps":
            # In double precision a row's outputs are the same in any company, to 1e-12.
            network = self.on(device, torch.float64)
            done = []
            for start in range(0, data.shape[0], PREDICTED_ROWS):
                part = data[start : start + PREDICTED_ROWS]
                part = part.toarray() if sparse.issparse(part) else part
                rows = torch.as_tensor(np.asarray(part, dtype=np.float64), device=device)
                done.append([output.cpu().numpy() for output in _run(network, rows, what)])
            return _joined(done)
        batches = (as_rows(data[s : s + PREDICTED_ROWS]) for s in range(0, data.shape[0], PREDICTED_ROWS))
        return self._of_batches(batches, PREDICTED_ROWS, device, dtype, what)

    def _of_pictures(
        self, source: PictureSource, device: torch.device, dtype: torch.dtype, n_jobs: int | None, what: tuple[str, ...]
    ) -> tuple[np.ndarray, ...]:
        source.check(n_jobs)
        preprocessing = self.preprocessing
        assert preprocessing is not None
        height, width = preprocessing.size
        size = auto_batch_size("torch", device, preprocessing.size)
        size = max(size, min(PREDICTED_ROWS, SMALL_PICTURES // (self.n_channels * height * width)))
        batches: Any = iter_batches(source, preprocessing, batch_size=size, n_jobs=n_jobs)
        with contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext():
            pictures = (in_channels(batch, self.n_channels) for _, batch in batches)
            return self._of_batches(pictures, size, device, dtype, what)

    def _of_batches(
        self, batches: Any, size: int, device: torch.device, dtype: torch.dtype, what: tuple[str, ...]
    ) -> tuple[np.ndarray, ...]:
        network = self.on(device)
        done: list[list[np.ndarray]] = []
        for batch in batches:
            with self.lock, autocast(device, dtype):  # a module of the user's may keep things on itself
                batch = batch.to(device)
                is_first = not done  # and if it is small, the only one
                runs = self._fed(network, batch, size, (device, dtype), what) if is_first else {}
                runs = runs or {what: filled_up(batch, size)}
                outputs = {name: part for of, fed in runs.items() for name, part in zip(of, _run(network, fed, of))}
            done.append([outputs[name][: len(batch)].double().cpu().numpy() for name in what])
        return _joined(done)

    def _fed(
        self, network: Any, batch: Tensor, size: int, key: tuple, what: tuple[str, ...]
    ) -> dict[tuple[str, ...], Tensor]:
        """Return what is to be run for which outputs: one batch for all, unless one of them alone is filled up."""
        fed: dict[tuple[str, ...], Tensor] = {}
        for name in what:
            alone = partial(_run_one, network, name=name)
            fed[name,] = self.small_batches.fed(batch, size, alone, (*key, name == "features"))
        batches = list(fed.values())
        return {what: batches[0]} if len({len(part) for part in batches}) == 1 else fed

    def __reduce_ex__(self, protocol: Any) -> Any:  # pickles hold the module itself
        state = {name: value for name, value in vars(self).items() if name not in MADE_ANEW}
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as plain values and arrays, for what writes no modules, such as skops."""
        if self.name is None and not self.is_own:
            raise TypeError("The network was given as a module, which cannot be written as plain values. Use pickle.")
        values = self.network.state_dict()
        n_classes = next(values[k].shape[0] for k in ("classifier.weight", "classifier.direction") if k in values)
        state = {k: v for k, v in vars(self).items() if k not in (*MADE_ANEW, "network")}
        about = described(self.network, is_own=self.is_own) | {"n_classes": n_classes}
        return state | {"about": about, "values": to_arrays(dict(values))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "about" in state:
            about, values = state.pop("about"), state.pop("values")
            backbone = None if state["is_own"] else named_backbone(state["name"], state["preprocessing"])
            network = rebuilt(about, backbone, about["n_classes"], state["preprocessing"], state["n_channels"])
            network.load_state_dict(as_tensors(values))
            state["network"] = network.requires_grad_(False).eval()
        self.__dict__.update(state)
        self._ready = {}
        self.small_batches = SmallBatches()
        self.lock = ForkSafeLock()

    def __deepcopy__(self, memo: Any) -> FittedNetwork:
        copied = FittedNetwork(copy.deepcopy(self.network), self.preprocessing, self.n_channels, self.is_own)
        copied.name = self.name
        return copied


def _run(network: AdaptedNetwork, batch: Tensor, what: tuple[str, ...]) -> list[Tensor]:
    with evaluating(network), torch.inference_mode(), repeatable(network):
        features = network.features(batch)
        return [features if name == "features" else network.classify(features) for name in what]


def _run_one(network: AdaptedNetwork, batch: Tensor, name: str) -> Tensor:
    return _run(network, batch, (name,))[0]


def _joined(done: list[list[np.ndarray]]) -> tuple[np.ndarray, ...]:
    return tuple(np.concatenate(parts) for parts in zip(*done))
