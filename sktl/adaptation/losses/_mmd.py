"""Maximum mean discrepancy with several kernels (DAN)."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import Integral, Interval
from torch import Tensor, cat

from sktl._validation import MOST_LAYERS
from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._kernels import embedding_distance, gaussian_kernel, signed_weights
from sktl.adaptation.losses._reversal import warm_up


def mmd(source: Tensor, target: Tensor, *, n_kernels: int = 5) -> Tensor:
    """Return the squared distance between the two domains' mean embeddings.

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features.
    n_kernels : int, default=5
        Gaussian kernels, their widths doubling around the mean squared distance.

    Returns
    -------
    Tensor, 0-d

    Examples
    --------
    >>> import torch
    >>> from sktl.adaptation.losses import mmd
    >>> rows = torch.arange(12.).reshape(4, 3)
    >>> bool(mmd(rows, rows) < 1e-5), bool(mmd(rows, rows + 5) > 1)
    (True, True)
    """
    # MMD^2 = || 1/n_s sum_i phi(x_i) - 1/n_t sum_j phi(y_j) ||^2
    kernel = gaussian_kernel(cat([source, target]), n_kernels)
    return embedding_distance(kernel, signed_weights(len(source), len(target), source))


class MMD(DomainLoss):
    """Deep adaptation network: mean embeddings of the features alike in both domains [1]_.

    Departs from the paper: one layer of features instead of three, all kernels weighted alike, and the quadratic
    estimate instead of the linear one, which a batch affords.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term; it warms up over the training.
    n_kernels : int, default=5
        Gaussian kernels, their widths doubling around the mean squared distance.

    References
    ----------
    .. [1] M. Long, Y. Cao, J. Wang and M. Jordan, "Learning transferable features with deep adaptation networks",
       ICML, 2015.

    Examples
    --------
    >>> from sktl.adaptation.losses import MMD
    >>> MMD(weight=0.5)
    MMD(weight=0.5)
    """

    needs_classes: ClassVar[bool] = False
    _parameter_constraints: ClassVar[dict] = {
        "weight": at_least(0),
        "n_kernels": [Interval(Integral, 1, MOST_LAYERS, closed="both")],
    }

    def __init__(self, weight: float = 1.0, *, n_kernels: int = 5):
        self.weight = weight
        self.n_kernels = n_kernels

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        factor = self.weight * warm_up(view.progress)
        return factor * mmd(view.source_features, view.target_features, n_kernels=self.n_kernels)
