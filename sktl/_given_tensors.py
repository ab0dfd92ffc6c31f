"""Codes of tasks as callers hand them over: finite, and of a type that can be computed with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sktl._magnitudes import LARGEST_FLOAT32, LARGEST_FLOAT64, check_magnitude

HALVES = (torch.float16, torch.bfloat16)


def finite(values: Any, name: str) -> Tensor:
    """Return a tensor of what is one, or an array.

    Raises
    ------
    ValueError
        If it holds NaN or infinity.
    TypeError
        If it holds no real numbers.
    """
    try:
        found = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be a tensor, or an array of numbers ({error}).") from error
    if found.is_complex():
        raise TypeError(f"{name} must hold real numbers; got {found.dtype}.")
    if found.is_floating_point() and not (good := found.isfinite()).all():
        raise ValueError(
            f"{name} holds NaN or infinity: {int((~good).sum())} of {good.numel()} values. Leave those rows out, or "
            "fill them; rows that are padding may be zero."
        )
    return found


def task_of(support: Any, y: Any, query: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the codes of a task, or of many, of one floating type, and its labels.

    Raises
    ------
    ValueError
        If codes hold NaN or infinity, or labels are below -1.
    TypeError
        If codes hold no real numbers, or labels are not whole ones.
    """
    support, query, y = finite(support, "support"), finite(query, "query"), finite(y, "y")
    if (y.is_floating_point() and y.numel()) or y.dtype == torch.bool:
        raise TypeError(f"y must hold whole numbers 0, 1, ..., or -1 for padding; got {y.dtype}.")
    if y.numel() and int(y.min()) < -1:
        raise ValueError(f"y must hold labels 0, 1, ..., or -1 for padding; got {int(y.min())}.")
    dtype = torch.promote_types(support.dtype, query.dtype)
    dtype = dtype if dtype.is_floating_point else torch.float32
    return support.to(dtype), y.long(), query.to(dtype)


def check_size(values: Tensor, name: str) -> None:
    """Raise a ValueError where a number is too large to be squared and summed in its type."""
    if values.numel():
        largest = LARGEST_FLOAT64 if values.dtype == torch.float64 else LARGEST_FLOAT32
        check_magnitude(values.detach(), largest, name)


def widened(values: Tensor) -> Tensor:
    """Return the values in float32 where they are of half precision: sums and squares leave its range."""
    return values.float() if values.dtype in HALVES else values


def given_back(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the values in a type; of half precision, those beyond its range as the largest that it holds."""
    if dtype not in HALVES:
        return values.to(dtype)
    largest = torch.finfo(dtype).max
    return torch.where(values.isinf(), values, values.clamp(-largest, largest)).to(dtype)


def logits_given_back(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Return logits (..., n_way) in a type; of half precision, rows beyond its range less their largest.

    Probabilities are the same, and the largest stays the largest.
    """
    if dtype in HALVES and logits.numel():
        is_over = (logits.abs() > torch.finfo(dtype).max) & ~logits.isinf()
        logits = torch.where(is_over.any(-1, keepdim=True), logits - logits.amax(-1, keepdim=True), logits)
    return given_back(logits, dtype)


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Run a block as written, where the caller's autocast would take products in half precision."""
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
