"""Where and in which precision networks run."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch

from sktl._forking import ForkSafeLock

DEVICES = ("auto", "cpu", "cuda", "mps", "accelerate")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device that `device` names; "auto" is CUDA, then MPS, then the CPU.

    "accelerate" is the one that accelerate's launcher gave this process.

    Raises
    ------
    ValueError
        If the name is unknown, or the machine has no such device.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if isinstance(device, str) and device == "accelerate":
        return accelerate_state().device
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            "device must be 'auto', 'cpu', 'cuda', 'cuda:<index>', 'mps', 'accelerate' or a torch.device; "
            f"got {device!r}."
        ) from error
    if resolved.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device={str(device)!r}, but torch finds no CUDA GPU here. Use device='auto' or 'cpu'.")
        if (resolved.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device={str(device)!r}, but this machine has {torch.cuda.device_count()} CUDA GPU(s).")
        if resolved.index is None:
            resolved = torch.device("cuda", torch.cuda.current_device())
    elif resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps', but torch finds no Apple GPU here. Use device='auto' or 'cpu'.")
    elif resolved.type not in ("cpu", "mps"):
        _check_there(resolved)
    return torch.device("cpu") if resolved.type == "cpu" else resolved


def _check_there(device: torch.device) -> None:
    """Raise a ValueError unless tensors can be put on a device of a rarer kind, and be read from it."""
    try:
        torch.zeros(1, device=device).cpu()
    except Exception as error:  # each kind has its own
        what = "holds no values" if device.type == "meta" else "is not to be had here"
        raise ValueError(f"device={str(device)!r} {what}. Use device='auto', 'cpu', 'cuda' or 'mps'.") from error


def accelerate_state() -> Any:
    """Return accelerate's record of this process: its device, its number, how many there are.

    Raises
    ------
    ValueError
        If accelerate is not installed, or knows of fewer processes than the launcher has started.
    """
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ValueError("device='accelerate' needs the package accelerate: pip install 'sktl[accelerate]'.") from error
    state = PartialState(cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()))
    started = int(os.environ.get("WORLD_SIZE", 1))
    if state.num_processes < started:
        raise ValueError(
            f"device='accelerate', and the launcher has started {started} processes, but accelerate's state in this "
            f"one knows of {state.num_processes}: it was made before the first fit, as for a single process. Leave "
            "PartialState() and Accelerator() to the first fit, or say PartialState(cpu=True) where there is no GPU."
        )
    return state


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 by instructions of its own (AVX512-BF16 or AMX); emulation is far slower."""
    capabilities: dict = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("amx_tile"))
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check()) if check is not None else False


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype that layers compute in on `device`.

    "auto" is bfloat16 on CUDA GPUs that have it (compute capability 8.0 and later) and float32 everywhere else.
    On a CPU it is always float32: codes then agree to rounding from machine to machine.

    Raises
    ------
    ValueError
        If the device computes in that precision only by slow emulation, or not at all.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}; got {precision!r}.")
    if precision == "auto":
        return next(iter(reduced_precisions(device)), torch.float32)
    if device.type == "cpu" and precision == "float16":
        raise ValueError("precision='float16' is not for CPUs; use 'float32' or 'auto'.")
    if device.type == "cpu" and precision == "bfloat16" and not cpu_has_bfloat16():
        raise ValueError(
            "precision='bfloat16', but this CPU has neither AVX512-BF16 nor AMX and would emulate it many times "
            "slower than float32. Use precision='float32' or 'auto'."
        )
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def reduced_precisions(device: torch.device) -> tuple[torch.dtype, ...]:
    """Return the precisions on `device` that "auto" may take for their speed, the one of the widest range first."""
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    return (torch.bfloat16, torch.float16) if fast else ()


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return the context in which layers compute in `dtype` (nothing to do for float32)."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library keep the memory of a layer's output for the next one, once in a process.

    glibc maps blocks above a threshold one by one and unmaps them when they are freed; each layer then waits for
    fresh pages, which costs as much as the network. The threshold rises to the largest block that was freed, up to
    32 MiB, and twice as much stays at the heap's end: one block of that size, never touched, settles both.
    """
    torch.empty(2**25 - 2**17, dtype=torch.uint8)


def keep_freed_memory_on_workers() -> None:
    """Do the same in a process of a cluster, where the C library was told to hand freed memory back at once.

    Dask starts workers with MALLOC_TRIM_THRESHOLD_=65536, which also fixes the threshold above which blocks are mapped
    one by one. A network then takes more than twice the processor's time.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ and sys.platform.startswith("linux"):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 2**25)
            mallopt(_M_TRIM_THRESHOLD, 2**26)


_exact_lock = ForkSafeLock()
_exact: dict[str, Any] = {"users": 0, "restore": None}


@contextlib.contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Keep cuDNN from rounding float32 to TensorFloat-32, its default, while a network's codes are computed.

    The setting is the process's; it is put back when the last of the threads that want it changed is done.
    """
    if device.type != "cuda":
        yield
        return
    with _exact_lock:
        if _exact["users"] == 0:
            _exact["restore"] = _forbid_tf32()
        _exact["users"] += 1
    try:
        yield
    finally:
        with _exact_lock:
            _exact["users"] -= 1
            if _exact["users"] == 0:
                _exact["restore"]()


def _forbid_tf32() -> Callable[[], None]:
    """Forbid it by the interface that this process uses, for torch refuses to read the one after the other was set."""
    cudnn: Any = torch.backends.cudnn
    exact: Any = False
    target, name = cudnn, "allow_tf32"
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        target, name, exact = cudnn.conv, "fp32_precision", "ieee"
        before = cudnn.conv.fp32_precision
    setattr(target, name, exact)
    return lambda: setattr(target, name, before)
