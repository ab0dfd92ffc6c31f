"""Labels by the nearest centroid of features."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def centroid_labels(features: Tensor, proba: Tensor, *, n_rounds: int = 2) -> Tensor:
    """Return each row's pseudo-label: the class whose centroid is nearest by angle (Liang et al. 2020).

    The first round weighs rows by their predicted probabilities, each later one by the labels of the round before. A
    class that is no row's most probable one gets no label at all.

    Parameters
    ----------
    features : Tensor (n, n_features)
        What the classifier is given; a constant 1 is appended, so that features of zeros have a direction too.
    proba : Tensor (n, n_classes)
        Predicted probabilities.
    n_rounds : int, default=2
        Times that centroids are taken.

    Returns
    -------
    Tensor (n,), int64
    """
    n_classes = proba.shape[1]
    directions = F.normalize(F.pad(features, (0, 1), value=1.0), dim=1)  # (n, n_features + 1)
    is_predicted = torch.bincount(proba.argmax(1), minlength=n_classes) > 0
    shares = proba
    for _ in range(n_rounds):
        # c_k = sum_i q_ik f_i / sum_i q_ik,   label_i = argmax_k cos(f_i, c_k)
        centroids = shares.T @ directions / shares.sum(0).clamp_min(1e-8)[:, None]  # (n_classes, n_features + 1)
        closeness = directions @ F.normalize(centroids, dim=1).T  # (n, n_classes)
        labels = closeness.masked_fill(~is_predicted, -torch.inf).argmax(1)
        shares = F.one_hot(labels, n_classes).to(directions.dtype)
    return labels
