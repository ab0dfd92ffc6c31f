"""Everything a training needs to go on elsewhere, as tensors and JSON."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sktl.training._structure import as_tensors, map_tensors

MOST = 2**53  # that a clock counts
OF_ADAM = ("step", "exp_avg", "exp_avg_sq")
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")  # kernels go by their parameter's shape


def training_state(net: Any) -> dict[str, Any]:
    """Return a copy of all that the training of a `TrainingNet` needs to go on elsewhere.

    It is taken between epochs: after ``fit``, or in a callback's ``on_epoch_end``. `pack` makes tensors and JSON of it.
    """
    is_running = net._batches is not None
    scaler = net.trainer_.updater.scaler
    return copy.deepcopy(
        {
            "module": dict(net.module.state_dict()),
            "optimizer": net.optimizer_.state_dict(),
            "average": None if net.average_ is None else net.average_.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "generators": net._generators if net._borrowed is None else net._borrowed.now(),
            "batches": state_of_batches(net._batches) if is_running else net._batches_state,
            "clock": asdict(net.clock_),
            "history": net.history.to_list(),
            "best": net._best,
        }
    )


def progress_of(net: Any) -> dict[str, Any]:
    """Return what of a training lies outside its module, for a pickle that holds the module in a way of its own.

    The next batches are drawn by a generator of their own, and the history is the estimator's.
    """
    return to_arrays({**training_state(net), "module": None, "batches": None, "history": []})


def to_arrays(state: Any) -> Any:
    """Return the state with tensors as arrays, whose pickle is the same for the same values."""

    def array(tensor: Tensor) -> Any:
        held = tensor.detach().cpu().clone()
        return held if held.dtype == torch.bfloat16 else held.numpy()  # which NumPy has not

    return map_tensors(array, state)


def load_training_state(net: Any, state: Mapping[str, Any]) -> None:
    """Put a net where `training_state` was taken; its ``resume`` or ``partial_fit`` then goes on from there.

    The net has to be made with the same parameters, on a module of the same make. What `progress_of` has returned does
    too: the module's values are then there already.
    """
    state = as_tensors(state)
    net.initialize()
    updater = net.trainer_.updater
    if state["module"] is not None:
        net.module.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    _lay_out(net.optimizer_)
    if net.average_ is not None and state["average"] is not None:
        net.average_.load_state_dict(state["average"])
    if updater.scaler is not None and state["scaler"] is not None:
        updater.scaler.load_state_dict(state["scaler"])
    for name, value in state["clock"].items():
        setattr(net.clock_, name, value)
    updater.micro_batch_size = net.clock_.micro_batch_size
    net._generators = dict(state["generators"])
    net._batches_state = state["batches"]
    net._is_restored = True
    net.history.extend(state["history"])
    net._best = dict(state["best"])


def check_training_state(net: Any, state: Mapping[str, Any]) -> None:
    """Raise ValueError where the state that a net was put to is none of a training that went well."""
    state = as_tensors(state)
    map_tensors(_checked, {"module": state["module"], "average": state["average"]})
    needed = OF_ADAM if isinstance(net.optimizer_, (torch.optim.Adam, torch.optim.AdamW)) else ()
    for parameter, values in net.optimizer_.state.items():
        if values and not set(needed) <= set(values):
            raise ValueError(f"the optimizer lacks some of {', '.join(needed)}")
        for name, value in values.items():
            if name in MOMENTS and not _is_moment(value, name, parameter):
                raise ValueError(f"{name} of the optimizer is not of its parameter's shape, {tuple(parameter.shape)}")
            if name == "step" and not (
                isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.ndim == 0)
            ):
                raise ValueError("step of the optimizer is no number")
            map_tensors(_checked, value)
    settings = {**net.optimizer_.defaults, "initial_lr": 1.0}
    for group in net.optimizer_.param_groups:
        settings |= {"initial_momentum": 1.0} if "initial_momentum" in group else {}
        for name, default in settings.items():
            if name not in group or not _is_alike(group[name], default):
                raise ValueError(f"{name} of the optimizer is {str(group.get(name))[:40]}")
    for values in (state["generators"], state["batches"] or {}):
        for name, value in values.items():
            if name == "n_drawn":  # batches of domains count them
                if not isinstance(value, Tensor) or value.ndim or value.dtype != torch.int64 or not 0 <= value < MOST:
                    raise ValueError("the number of batches that were drawn is none")
                continue
            if not isinstance(value, Tensor) or value.dtype != torch.uint8 or value.ndim != 1:
                raise ValueError(f"the state of the generator {name!r} is none")
            if name not in ("cuda", "mps"):
                torch.Generator().set_state(value.cpu())  # which tells a state of another length
    for name, value in state["clock"].items():
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value < MOST):
            raise ValueError(f"{name} of the clock is {str(value)[:40]}")
    if not all(isinstance(row, dict) for row in state["history"]):
        raise ValueError("its history has no rows")


def _is_moment(value: Any, name: str, parameter: Tensor) -> bool:
    if value is None:  # what plain gradients without momentum keep
        return name == "momentum_buffer"
    return isinstance(value, Tensor) and value.shape == parameter.shape


def _is_alike(value: Any, default: Any) -> bool:
    """Whether a setting of the optimizer may stand in the place of its default: a finite number for a number."""
    if isinstance(default, (tuple, list)):
        return isinstance(value, (tuple, list)) and len(value) == len(default) and all(map(_is_alike, value, default))
    if isinstance(default, bool) or default is None:
        return value is None or isinstance(value, bool)
    if isinstance(default, (int, float)):
        return isinstance(value, (int, float)) and math.isfinite(value)
    return True


def _checked(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError("it holds NaN or infinite values")
    return tensor


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimizer's tensors out in memory as their parameters are: fused kernels go by address, not by index."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


def state_of_batches(batches: Any) -> dict[str, Tensor] | None:
    """Return the state of the batches' generators, if they have any to tell."""
    return batches.state_dict() if hasattr(batches, "state_dict") else None


def pack(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Return (tensors by name, the rest as JSON-able data) of nested dicts, lists, tuples, numbers and tensors.

    The tensors are for safetensors, the rest for its header or a file beside it: no pickle.
    """
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().contiguous()
            return {"tensor": path}
        if isinstance(value, Mapping):
            return {"items": [[key, walk(item, f"{path}/{key}")] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [walk(item, f"{path}/{i}") for i, item in enumerate(value)]}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise TypeError(f"{path or 'The state'} holds a {type(value).__name__}, which JSON cannot.")

    return tensors, walk(state, "")


def unpack(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """Return the state that `pack` took apart."""
    if not isinstance(rest, dict):
        return rest
    ((kind, value),) = rest.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "items":
        return {key: unpack(tensors, item) for key, item in value}
    return {"list": list, "tuple": tuple}[kind](unpack(tensors, item) for item in value)
