"""Local maximum mean discrepancy (DSAN)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, cat

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._kernels import gaussian_kernel
from sktl.adaptation.losses._reversal import warm_up


def local_mmd(source: Tensor, target: Tensor, labels: Tensor, target_proba: Tensor) -> Tensor:
    """Return the squared distance between the domains' mean embeddings of each class, averaged over the classes.

    Classes that the source rows lack are left out of the mean.

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features.
    labels : Tensor (n_s,), int64
        Class numbers of the source rows.
    target_proba : Tensor (n_t, n_classes)
        Predicted probabilities of the target rows.
    """
    # 1/C sum_c || sum_i w_i^sc phi(x_i) - sum_j w_j^tc phi(y_j) ||^2 over the C classes of the source rows,
    # w^c: a class's share of each row, summing to 1
    n_classes = target_proba.shape[1]
    of_source = F.one_hot(labels, n_classes).to(source.dtype)
    present = (of_source.sum(0) > 0).to(source.dtype)
    of_source = of_source / of_source.sum(0).clamp_min(1)
    of_target = target_proba / target_proba.sum(0).clamp_min(1e-6) * present
    weights = cat([of_source, -of_target])  # (n, C)
    kernel = gaussian_kernel(cat([source, target]))
    return ((weights @ weights.T) * kernel).sum() / present.sum()


class DSAN(DomainLoss):
    """Deep subdomain adaptation network: features of each class alike in both domains [1]_.

    Target rows count for each class as much as they are predicted to belong to it.

    Parameters
    ----------
    weight : float, default=0.5
        Of the term; it warms up over the training.

    References
    ----------
    .. [1] Y. Zhu, F. Zhuang, J. Wang, G. Ke, J. Chen, J. Bian, H. Xiong and Q. He, "Deep subdomain adaptation network
       for image classification", IEEE TNNLS, 2021.

    Examples
    --------
    >>> from sktl.adaptation.losses import DSAN
    >>> DSAN(weight=0.3)
    DSAN(weight=0.3)
    """

    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0)}

    def __init__(self, weight: float = 0.5):
        self.weight = weight

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        proba = view.target_logits.softmax(1)
        distance = local_mmd(view.source_features, view.target_features, view.source_labels, proba)
        return self.weight * warm_up(view.progress) * distance
