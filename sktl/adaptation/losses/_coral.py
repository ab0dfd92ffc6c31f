"""Covariances alike: DeepCORAL, between source and target or between sources."""

from __future__ import annotations

from itertools import combinations
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def covariance(rows: Tensor) -> Tensor:
    """Return the unbiased covariance matrix of rows, (d, d)."""
    centred = rows - rows.mean(0)
    return centred.T @ centred / max(len(rows) - 1, 1)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Return the squared distance between two covariance matrices.

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features.

    Returns
    -------
    Tensor, 0-d
    """
    # 1 / (4 d^2) || C_s - C_t ||_F^2
    difference = covariance(source) - covariance(target)
    return difference.pow(2).sum() / (4 * source.shape[1] ** 2)


class CORAL(DomainLoss):
    """Deep CORAL: second moments of the features alike in both domains [1]_, or in all sources [2]_.

    Parameters
    ----------
    weight : float, default=100.0
        Of the term. The formula divides by four times the squared number of features, so that weights are large.
    between : {"domains", "sources"}, default="domains"
        "domains" compares all source rows with the target rows; "sources" the source domains with each other, for
        targets that nothing is known of.

    References
    ----------
    .. [1] B. Sun and K. Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops, 2016.
    .. [2] I. Gulrajani and D. Lopez-Paz, "In search of lost domain generalization", ICLR, 2021.

    Examples
    --------
    >>> from sktl.adaptation.losses import CORAL
    >>> CORAL(between="sources").needs_target
    False
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "between": [StrOptions({"domains", "sources"})],
    }

    def __init__(self, weight: float = 100.0, *, between: str = "domains"):
        self.weight = weight
        self.between = between

    @property
    def needs_target(self) -> bool:  # type: ignore[override]
        """Whether target rows are compared."""
        return self.between == "domains"

    @property
    def n_sources(self) -> int:  # type: ignore[override]
        """Number of source domains needed."""
        return 1 if self.between == "domains" else 2

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        if self.between == "domains":
            return self.weight * coral(view.source_features, view.target_features)
        parts = view.source_features.split(view.sizes)
        return self.weight * torch.stack([coral(a, b) for a, b in combinations(parts, 2)]).mean()
