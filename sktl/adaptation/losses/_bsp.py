"""Batch spectral penalisation (BSP)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Integral, Interval
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def spectral_penalty(source: Tensor, target: Tensor, *, n_largest: int = 1) -> Tensor:
    """Return the squares of the largest singular values of both domains' features, by the row, added up."""
    # sum_{i <= k} s_i(F_s)^2 / n_s + s_i(F_t)^2 / n_t
    largest = [torch.linalg.svdvals(rows)[:n_largest].pow(2).sum() / len(rows) for rows in (source, target)]
    return largest[0] + largest[1]


class BSP(DomainLoss):
    """Batch spectral penalisation: no single direction of the features carries the transfer [1]_.

    A companion to an adversarial loss, ``loss=[DANN(), BSP()]``; alone it aligns nothing.

    Parameters
    ----------
    weight : float, default=0.0064
        Of the term. The paper has 1e-4 and squares that grow with the batch; here they are divided by its rows. With 64
        rows of each domain both are the same.
    n_largest : int, default=1
        Singular values that are held down.

    References
    ----------
    .. [1] X. Chen, S. Wang, M. Long and J. Wang, "Transferability vs. discriminability: batch spectral penalization for
       adversarial domain adaptation", ICML, 2019.

    Examples
    --------
    >>> from sktl.adaptation.losses import BSP
    >>> BSP(n_largest=2)
    BSP(n_largest=2)
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "n_largest": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, weight: float = 0.0064, *, n_largest: int = 1):
        self.weight = weight
        self.n_largest = n_largest

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        return self.weight * spectral_penalty(view.source_features, view.target_features, n_largest=self.n_largest)
