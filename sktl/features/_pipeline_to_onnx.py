"""Fitted pipelines of codes and a classifier as one ONNX file."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from functools import singledispatch
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktl._deployment import DeployedNetwork, Exportable, as_list, check_place, described_pictures, export_onnx
from sktl._preprocessing import Preprocessing
from sktl.backbones import CodeNetwork
from sktl.features._cnn_codes import CNNCodesTransformer
from sktl.features._logistic_regression_loo import LogisticRegressionLOO

LEAST_SHARE = 1e-6  # of neighbours' votes, so that logarithms are finite
KNOWN = "CNNCodesTransformer, StandardScaler, Normalizer; logistic regression, ridge, LinearSVC, k-NN, prototypes"


def pipeline_to_onnx(model: Any, path: str | os.PathLike, *, preprocess: bool = False) -> None:
    """Write a fitted pipeline of a network's codes and a classifier as one ONNX file, which needs no sktl to run.

    It takes what `make_codes_classifier` makes; other layers of the network, scaling and unit length; logistic
    regression, ridge and linear support vector machines (calibrated by ``ensemble=False`` too), nearest neighbours by
    Euclidean distance, prototypes; ridge and least squares for values; feature rows instead of pictures; and
    scikit-learn's `VotingClassifier` of such pipelines, each with a network of its own in the file. The greatest output
    is the class; ``softmax`` of the outputs is what `predict_proba` returns. The file's metadata name the classes, and
    what is done to a picture before.

    Parameters
    ----------
    model : Pipeline or VotingClassifier
        Fitted.
    path : path-like
        The file.
    preprocess : bool, default=False
        Whether pictures are scaled and cropped in the graph too: they go in as they were decoded, uint8 of shape
        (n, 3, H, W). Start with True.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If the file cannot be there, before any work is done.
    ImportError
        If onnx or onnxscript is not installed.
    NotFittedError
        If the model is not fitted.
    TypeError
        If a step cannot be written as part of a network; it is named.
    ValueError
        If ONNX lacks operators of the network, or members of a vote see pictures at different sizes.

    See Also
    --------
    sktl.AutoTransferClassifier.to_onnx : The same of the best candidate.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from sktl import CNNCodesTransformer, make_codes_classifier
    >>> from sktl.features import pipeline_to_onnx
    >>> pictures = np.random.default_rng(0).integers(0, 200, (8, 32, 32, 3), dtype=np.uint8)
    >>> pictures[::2] += 50
    >>> model = make_codes_classifier(CNNCodesTransformer(image_size=32)).fit(pictures, ["light", "dark"] * 4)
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     pipeline_to_onnx(model, Path(folder) / "model.onnx", preprocess=True)
    """
    check_is_fitted(model)
    check_place(path)
    network, given = part_of(model)
    if preprocess and not isinstance(given, Preprocessing):
        raise ValueError(f"preprocess=True scales pictures, but this {type(model).__name__} was fitted on rows.")
    described: dict[str, Any] = {"input": described_pictures(given, preprocess)}
    if hasattr(model, "classes_"):
        described["classes"] = as_list(np.asarray(model.classes_))
    is_values = not hasattr(model, "classes_")
    unit = SimpleNamespace(mean_=[0.0], scale_=[1.0]) if is_values else None
    export_onnx(
        DeployedNetwork(network, target=unit, is_single=is_values), given, path, described, preprocess=preprocess
    )


def part_of(model: Any) -> tuple[nn.Module, Preprocessing | int]:
    """Return a whole fitted model as a module, and what it takes.

    Raises
    ------
    TypeError, ValueError
        If it cannot be one network.
    """
    if isinstance(model, VotingClassifier):
        return _vote_of(model)
    if isinstance(model, Exportable):
        return model._deployed()
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    steps = [step for step in steps if step is not None and step != "passthrough"]
    given: Preprocessing | int = getattr(steps[0], "n_features_in_", 0)
    modules = []
    for i, step in enumerate(steps):
        if isinstance(step, CNNCodesTransformer):
            if i:
                raise TypeError("CNNCodesTransformer is no first step here, and cannot be written as one network.")
            network, given = codes_network(step)
            modules.append(network)
        else:
            modules.append(module_of(step))
    return nn.Sequential(*modules), given


class _Codes(nn.Module):
    """Pictures with values in 0..255 to codes, layers side by side."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.cat(self.network(pictures), dim=1)


def codes_network(transformer: CNNCodesTransformer) -> tuple[nn.Module, Preprocessing]:
    """Return the network of a transformer as a module that shares nothing with it, and what it takes.

    Raises
    ------
    TypeError
        If there were gaps among the pictures, whose mark is no part of a picture.
    """
    if getattr(transformer, "_has_gaps", False):
        raise TypeError("A CNNCodesTransformer that was fitted with pictures missing cannot be written as one network.")
    recipe = transformer._extractor().recipe
    with recipe.backbone.lock:
        network = copy.deepcopy(CodeNetwork(recipe, torch.device("cpu")))
    return _Codes(network.float()), recipe.preprocessing


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


class _Vote(nn.Module):
    """Logarithm of the members' mean probabilities."""

    def __init__(self, members: list[nn.Module], weights: Any):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights = [float(weight) / float(np.sum(weights)) for weight in weights]

    def forward(self, rows: Tensor) -> Tensor:
        shares = [weight * member(rows).softmax(1) for weight, member in zip(self.weights, self.members)]
        return torch.stack(shares).sum(0).log()


def _vote_of(model: VotingClassifier) -> tuple[nn.Module, Preprocessing | int]:
    if model.voting != "soft":
        raise TypeError("A VotingClassifier can be written as one network with voting='soft'.")
    weights = np.ones(len(model.estimators_)) if model.weights is None else model.weights
    codes = _of_one_network(model.estimators_)
    if codes:
        return _vote_on_layers(model.estimators_, codes, weights)
    parts = [part_of(member) for member in model.estimators_]
    given = parts[0][1]
    if any(other != given for _, other in parts):
        raise ValueError(
            "Members of the vote see pictures at different sizes, which one network cannot do. Write one of them: "
            "best_estimator_.estimators_[0], or search with ensemble=False."
        )
    return _Vote([network for network, _ in parts], weights), given


class _VoteOnLayers(nn.Module):
    """Logarithm of the mean probabilities of classifiers on layers of one network, which runs once."""

    def __init__(self, network: nn.Module, names: Any, heads: list[tuple[Any, nn.Module]], weights: Any):
        super().__init__()
        self.network, self.names = network, tuple(names)
        self.layers, self.heads = [own for own, _ in heads], nn.ModuleList(head for _, head in heads)
        self.weights = [float(weight) / float(np.sum(weights)) for weight in weights]

    def forward(self, pictures: Tensor) -> Tensor:
        codes = dict(zip(self.names, self.network(pictures)))
        rows = [torch.cat([codes[name] for name in own], dim=1) for own in self.layers]
        shares = [w * head(own).softmax(1) for w, head, own in zip(self.weights, self.heads, rows)]
        return torch.stack(shares).sum(0).log()


def _of_one_network(members: Sequence[Any]) -> list[CNNCodesTransformer]:
    """Return the members' first steps, if all are codes of one network that differ in their layers alone."""
    firsts = [member.steps[0][1] if isinstance(member, Pipeline) else None for member in members]
    codes = [one for one in firsts if isinstance(one, CNNCodesTransformer) and not getattr(one, "_has_gaps", False)]
    if len(codes) < len(members):
        return []
    recipes = [one._extractor().recipe for one in codes]
    same = {repr((r.backbone.fingerprint, r.pooling, r.preprocessing, r.dtype, r.calibration)) for r in recipes}
    return codes if len(same) == 1 else []


def _vote_on_layers(
    members: Sequence[Any], codes: list[CNNCodesTransformer], weights: Any
) -> tuple[nn.Module, Preprocessing]:
    recipes = [one._extractor().recipe for one in codes]
    wanted = {name for recipe in recipes for name in recipe.layers}
    order = [call.name for call in recipes[0].backbone.trace(recipes[0].preprocessing.size).calls]
    every = recipes[0].with_layers(tuple(name for name in dict.fromkeys(order) if name in wanted))
    with every.backbone.lock:
        network = copy.deepcopy(CodeNetwork(every, torch.device("cpu"))).float()
    heads: list[tuple[Any, nn.Module]] = []
    for member, recipe in zip(members, recipes):
        steps = (module_of(step) for _, step in member.steps[1:] if step is not None and step != "passthrough")
        heads.append((recipe.layers, nn.Sequential(*steps)))
    return _VoteOnLayers(network, every.layers, heads, weights), every.preprocessing
