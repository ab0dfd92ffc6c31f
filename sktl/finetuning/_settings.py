"""What the user asked for, read once when a fit begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sktl.finetuning._lora import LoRA
from sktl.finetuning._strategies import STRATEGIES, Strategy


@dataclasses.dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that a training goes by; nothing of it changes while it runs.

    Attributes are named and meant as the parameters are; `strategy` is the strategy's row of the table, `adapter` the
    adapter as an object, and `cutmix` is 0 where there is none.
    """

    strategy: Strategy
    freeze_until: str | float | None
    learning_rate: float | str
    tuned_share: float | str
    layer_decay: float
    max_epochs: int | str
    max_steps: int | None
    batch_size: int | str
    optimizer: str | Callable
    weight_decay: float
    schedule: Any
    augment: Any
    n_views: int | None
    progressive_resizing: float | None
    mixup: float
    l2_sp: float
    freeze_bn: bool | str
    adapter: LoRA | None
    ema: float | None
    early_stopping: bool | str
    n_iter_no_change: int
    n_jobs: int | None
    cache: Any
    callbacks: Any
    device: Any
    precision: str
    compile: bool
    verbose: int
    cutmix: float = 0.0

    @classmethod
    def of(cls, estimator: Any) -> Settings:
        """Return an estimator's."""
        names = [field.name for field in dataclasses.fields(cls) if hasattr(estimator, field.name)]
        asked = {name: getattr(estimator, name) for name in names}
        adapter = LoRA() if isinstance(estimator.adapter, str) else estimator.adapter
        return cls(**{**asked, "strategy": STRATEGIES[estimator.strategy], "adapter": adapter})

    @property
    def mixes(self) -> bool:
        """Whether examples are mixed with each other."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def first_trained(self) -> str | float | None:
        """Up to where layers are frozen, by the user or else by the strategy."""
        return self.strategy.freeze_until if self.freeze_until is None else self.freeze_until
