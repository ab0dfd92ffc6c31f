"""Which values the parameters may have that all estimators share which train a network here."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from sktl.images import AUGMENTATIONS
from sktl.training import OPTIMIZERS, SCHEDULES

TRAINING_CONSTRAINTS: dict[str, Any] = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "steps_per_epoch": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "schedule": [StrOptions(set(SCHEDULES)), callable, None],
    "augment": [StrOptions(set(AUGMENTATIONS)), callable, None],
    "callbacks": [list, tuple, None],
    "verbose": ["verbose"],
}
