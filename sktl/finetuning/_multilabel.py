"""Several labels a row: targets, head and loss, where each label is a question of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sktl._label_matrix import label_matrix
from sktl.finetuning._heads import ABSENT, LinearHead, solve_classifier
from sktl.training import StepResult, features_and_target, weighted_mean


def checked_matrix(y: Any, known: np.ndarray | None, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return y as float32 (n, n_labels), and the labels' columns 0, 1, ...

    Raises
    ------
    ValueError
        If there are other columns than before.
    """
    y = label_matrix(y)
    labels = np.arange(y.shape[1])
    for before in (known, None if classes is None else np.asarray(classes)):
        if before is not None and not np.array_equal(before, labels):
            raise ValueError(f"y has {len(labels)} labels a row, but {len(before)} were named or in the first call.")
    return y.astype(np.float32), labels


def solve_labels(codes: np.ndarray, target: np.ndarray, sample_weight: np.ndarray | None, C: float | str) -> LinearHead:
    """Return the head of one logistic regression a label; a label that all rows have, or none, is a constant.

    Each label has a penalty of its own where C is "auto"; what is returned is their geometric mean.
    """
    weight, bias, n_iter = np.zeros((target.shape[1], codes.shape[1])), np.zeros(target.shape[1]), 1
    penalties = []
    for label, column in enumerate(target.T.astype(np.int64)):
        if column.min() == column.max():
            bias[label] = ABSENT if column[0] else -ABSENT
            continue
        head = solve_classifier(codes, column, sample_weight, C, 2)
        penalties.append(head.penalty)
        weight[label], bias[label] = head.weight[1] - head.weight[0], head.bias[1] - head.bias[0]
        n_iter = max(n_iter, head.n_iter)
    mean = float(np.exp(np.mean(np.log(penalties)))) if penalties else 1.0
    return LinearHead(weight, bias, n_iter, mean if isinstance(C, str) else C)


@dataclass(frozen=True)
class LabelStep:
    """Cross entropy of each label's sigmoid, averaged over the labels; `label_smoothing` as in `ClassificationStep`."""

    label_smoothing: float = 0.0

    def __call__(self, module: nn.Module, batch: Any) -> StepResult:
        X, y, sample_weight = features_and_target(batch)
        # -mean_k [q_k log s(z_k) + (1 - q_k) log s(-z_k)],   q = (1 - s) y + s / 2
        return weighted_mean(_losses(module(X), y, self.label_smoothing), sample_weight)


@dataclass(frozen=True)
class LabelValidationStep:
    """The same without smoothing, and the share of rows whose labels are all right."""

    def __call__(self, module: nn.Module, batch: Any) -> StepResult:
        X, y, sample_weight = features_and_target(batch)
        logits = module(X)
        loss, weight, _ = weighted_mean(_losses(logits, y, 0.0), sample_weight)
        is_right = ((logits > 0) == (y > 0.5)).all(1)
        accuracy, _, _ = weighted_mean(is_right.to(logits.dtype), sample_weight)
        return StepResult(loss, weight, {"accuracy": accuracy})


def _losses(logits: Tensor, y: Tensor, smoothing: float) -> Tensor:
    target = (1 - smoothing) * y.to(logits.dtype) + smoothing / 2
    losses: Tensor = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return torch.mean(losses, dim=1)
