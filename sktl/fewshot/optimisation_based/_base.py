"""What optimisation-based learners share."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.utils._param_validation import StrOptions

from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.optimisation_based._gradient_method import BATCH_NORMS, PARTS


class GradientLearner(MetaLearner):
    """Abstract: a network that learns each task by gradient steps, on labels or on values."""

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **MetaLearner._parameter_constraints,
        "adapt": [StrOptions(set(PARTS))],
        "batch_norm": [StrOptions(set(BATCH_NORMS))],
        "vectorised": ["boolean", StrOptions({"auto"})],
    }

    takes_values = True
    is_adapted = True
    zero_head = False
    adapt: str
    batch_norm: str

    @property
    def has_fixed_outputs(self) -> bool:  # type: ignore[override]
        """Whether a task may have as many classes as the episodes of meta-training, at most: a learned head does."""
        return not self.zero_head

    def _check_head(self) -> None:
        """Raise ValueError where nothing could be learned from a head of zeros."""
        if self.zero_head and self.adapt == "body":
            raise ValueError(
                "adapt='body' with zero_head=True leaves the head at zero, through which no gradient reaches the body. "
                "Use adapt='all' or 'head', or zero_head=False."
            )

    def _sees_queries_together(self) -> bool:
        return self.batch_norm == "transductive"

    def _ready(self, device: torch.device, dtype: torch.dtype) -> Any:
        module = super()._ready(device, dtype)
        module.adapt_steps = self._adapt_steps()
        return module

    def _adapt_steps(self) -> int:
        """Return the steps on a new task: they may be set anew after `fit`."""
        steps = getattr(self, "adapt_steps", None)
        return int(getattr(self, "inner_steps", 1) if steps is None else steps)
