"""Prototypes and the encoder before them as one network."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.frozen import FrozenEstimator
from torch import Tensor, nn

from sktl._deployment import DeployedNetwork
from sktl._preprocessing import Preprocessing
from sktl.fewshot._encoding import BackboneCodes
from sktl.fewshot.metric_based._base import MetricLearner


class PrototypeLogits(nn.Module):
    """Codes to logits: what `ProtoNetClassifier` does behind its encoder."""

    def __init__(self, centre: Any, prototypes: Any, metric: Any, *, is_direction: bool, distance: str, scale: float):
        super().__init__()
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        self.register_buffer("prototypes", torch.as_tensor(prototypes, dtype=torch.float32))
        self.register_buffer("metric", None if metric is None else torch.as_tensor(metric, dtype=torch.float32))
        self.is_direction = is_direction
        self.is_cosine = distance == "cosine"
        self.scale = scale

    def forward(self, codes: Tensor) -> Tensor:
        """Return the logits, (n, n_classes)."""
        codes = codes.flatten(1) - self.centre  # type: ignore[operator]
        metric: Any = self.metric
        if metric is not None:
            codes = codes @ metric
        if self.is_direction:
            codes = F.normalize(codes, dim=1)
        if self.is_cosine:
            return self.scale * (F.normalize(codes, dim=1) @ F.normalize(self.prototypes, dim=1).transpose(0, 1))  # type: ignore[arg-type]
        # |x - c|^2, of differences: in float32 the squares' sum would lose what tells near prototypes apart
        return -self.scale * (codes.unsqueeze(1) - self.prototypes).square().sum(2)  # type: ignore[operator]


def deployed(estimator: Any) -> tuple[DeployedNetwork, Preprocessing | int]:
    """Return a fitted ProtoNetClassifier as a module, and what it takes.

    Raises
    ------
    TypeError
        If its encoder is no network of the library's.
    ValueError
        If it classifies rows together.
    """
    if estimator.transductive is not False:
        raise ValueError(
            f"transductive={estimator.transductive!r} classifies all rows of a call together, which one network cannot "
            "do row by row. Set transductive=False and fit again."
        )
    metric = estimator._metric()
    centre = estimator._centre if metric is None else estimator._centre + metric.centre
    logits = PrototypeLogits(
        centre, estimator.prototypes_, None if metric is None else metric.matrix,
        is_direction=estimator.normalize_ in ("l2", "center-l2"), distance=estimator.distance_, scale=estimator.scale_,
    )  # fmt: skip
    encoder: Any = estimator.encoder_
    encoder = encoder.estimator if isinstance(encoder, FrozenEstimator) else encoder
    if encoder is None:
        return DeployedNetwork(logits), estimator.n_codes_
    if isinstance(encoder, BackboneCodes):
        network, preprocessing = encoder.network()
        return DeployedNetwork(nn.Sequential(network, logits)), preprocessing
    if isinstance(encoder, MetricLearner) and encoder._spec.is_rows:
        with encoder._learned.lock:
            body = copy.deepcopy(encoder._learned.module(torch.device("cpu"), torch.float32).encoder)
        return DeployedNetwork(nn.Sequential(body, logits)), encoder._spec.shape[0]
    raise TypeError(
        f"The encoder of this {type(estimator).__name__} is a {type(encoder).__name__}, whose codes are not one "
        "network of pictures or rows. A backbone, or a learner that was meta-trained on rows, can be exported."
    )
