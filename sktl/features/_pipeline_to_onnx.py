"""Fitted pipelines of codes and a classifier as one ONNX file."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sktl._deployment import (
    DeployedNetwork,
    Exportable,
    GraphPreprocessing,
    as_list,
    check_place,
    described_pictures,
    export_onnx,
)
from sktl._preprocessing import Preprocessing
from sktl.backbones import CodeNetwork
from sktl.features._cnn_codes import CNNCodesTransformer
from sktl.features._steps_as_modules import Vote, module_of, modules_of, weights_of


def pipeline_to_onnx(model: Any, path: str | os.PathLike, *, preprocess: bool = False) -> None:
    """Write a fitted pipeline of a network's codes and a classifier as one ONNX file, which needs no sktl to run.

    It takes what `make_codes_classifier` makes; other layers of the network, scaling and unit length; logistic
    regression, ridge and linear support vector machines (calibrated by ``ensemble=False`` too), nearest neighbours by
    Euclidean distance, prototypes; ridge and least squares for values; feature rows instead of pictures; and
    scikit-learn's `VotingClassifier` at the end of such a pipeline, or of several, where those of one network run it
    once; `ColumnTransformer` that passes columns on. The greatest output is the class; ``softmax`` of the outputs is
    what `predict_proba` returns. The file's metadata name the classes, and what is done to a picture before.

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
        If ONNX lacks operators of the network, or members of a vote see pictures at different sizes and preprocess is
        False.

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
    network, given = part_of(model, preprocess=preprocess)
    if preprocess and not isinstance(given, Preprocessing):
        raise ValueError(f"preprocess=True scales pictures, but this {type(model).__name__} was fitted on rows.")
    described: dict[str, Any] = {"input": described_pictures(given, preprocess)}
    if hasattr(model, "classes_"):
        described["classes"] = as_list(np.asarray(model.classes_))
    is_values = not hasattr(model, "classes_")
    unit = SimpleNamespace(mean_=[0.0], scale_=[1.0]) if is_values else None
    export_onnx(
        DeployedNetwork(network, target=unit, is_single=is_values),
        given,
        path,
        described,
        preprocess=preprocess,
        is_prepared=getattr(network, "prepares", False),
    )


def part_of(model: Any, *, preprocess: bool = False) -> tuple[nn.Module, Preprocessing | int]:
    """Return a whole fitted model as a module, and what it takes.

    With `preprocess`, a vote whose members see pictures at different sizes takes them as they were decoded, which its
    `prepares` says.

    Raises
    ------
    TypeError, ValueError
        If it cannot be one network.
    """
    if isinstance(model, VotingClassifier):
        return _vote_of(model, preprocess)
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


def _vote_of(model: VotingClassifier, preprocess: bool) -> tuple[nn.Module, Preprocessing | int]:
    weights = weights_of(model)
    codes = _of_one_network(model.estimators_)
    if codes:
        return _vote_on_layers(model.estimators_, codes, weights)
    parts = [part_of(member) for member in model.estimators_]
    given = parts[0][1]
    members = [network for network, _ in parts]
    if all(other == given for _, other in parts):
        return Vote(members, weights), given
    if not (preprocess and all(isinstance(own, Preprocessing) for _, own in parts)):
        raise ValueError(
            "Members of the vote see pictures at different sizes, so that the file has to scale them itself: set "
            "preprocess=True. Or write one of them, best_estimator_.estimators_[0], or search with ensemble=False."
        )
    prepared = [
        nn.Sequential(GraphPreprocessing(own), network) for network, own in parts if isinstance(own, Preprocessing)
    ]
    return Vote(prepared, weights, prepares=True), given


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
        heads.append((recipe.layers, modules_of(member.steps[1:])))
    return _VoteOnLayers(network, every.layers, heads, weights), every.preprocessing
