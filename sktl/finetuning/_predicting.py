"""From a network that has learned to outputs, the same in any company and from any thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from sktl._device import autocast, resolve_precision
from sktl._draws import repeatable
from sktl._extraction import Extractor, cache_for
from sktl._functional import call_with
from sktl._modes import evaluating
from sktl.backbones import filled_up
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._frozen import block_extractor
from sktl.finetuning._networks import PictureSpec
from sktl.finetuning._training import codes_of, extractor_of, predicting_batch_size
from sktl.images import PictureSource, iter_batches


def outputs_of(estimator: Any, learned: FittedNetwork, data: Any, device: torch.device) -> np.ndarray:
    """Return float64 outputs (n, n_outputs) of standardised rows, or of pictures."""
    if learned.is_linear:
        codes = codes_of(estimator, learned.spec, device, data).astype(np.float64)
        weight, bias = (learned.tensors[name].double().numpy() for name in ("head.weight", "head.bias"))
        return codes @ weight.T + bias
    if isinstance(learned.spec, PictureSpec):
        return _of_pictures(estimator, learned, data, device)
    module = learned.module(torch.device("cpu") if device.type == "mps" else device)
    # call_with puts the values into the module for the while: threads take turns.
    with learned.lock, evaluating(module), torch.inference_mode(), repeatable(module):
        values = {name: value.detach().cpu().double() for name, value in module.named_parameters()}
        return call_with(module, values, torch.as_tensor(data, dtype=torch.float64)).numpy()


def _of_pictures(estimator: Any, learned: FittedNetwork, source: PictureSource, device: torch.device) -> np.ndarray:
    spec = learned.spec
    assert isinstance(spec, PictureSpec)
    size = predicting_batch_size(device, spec.preprocessing.size)
    cut = learned.cut
    store = None if cut is None else cache_for(spec.load(), estimator.cache)
    batches: Any
    if cut is None or store is None:
        source.check(estimator.n_jobs)
        module = learned.module(device)
        batches = iter_batches(source, spec.preprocessing, batch_size=size, n_jobs=estimator.n_jobs)
    else:  # the frozen layers' outputs may have been kept in training
        module = learned.rest(device)
        batches = _blocks(block_extractor(extractor_of(estimator, spec, device, store), cut), source, size)
    dtype, run = resolve_precision(estimator.precision, device), partial(_within_memory, module)
    out = np.empty((len(source), spec.n_outputs))
    with contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext():
        for which, batch in batches:
            # A network that is cut at a layer listens to it by a hook, which threads must not share.
            with learned.lock, evaluating(module), torch.inference_mode(), autocast(device, dtype):
                batch = batch.to(device)
                if len(batch) == len(source):
                    outputs = run(learned.small_batches.fed(batch, size, run, (device, dtype, cut)))
                else:
                    outputs = run(filled_up(batch, size))
            out[which] = outputs[: len(batch)].double().cpu().numpy()
    return out


def _blocks(extractor: Extractor, source: PictureSource, size: int) -> Iterator[tuple[slice, torch.Tensor]]:
    for start, block in extractor.iter_codes(source, size):
        yield slice(start, start + len(block)), torch.from_numpy(block).to(torch.float32)


def _within_memory(module: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Return the outputs of a batch, of its halves where the device has too little memory for all of it."""
    try:
        with repeatable(module):
            return module(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    torch.cuda.empty_cache()
    return torch.cat([_within_memory(module, half) for half in batch.split((len(batch) + 1) // 2)])
