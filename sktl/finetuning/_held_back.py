"""Parameters that were to be trained, and that no gradient reached."""

from __future__ import annotations

from typing import Any

from sktl.finetuning._plan import Plan
from sktl.training import warn_of_unreached, was_reached

REMEDY = ', or set strategy="head", or freeze_until to the last of these layers, to say that they stay as they are.'


def leave_out_unreached(plan: Plan, optimizer: Any, estimator: Any) -> None:
    """Warn of whole groups of parameters that no gradient has reached, and take them out of what is trained.

    Parameters
    ----------
    plan : Plan
        Its last group is the head's.
    optimizer : Optimizer
        After the training.
    estimator : estimator
        Whose name the warning has.
    """
    unreached = [group for group in plan.groups if not any(was_reached(p, optimizer) for p in group["params"])]
    if not unreached or any(group is plan.groups[-1] for group in unreached):  # or nothing was trained at all
        return
    open_ones = {id(p) for group in unreached for p in group["params"] if p.requires_grad}
    names = [own.removeprefix("network.") for own, p in plan.module.named_parameters() if id(p) in open_ones]
    if not names:  # it was not their turn
        return
    plan.groups = [group for group in plan.groups if not any(group is other for other in unreached)]
    warn_of_unreached(names, estimator, REMEDY)
