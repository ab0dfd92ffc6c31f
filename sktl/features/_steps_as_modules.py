"""Fitted steps of rows as modules: what is scaled, picked, classified and voted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from sktl._deployment import Exportable
from sktl.features._logistic_regression_loo import LogisticRegressionLOO

LEAST_SHARE = 1e-6  # of neighbours' votes, so that logarithms are finite
KNOWN = "CNNCodesTransformer, StandardScaler, Normalizer; logistic regression, ridge, LinearSVC, k-NN, prototypes"


@singledispatch
def module_of(step: Any) -> nn.Module:
    """Return a fitted step of rows as a module.

    Raises
    ------
    TypeError
        If there is none for it.
    """
    if isinstance(step, Exportable):
        return step._deployed()[0]
    raise TypeError(
        f"A {type(step).__name__} cannot be written as part of a network. What can: {KNOWN}. Deploy the pickle, or "
        "choose among those."
    )


class _Scaled(nn.Module):
    def __init__(self, mean: Any, scale: Any, n: int):
        super().__init__()
        for name, value, usual in (("mean", mean, np.zeros(n)), ("scale", scale, np.ones(n))):
            self.register_buffer(name, torch.as_tensor(usual if value is None else value, dtype=torch.float32))

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.scale  # type: ignore[operator]


@module_of.register
def _(step: StandardScaler) -> nn.Module:
    return _Scaled(step.mean_, step.scale_, step.n_features_in_)


class _UnitLength(nn.Module):
    def __init__(self, norm: str):
        super().__init__()
        self.p = {"l1": 1.0, "l2": 2.0, "max": float("inf")}[norm]

    def forward(self, rows: Tensor) -> Tensor:
        return F.normalize(rows, p=self.p, dim=1)


@module_of.register
def _(step: Normalizer) -> nn.Module:
    return _UnitLength(step.norm)


class _Linear(nn.Module):
    """Logits of each class, of two classes 0 and the second one's; or what is made of them."""

    def __init__(self, weight: Any, bias: Any, of_logits: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        weight = np.atleast_2d(weight)
        self.register_buffer("weight", torch.as_tensor(weight, dtype=torch.float32))
        self.register_buffer("bias", torch.tensor(np.broadcast_to(bias, len(weight)), dtype=torch.float32))
        self.of_logits = of_logits

    def forward(self, rows: Tensor) -> Tensor:
        logits = F.linear(rows, self.weight, self.bias)  # type: ignore[arg-type]
        if self.of_logits is not None:
            return self.of_logits(logits)
        return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


@module_of.register(LogisticRegression)
@module_of.register(LogisticRegressionLOO)
@module_of.register(RidgeClassifier)
@module_of.register(LinearSVC)
def _(step: Any) -> nn.Module:
    return _Linear(step.coef_, step.intercept_)


@module_of.register
def _(step: CalibratedClassifierCV) -> nn.Module:
    one = step.calibrated_classifiers_[0]
    if len(step.calibrated_classifiers_) > 1 or not all(hasattr(part, "a_") for part in one.calibrators):
        raise TypeError(
            "A CalibratedClassifierCV can be written as part of a network with ensemble=False and method='sigmoid'."
        )
    if not hasattr(one.estimator, "coef_"):
        module_of(one.estimator)  # its own error
    slopes, places = ([getattr(part, name) for part in one.calibrators] for name in ("a_", "b_"))
    # p_k = 1 / (1 + exp(a_k f_k + b_k)), which are brought to the sum 1: so log p_k are logits
    slope = -np.asarray(slopes)
    return _Linear(
        np.atleast_2d(one.estimator.coef_) * slope[:, None], one.estimator.intercept_ * slope - np.asarray(places),
        _log_sigmoids,
    )  # fmt: skip


def _log_sigmoids(logits: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        return F.pad(logits, (1, 0))
    return F.logsigmoid(logits)


@module_of.register(LinearRegression)
@module_of.register(Ridge)
@module_of.register(RidgeCV)
def _(step: Any) -> nn.Module:
    return _Linear(step.coef_, step.intercept_, nn.Identity())


class _Neighbours(nn.Module):
    """Logarithms of the shares of classes among the nearest rows."""

    def __init__(self, step: KNeighborsClassifier):
        super().__init__()
        self.register_buffer("rows", torch.as_tensor(np.asarray(step._fit_X), dtype=torch.float32))
        self.register_buffer("votes", F.one_hot(torch.as_tensor(step._y), len(step.classes_)).float())
        self.n_neighbors = int(step.n_neighbors)

    def forward(self, rows: Tensor) -> Tensor:
        # |x - r|^2 up to what is the same for all r
        away = self.rows.square().sum(1) - 2 * rows @ self.rows.transpose(0, 1)  # type: ignore[operator, union-attr]
        nearest = away.topk(self.n_neighbors, dim=1, largest=False).indices
        return self.votes[nearest].mean(1).clamp_min(LEAST_SHARE).log()  # type: ignore[index]


@module_of.register
def _(step: KNeighborsClassifier) -> nn.Module:
    if step.weights != "uniform" or step.effective_metric_ != "euclidean" or step.outputs_2d_:
        raise TypeError(
            "A KNeighborsClassifier can be written as part of a network with weights='uniform' and Euclidean distances."
        )
    return _Neighbours(step)


class _Columns(nn.Module):
    def __init__(self, columns: np.ndarray):
        super().__init__()
        self.register_buffer("columns", torch.as_tensor(columns))

    def forward(self, rows: Tensor) -> Tensor:
        return rows.index_select(1, self.columns)  # type: ignore[arg-type]


@module_of.register
def _(step: ColumnTransformer) -> nn.Module:
    every, kept = np.arange(step.n_features_in_), []
    for _, how, columns in step.transformers_:
        passes_on = how == "passthrough" or (isinstance(how, FunctionTransformer) and how.func is None)
        if not passes_on and how != "drop":
            raise TypeError(
                "A ColumnTransformer can be written as part of a network where it passes columns on; this one has a "
                f"{type(how).__name__}."
            )
        if passes_on:
            kept.append(every[columns])
    return _Columns(np.concatenate(kept))


class Vote(nn.Module):
    """Logarithm of the members' mean probabilities; `prepares` says that they scale pictures themselves."""

    def __init__(self, members: Sequence[nn.Module], weights: Any, *, prepares: bool = False):
        super().__init__()
        self.prepares = prepares
        self.members = nn.ModuleList(members)
        self.weights = [float(weight) / float(np.sum(weights)) for weight in weights]

    def forward(self, rows: Tensor) -> Tensor:
        shares = [weight * member(rows).softmax(1) for weight, member in zip(self.weights, self.members)]
        return torch.stack(shares).sum(0).log()


@module_of.register
def _(step: VotingClassifier) -> nn.Module:
    parts = [member.steps if isinstance(member, Pipeline) else [("", member)] for member in step.estimators_]
    return Vote([modules_of(steps) for steps in parts], weights_of(step))


def modules_of(steps: Sequence[tuple[str, Any]]) -> nn.Module:
    """Return fitted steps of rows, one after the other, as a module."""
    return nn.Sequential(*(module_of(step) for _, step in steps if step is not None and step != "passthrough"))


def weights_of(vote: VotingClassifier) -> Any:
    """Return the weight of each member.

    Raises
    ------
    TypeError
        If classes are voted for, not probabilities averaged.
    """
    if vote.voting != "soft":
        raise TypeError("A VotingClassifier can be written as one network with voting='soft'.")
    return np.ones(len(vote.estimators_)) if vote.weights is None else vote.weights
