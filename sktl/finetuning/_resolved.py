"""What "auto" became in a fit, as fitted attributes."""

from __future__ import annotations

from typing import Any

from sktl.backbones import resolve_layers
from sktl.finetuning._budget import Budget
from sktl.finetuning._heads import LinearHead
from sktl.finetuning._networks import PictureSpec
from sktl.finetuning._plan import Plan
from sktl.finetuning._training import FineTuning

RESOLVED = (
    "learning_rate_", "batch_size_", "max_epochs_", "max_steps_", "augment_", "freeze_bn_", "early_stopping_",
    "frozen_until_", "n_trained_", "best_epoch_", "tuned_share_", "C_", "alpha_",
)  # fmt: skip


def resolved(
    training: FineTuning, budget: Budget, plan: Plan | None, head: LinearHead | None, share: float | None = None
) -> dict[str, Any]:
    """Return the attributes.

    `plan` is None where a head is solved and nothing trained, `head` where none is solved, `share` where no weights are
    averaged.
    """
    spec = training.spec
    penalty = None if head is None else head.penalty
    if plan is None:
        codes = spec.n_codes if isinstance(spec, PictureSpec) else spec.n_features
        found: dict[str, Any] = dict.fromkeys(
            ("learning_rate_", "batch_size_", "max_epochs_", "max_steps_", "augment_", "best_epoch_")
        )
        found |= {
            "freeze_bn_": True, "n_trained_": (codes + 1) * spec.n_outputs,
            "frozen_until_": spec.layer if isinstance(spec, PictureSpec) else None,
        }  # fmt: skip
    else:
        found = {
            "learning_rate_": training.learning_rate,
            "batch_size_": budget.batch_size, "max_epochs_": budget.max_epochs,
            "max_steps_": budget.max_steps, "augment_": training.augment, "freeze_bn_": training.freezes_bn(budget),
            "n_trained_": sum(p.numel() for group in plan.groups for p in group["params"]),
            "frozen_until_": _frozen_until(training),
        }  # fmt: skip
    found |= {"early_stopping_": training.stops_early, "tuned_share_": share}
    return {**found, training.task.penalty: penalty}


def _frozen_until(training: FineTuning) -> str | None:
    """Return the name of the last layer that stays as it is, as `freeze_until` takes it."""
    spec = training.spec
    asked = training.settings.first_trained
    if isinstance(spec, PictureSpec) and not training.strategy.trains:
        return spec.layer
    if asked is None or not isinstance(spec, PictureSpec):
        return None
    return resolve_layers([asked], spec.trace())[0]
