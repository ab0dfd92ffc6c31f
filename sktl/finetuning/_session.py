"""What lasts from one `partial_fit` to the next, in this process or through a pickle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

from sktl.finetuning._budget import Budget
from sktl.finetuning._losses import StartingPointStep
from sktl.finetuning._plan import Plan
from sktl.finetuning._training import FineTuning
from sktl.training import TrainingNet, load_training_state, progress_of, to_arrays


@dataclasses.dataclass
class Session:
    """A training that takes one epoch at a time.

    Its pickle holds what the network itself does not tell: the optimizer's state, the generators', the averages. A
    training that went through a pickle goes on as it would have without.

    Attributes
    ----------
    budget : Budget
        Of the first call: it decides whether batch norm stands still.
    net : TrainingNet or None
        None until the first call after a pickle.
    state : dict or None
        What was pickled; taken up with the first call after it.
    """

    budget: Budget
    net: TrainingNet | None = None
    state: dict[str, Any] | None = None
    plan: Plan | None = None  # of the net

    def open(self, training: FineTuning, module: nn.Module) -> TrainingNet:
        """Return the loop; `module` is what has been learned so far."""
        if self.net is not None:
            for group in self.net.optimizer_.param_groups:  # the user holds the network as `module_`
                for parameter in group["params"]:
                    parameter.requires_grad_(True)
            return self.net
        plan = training.plan(module, self.budget)
        plan.stages = []  # one pass at a time knows no second half
        net = training.net(plan, self.budget, schedule=None)
        if self.state is not None:
            load_training_state(net, self.state["net"])
            if isinstance(net.step, StartingPointStep):
                for (_, value), kept in zip(net.step.start, self.state["start"]):
                    value.copy_(torch.as_tensor(kept))
        self.net, self.state, self.plan = net, None, plan
        return net

    def __getstate__(self) -> dict[str, Any]:
        return {
            "budget": self.budget,
            "net": None,
            "plan": None,
            "state": self.state if self.net is None else _kept(self.net),
        }


def _kept(net: TrainingNet) -> dict[str, Any]:
    """Return the state without the network's own, on the CPU."""
    start = [value for _, value in net.step.start] if isinstance(net.step, StartingPointStep) else []
    return {"net": progress_of(net), "start": to_arrays(start)}


@dataclasses.dataclass(frozen=True)
class SeenWeights:
    """Sum and number of the weights that training has met; their mean is what a weight of 1 in the loss stands for."""

    total: float = 0.0
    n_rows: int = 0

    @property
    def mean(self) -> float:
        """Mean of all so far."""
        return self.total / self.n_rows

    def with_rows(self, weight: np.ndarray | None, n_rows: int) -> SeenWeights:
        """Return the sums with more rows; None is a weight of 1 each."""
        return SeenWeights(self.total + (n_rows if weight is None else float(weight.sum())), self.n_rows + n_rows)
