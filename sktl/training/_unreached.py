"""Parameters that were to be trained, and that no gradient reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from sktl._validation import shorten
from sktl._warn_once import warn_user


def was_reached(parameter: nn.Parameter, optimizer: Any) -> bool:
    """Whether a gradient has reached a parameter, by what the training has left behind."""
    return parameter.grad is not None or bool(optimizer.state.get(parameter))


def warn_of_unreached(names: Iterable[str], estimator: Any, remedy: str) -> None:
    """Say which parameters stay as they were, and why that may be; ``remedy`` goes on after "Take that out of it"."""
    warn_user(
        f"{type(estimator).__name__} did not train {shorten(list(names), most=5)}: no gradient reached them. The "
        "network's forward holds gradients back there (torch.no_grad, torch.inference_mode, detach) or does not use "
        f"them. Take that out of it{remedy}"
    )
