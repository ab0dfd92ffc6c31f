"""Parameters that were to be trained, and that no gradient reached."""

from __future__ import annotations

from typing import Any

import torch

from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.finetuning._plan import Plan


def leave_out_unreached(plan: Plan, optimizer: Any, name: str) -> None:
    """Warn of whole groups of parameters that no gradient has reached, and take them out of what is trained.

    Parameters
    ----------
    plan : Plan
        Its last group is the head's.
    optimizer : Optimizer
        After the training.
    name : str
        Of the estimator, for the warning.
    """
    unreached = [group for group in plan.groups if not any(_was_reached(p, optimizer) for p in group["params"])]
    if not unreached or any(group is plan.groups[-1] for group in unreached):  # or nothing was trained at all
        return
    open_ones = {id(p) for group in unreached for p in group["params"] if p.requires_grad}
    names = [own.removeprefix("network.") for own, p in plan.module.named_parameters() if id(p) in open_ones]
    if not names:  # it was not their turn
        return
    plan.groups = [group for group in plan.groups if not any(group is other for other in unreached)]
    warn_user(
        f"{name} did not train {shorten(names, most=5)}: no gradient reached them. The network's forward holds "
        "gradients back there (torch.no_grad, torch.inference_mode, detach) or does not use them. Take that out of it, "
        'or set strategy="head", or freeze_until to the last of these layers, to say that they stay as they are.'
    )


def _was_reached(parameter: torch.nn.Parameter, optimizer: Any) -> bool:
    return parameter.grad is not None or bool(optimizer.state.get(parameter))
