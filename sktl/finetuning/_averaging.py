"""Between the solved head that training starts from and the network that it ends in: weights are averaged (WiSE-FT)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl.exceptions import WeightsError
from sktl.finetuning._heads import LinearHead

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # that a held-out part chooses from
FEW = 50  # pictures for which half the way is gone
FEW_ROWS = 400  # the same of feature rows: nothing is pretrained there that would keep small steps sensible
Values = dict[str, Tensor]


def values_of(module: nn.Module) -> Values:
    """Return copies of the numbers that training may change."""
    return {name: value.detach().clone() for name, value in module.state_dict().items() if value.is_floating_point()}


@torch.no_grad()
def put_between(module: nn.Module, start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> None:
    """Write the average of two networks' values into the module; at shares of 0 and 1 it is either, to the bit."""
    held = module.state_dict()
    for name, first in start.items():
        # w = (1 - share) w_start + share w_end
        held[name].copy_(torch.lerp(first, end[name], share))


def share_of(n_distinct: int, *, is_rows: bool) -> float:
    """Return the share where nothing is held out: few examples could not choose it, and are not to go far."""
    # s = n / (n + n_0)
    return n_distinct / (n_distinct + (FEW_ROWS if is_rows else FEW))


def chosen_share(net: Any, start: Mapping[str, Tensor], valid: Any) -> float:
    """Return the share with the lowest loss on held-out batches, the smaller of equals; the module is changed."""
    end, losses = values_of(net.module), []
    for share in SHARES:
        put_between(net.module, start, end, share)
        losses.append(net.trainer_.valid_epoch(valid, net.valid_step or net.step)["loss"])
    put_between(net.module, start, end, 1.0)
    return SHARES[int(np.argmin([loss if math.isfinite(loss) else math.inf for loss in losses]))]


def kept_head(head: LinearHead) -> dict[str, Any]:
    """Return a head as a checkpoint holds it."""
    return {**head._asdict(), "weight": torch.from_numpy(head.weight), "bias": torch.from_numpy(head.bias)}


def head_and_share(saved: Mapping[str, Any], of: nn.Linear) -> tuple[LinearHead | None, float | None]:
    """Return the head that a checkpoint's training started from, and the share that it has taken in the end.

    Parameters
    ----------
    saved : mapping
        The checkpoint.
    of : Linear
        The network's head.

    Raises
    ------
    WeightsError
        If they are none.
    """
    kept, share = saved.get("head"), saved.get("share")
    try:
        head = None
        if kept is not None:
            head = LinearHead(**{**kept, "weight": kept["weight"].numpy(), "bias": kept["bias"].numpy()})
            if head.weight.shape != of.weight.shape or head.bias.shape != of.bias.shape:
                raise ValueError("it does not fit the network")
            values = np.concatenate([head.weight.ravel(), head.bias, [head.penalty]])
            is_share = math.isnan(head.error) or 0 <= head.error <= 1
            if not (np.isfinite(values).all() and min(head.n_iter, head.n_distinct) >= 0 and is_share):
                raise ValueError("its values are out of bounds")
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"its share is {str(share)[:40]}")
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise WeightsError(f"The checkpoint's head is none of this training: {error}. Remove the file.") from error
    return head, share
