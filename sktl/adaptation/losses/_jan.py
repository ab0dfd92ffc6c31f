"""Joint maximum mean discrepancy (JAN)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, cat

from sktl.adaptation.losses._base import DomainLoss, View, at_least
from sktl.adaptation.losses._kernels import embedding_distance, gaussian_kernel, signed_weights
from sktl.adaptation.losses._reversal import warm_up

BANDWIDTH_OF_PROBABILITIES = 1.68  # the authors' choice


def joint_mmd(source: Tensor, target: Tensor, source_proba: Tensor, target_proba: Tensor) -> Tensor:
    """Return the squared distance between the mean embeddings of (features, predictions) in the tensor product.

    Parameters
    ----------
    source, target : Tensor (n_s, d), (n_t, d)
        Features.
    source_proba, target_proba : Tensor (n_s, n_classes), (n_t, n_classes)
        Predicted probabilities.
    """
    # k((f, p), (f', p')) = k_F(f, f') k_P(p, p')
    of_features = gaussian_kernel(cat([source, target]))
    of_predictions = gaussian_kernel(cat([source_proba, target_proba]), 1, BANDWIDTH_OF_PROBABILITIES)
    return embedding_distance(of_features * of_predictions, signed_weights(len(source), len(target), source))


class JAN(DomainLoss):
    """Joint adaptation network: features and predictions, jointly, alike in both domains [1]_.

    Departs from the paper in the quadratic estimate instead of the linear one.

    Parameters
    ----------
    weight : float, default=1.0
        Of the term; it warms up over the training.

    References
    ----------
    .. [1] M. Long, H. Zhu, J. Wang and M. Jordan, "Deep transfer learning with joint adaptation networks", ICML, 2017.

    Examples
    --------
    >>> from sktl.adaptation.losses import JAN
    >>> JAN().get_params()
    {'weight': 1.0}
    """

    _parameter_constraints: ClassVar[dict] = {"weight": at_least(0)}

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term."""
        proba = view.source_logits.softmax(1), view.target_logits.softmax(1)
        return self.weight * warm_up(view.progress) * joint_mmd(view.source_features, view.target_features, *proba)
