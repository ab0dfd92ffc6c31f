"""Batch nuclear-norm maximisation (BNM)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._reversal import warm_up


def nuclear_norm(logits: Tensor) -> Tensor:
    """Return the nuclear norm of a batch's probabilities, divided by the root of its number of rows.

    It is large where predictions are certain and spread over many classes: up to the root of the number of classes.
    """
    # || softmax(Z) ||_* / sqrt(n) = sum of the singular values / sqrt(n): the same for the same rows twice
    proba = logits.softmax(1)
    return torch.linalg.matrix_norm(proba, ord="nuc") / math.sqrt(len(proba))


class BNM(DomainLoss):
    """Batch nuclear-norm maximisation: target predictions certain, and of many classes [1]_.

    Parameters
    ----------
    weight : float, default=0.125
        Of the term; it warms up over the training. The paper divides the norm by the number of rows, by which the term
        fades in large batches; here it is the root of that number. With 64 rows both are the same at 0.125.

    References
    ----------
    .. [1] S. Cui, S. Wang, J. Zhuo, L. Li, Q. Huang and Q. Tian, "Towards discriminability and diversity: batch
       nuclear-norm maximization under label insufficient situations", CVPR, 2020.

    Examples
    --------
    >>> from sktl.adaptation.losses import BNM
    >>> BNM(weight=0.2)
    BNM(weight=0.2)
    """

    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0)}

    def __init__(self, weight: float = 0.125):
        self.weight = weight

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term: the norm is to grow."""
        return -self.weight * warm_up(view.progress) * nuclear_norm(view.target_logits)
