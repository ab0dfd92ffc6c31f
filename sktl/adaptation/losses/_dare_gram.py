"""Alignment of the inverse Gram matrices (DARE-GRAM)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, Real
from torch import Tensor

from sktl.adaptation.losses._base import DomainLoss, View, at_least


def inverse_gram_distances(source: Tensor, target: Tensor, *, share: float = 0.99) -> tuple[Tensor, Tensor]:
    """Return how far the inverse Gram matrices of two domains' features are apart: in angle, and in scale.

    Parameters
    ----------
    source, target : Tensor (n_s, n_features), (n_t, n_features)
        Features; a column of ones is put before them.
    share : float in (0, 1]
        Of the sum of the eigenvalues that the principal ones hold, which alone are inverted.

    Returns
    -------
    angle : Tensor, 0-d
        Mean of 1 - cos between the matrices' columns.
    scale : Tensor, 0-d
        Euclidean distance between the principal eigenvalues, by their number.
    """
    # G = A^T A / n,  A = [1, F];   k: fewest with sum_{i <= k} l_i >= share sum_i l_i, the larger of the two domains'
    rows = [torch.cat([part.new_ones(len(part), 1), part], dim=1) for part in (source, target)]
    values = [_eigenvalues(part) for part in rows]
    with torch.no_grad():
        n_principal = max(
            len(part) if share >= 1 else int((part.cumsum(0) < share * part.sum()).sum()) + 1 for part in values
        )
    inverses = [_inverse(part, found, n_principal) for part, found in zip(rows, values)]
    angle = 1 - torch.cosine_similarity(inverses[0], inverses[1], dim=0).mean()
    gaps = _first(values[0], n_principal) - _first(values[1], n_principal)
    return angle, (gaps.pow(2).sum() + 1e-12).sqrt() / n_principal  # a root has no slope at zero


def _eigenvalues(rows: Tensor) -> Tensor:
    """Return those of the Gram matrix that are not zero for want of rows, the largest first."""
    return torch.linalg.svdvals(rows).pow(2) / len(rows)


def _first(values: Tensor, n: int) -> Tensor:
    return values[:n] if len(values) >= n else torch.cat([values, values.new_zeros(n - len(values))])


def _inverse(rows: Tensor, values: Tensor, n_principal: int) -> Tensor:
    """Return the pseudo-inverse of the Gram matrix over the principal eigenvectors, (n_features, n_features)."""
    # G^+ = n A^+ (A^+)^T,  which asks for a decomposition of n rows instead of n_features
    with torch.no_grad():
        kept = values[:n_principal].clamp_min(1e-12 * float(values[0]))
        dropped = values[n_principal] if n_principal < len(values) else kept[-1] * 1e-4
        threshold = (kept[-1] * dropped.clamp_min(1e-4 * kept[-1])).pow(0.25) / values[0].clamp_min(1e-30).sqrt()
    inverse = torch.linalg.pinv(rows, rtol=threshold)
    return len(rows) * inverse @ inverse.T


class DAREGRAM(DomainLoss):
    """DARE-GRAM: the inverse Gram matrices of both domains' features alike, in angle and in scale [1]_.

    What a least-squares layer learns depends on the features by that matrix alone, so that this is the alignment that
    a regression needs. For `DomainAdaptedRegressor`.

    Parameters
    ----------
    weight : float, default=1.0
        Of the angle, between 0 and 2.
    scale_weight : float, default=0.1
        Of the distance of the principal eigenvalues. The paper's Gram matrices are sums over a batch; here they are
        means, so that this does not depend on the batch's size.
    share : float in (0, 1], default=0.99
        Of the sum of the eigenvalues, which the principal ones hold; the others are too uncertain to be inverted.

    References
    ----------
    .. [1] I. Nejjar, Q. Wang and O. Fink, "DARE-GRAM: unsupervised domain adaptation regression by aligning inverse
       Gram matrices", CVPR, 2023.

    Examples
    --------
    >>> from sktl.adaptation.losses import DAREGRAM
    >>> DAREGRAM(share=0.9)
    DAREGRAM(share=0.9)
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "scale_weight": at_least(0),
        "share": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(self, weight: float = 1.0, *, scale_weight: float = 0.1, share: float = 0.99):
        self.weight = weight
        self.scale_weight = scale_weight
        self.share = share

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        angle, scale = inverse_gram_distances(view.source_features, view.target_features, share=self.share)
        return self.weight * angle + self.scale_weight * scale
