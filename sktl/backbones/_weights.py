"""Weights from files: read without pickle's powers, checked, matched tensor by tensor."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sktl._digests import check_sha256
from sktl._validation import shorten
from sktl.exceptions import WeightsError

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
NESTING_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net", "weights")
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.")
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")


def looks_like_path(weights: object) -> bool:
    """Whether `weights` means a file, rather than the name of published weights."""
    if isinstance(weights, os.PathLike):
        return True
    return isinstance(weights, str) and (weights.lower().endswith(WEIGHT_SUFFIXES) or os.sep in weights)


def weights_reference(weights: Any) -> tuple:
    """Return what tells weights apart by how they are asked for: for a file, its place and its state on the disk."""
    if not looks_like_path(weights):
        return ("published", weights)
    path = Path(weights).expanduser().resolve()
    try:
        state = os.stat(path)
        return ("file", str(path), state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)
    except OSError:
        return ("file", str(path))


def read_state_dict(path: str | os.PathLike, *, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Read a ``.safetensors`` file or a torch checkpoint that holds tensors only.

    Nested ``state_dict`` and ``model`` keys are entered, and prefixes that wrappers leave behind ("module.",
    "_orig_mod.") are taken off. Where the name ends in a dash and hexadecimal digits, as published checkpoints do,
    or where `sha256` is given, the file's digest is checked.

    Parameters
    ----------
    path : path-like
        The file.
    sha256 : str, default=None
        Hexadecimal digits that the file's sha256 must begin with.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    WeightsError
        If the file is missing, empty, damaged, or holds anything but tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"weights={str(path)!r}: there is no such file.")
    in_name = HASH_IN_NAME.search(path.name)
    expected = sha256 or (in_name.group(1) if in_name else None)
    if expected:
        check_sha256(path, expected)
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = {name: tensor.clone() for name, tensor in load_file(path, device="cpu").items()}
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"weights={str(path)!r}: the file is damaged or no weights file ({error}).") from error
    except Exception as error:  # torch re-raises every refusal of its safe unpickler as a type of pickle's own
        raise WeightsError(
            f"weights={str(path)!r}: the file holds more than tensors and is not opened, since unpickling it could run "
            "any code. Save the tensors alone: torch.save(module.state_dict(), path), or a .safetensors file."
        ) from error
    return _tensors_of(content, path)


def _tensors_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    for _ in range(len(NESTING_KEYS)):
        inner = next((content[k] for k in NESTING_KEYS if isinstance(content, Mapping) and _is_nest(content, k)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        content = {}
    tensors = {k: v for k, v in content.items() if isinstance(v, torch.Tensor) and isinstance(k, str)}
    if not tensors:
        raise WeightsError(f"weights={str(path)!r}: the file holds no tensors by name.")
    return tensors


def _is_nest(content: Mapping, key: str) -> bool:
    return isinstance(content.get(key), Mapping) and len(content[key]) > 0


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor], *, origin: str, by_position=False) -> None:
    """Copy `tensors` into `module`, or raise `WeightsError` that lists all that does not fit and leave it unchanged.

    Parameters
    ----------
    module : Module
        The network that is filled.
    tensors : mapping of str to Tensor
        Names as in ``module.state_dict()``; a wrapper's prefix on all of them is ignored.
    origin : str
        Where they come from, for the error.
    by_position : bool, default=False
        Match the tensors in order and by shape, whatever their names.
    """
    target = module.state_dict()
    if by_position and len(tensors) == len(target):
        tensors = dict(zip(target, tensors.values()))
    tensors = _without_wrapper_prefix(tensors, target)
    # Old checkpoints lack the counters of batches, which eval mode never reads.
    missing = [k for k in target if k not in tensors and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in tensors if k not in target]
    # A tensor of a few bytes may claim terabytes (an expanded one, say): its shape is looked at before its values.
    known = [k for k in target if k in tensors]
    unusable = {k: why for k in known if (why := _unusable(tensors[k], target[k])) is not None}
    reshaped = [
        f"{k} is {tuple(tensors[k].shape)}, should be {tuple(target[k].shape)}"
        for k in known
        if k not in unusable and tensors[k].shape != target[k].shape
    ]
    if not unusable and not reshaped:
        broken = [k for k in known if tensors[k].is_floating_point() and not _is_finite(tensors[k])]
    else:
        broken = []
    named = (
        ("missing", missing),
        ("not in the network", unexpected),
        ("of a wrong kind", [f"{k} is {why}" for k, why in unusable.items()]),
        ("of a wrong shape", reshaped),
        ("with NaN or infinite values", broken),
    )
    problems = [f"{len(names)} {what}: {shorten(names, most=6)}" for what, names in named if names]
    if problems:
        raise WeightsError(
            f"The weights from {origin} do not fit {type(module).__name__} ({len(target)} tensors). "
            + "; ".join(problems)
            + ". A network of another shape (number of classes, say) can be passed as backbone=<nn.Module or callable>."
        )
    module.load_state_dict({**target, **tensors})


def _unusable(tensor: torch.Tensor, wanted: torch.Tensor) -> str | None:
    """Return why a tensor cannot be copied into a network, whatever its shape and values; None if it can."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_meta:
        return "a tensor without values (on the meta device)"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout != torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.is_complex() != wanted.is_complex() or (wanted.is_floating_point() and not tensor.is_floating_point()):
        return f"of dtype {tensor.dtype}, should be {wanted.dtype}"
    return None


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor if tensor.element_size() > 1 else tensor.to(torch.float32)).all())


def _without_wrapper_prefix(tensors: Mapping[str, torch.Tensor], target: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    tensors = dict(tensors)
    peeled = True
    while peeled and tensors and not set(tensors) <= set(target):
        peeled = False
        for prefix in WRAPPER_PREFIXES:
            if all(key.startswith(prefix) for key in tensors):
                tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
                peeled = True
    return tensors
