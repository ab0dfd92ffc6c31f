"""Mean teacher: agree with an average of one's past selves."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, Real
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import warm_up


def confident_consistency(logits: Tensor, teacher_logits: Tensor, *, threshold: float) -> Tensor:
    """Return the mean squared difference of a student's and a teacher's probabilities, where the teacher is sure.

    Parameters
    ----------
    logits, teacher_logits : Tensor (n, n_classes)
        Of the student and of the teacher, which is not differentiated.
    threshold : float
        Probability from which a row counts.
    """
    # 1/n sum_i [max p_i >= t] 1/K sum_k (q_ik - p_ik)^2
    teacher = teacher_logits.detach().softmax(1)
    difference = (logits.softmax(1) - teacher).pow(2).mean(1)
    return (difference * (teacher.amax(1) >= threshold)).mean()


class _Teacher(nn.Module):
    """An exponential moving average of a network; batch norm goes by the batch, dropout is off.

    Running statistics are the student's, whose layers have moved on from the teacher's.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.norms = [part for part in self.network.modules() if isinstance(part, _BatchNorm)]
        for norm in self.norms:
            norm.momentum = 0.0
        self.n_updates = 0

    def train(self, mode: bool = True) -> _Teacher:
        self.training = mode
        self.network.eval()
        for norm in self.norms:
            norm.train(mode)
        return self

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.n_updates)

    def set_extra_state(self, state: Tensor) -> None:
        self.n_updates = int(state)

    @torch.no_grad()
    def follow(self, student: nn.Module, decay: float) -> None:
        """Take in the student's present weights."""
        # a <- a + (1 - d_t) (w - a),   d_t = min(d, t / (t + 1)): at first the plain mean
        decay = min(decay, self.n_updates / (self.n_updates + 1))
        self.n_updates += 1
        torch._foreach_lerp_(list(self.network.parameters()), list(student.parameters()), 1 - decay)


class MeanTeacher(DomainLoss):
    """Self-ensembling: on a strongly changed view, agree with an average of the weights on the plain one [1]_, [2]_.

    Parameters
    ----------
    weight : float, default=3.0
        Of the term, a mean over rows and classes; it warms up over the training. The default is that of [2]_.
    decay : float in [0, 1), default=0.99
        Of the average, per step.
    threshold : float in [0, 1], default=0.9
        Probability of the teacher from which a row counts.

    References
    ----------
    .. [1] A. Tarvainen and H. Valpola, "Mean teachers are better role models", NeurIPS, 2017.
    .. [2] G. French, M. Mackiewicz and M. Fisher, "Self-ensembling for visual domain adaptation", ICLR, 2018.

    Examples
    --------
    >>> from sktl.adaptation.losses import MeanTeacher
    >>> MeanTeacher(decay=0.999)
    MeanTeacher(decay=0.999)
    """

    needs_second_view: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "decay": [Interval(Real, 0, 1, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, weight: float = 3.0, *, decay: float = 0.99, threshold: float = 0.9):
        self.weight = weight
        self.decay = decay
        self.threshold = threshold

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module:
        """Return the teacher."""
        return _Teacher(network)

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        state.follow(view.network, self.decay)
        with torch.no_grad():
            taught = state.network(view.target_inputs)
        term = confident_consistency(view.second_logits, taught, threshold=self.threshold)
        return self.weight * warm_up(view.progress) * term
