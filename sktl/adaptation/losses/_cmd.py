"""Central moment discrepancy."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Integral, Interval
from torch import Tensor

from sktl._validation import MOST_LAYERS
from sktl.adaptation.losses._base import DomainLoss, View, at_least


def central_moments(source: Tensor, target: Tensor, *, n_moments: int = 5, width: float = 1.0) -> Tensor:
    """Return the distances between means and between central moments of features, added up.

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features, bounded to an interval.
    n_moments : int, default=5
        The mean and the central moments of order 2 to `n_moments`.
    width : float, default=1.0
        Of the interval.
    """
    # ||E s - E t|| / |b-a| + sum_k ||E (s - E s)^k - E (t - E t)^k|| / |b-a|^k
    centred_source, centred_target = source - source.mean(0), target - target.mean(0)
    terms = [_norm(source.mean(0) - target.mean(0)) / width]
    power_source, power_target = centred_source, centred_target
    for k in range(2, n_moments + 1):
        power_source, power_target = power_source * centred_source, power_target * centred_target
        terms.append(_norm(power_source.mean(0) - power_target.mean(0)) / width**k)
    return torch.stack(terms).sum()


def _norm(vector: Tensor) -> Tensor:
    return (vector.pow(2).sum() + 1e-12).sqrt()  # the norm's gradient has no value at 0


class CMD(DomainLoss):
    """Central moment discrepancy: the first moments of each feature alike in both domains [1]_.

    Features that are not bounded pass through tanh first, for moments mean something on an interval only.

    Parameters
    ----------
    weight : float, default=0.3
        Of the term.
    n_moments : int, default=5
        Highest order of the moments.

    References
    ----------
    .. [1] W. Zellinger, T. Grubinger, E. Lughofer, T. Natschlaeger and S. Saminger-Platz, "Central moment discrepancy
       (CMD) for domain-invariant representation learning", ICLR, 2017.

    Examples
    --------
    >>> from sktl.adaptation.losses import CMD
    >>> CMD(n_moments=3).n_moments
    3
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "n_moments": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
    }

    def __init__(self, weight: float = 0.3, *, n_moments: int = 5):
        self.weight = weight
        self.n_moments = n_moments

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        bounded = view.source_features.tanh(), view.target_features.tanh()
        return self.weight * central_moments(*bounded, n_moments=self.n_moments, width=1.0)
