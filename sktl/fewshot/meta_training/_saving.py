"""A meta-learner as a file of tensors with JSON in its header."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._modes import in_plain_modes
from sktl._saving import Codec, SavedModel, check_tensors, params_of, read_model, write_model
from sktl.exceptions import WeightsError
from sktl.fewshot.meta_training._fitted_method import FittedMethod, MethodPlan
from sktl.fewshot.meta_training._inputs import InputSpec

NOT_SAVED = ("callbacks", "checkpoint_dir", "warm_start", "verbose")
ATTRIBUTES = (
    "n_outputs_", "n_iter_", "is_regression_", "n_features_in_", "feature_names_in_", "history_", "learning_rate_",
    "n_trained_", "n_parameters_", "best_epoch_",
)  # fmt: skip
CODEC = Codec(InputSpec)
MOST_VALUES = 2**28  # of a row


def save_learner(learner: Any, path: str | Path) -> None:
    """Write a fitted meta-learner to a ``.safetensors`` file: tensors, and JSON; no pickle.

    Raises
    ------
    TypeError
        If a parameter is no plain value, nor a module of the user's.
    """
    check_is_fitted(learner, "n_iter_")
    write_model(path, learner, learner_header(learner), learner._learned.tensors)


def learner_header(learner: Any) -> dict[str, Any]:
    """Return what rebuilds a learner around its tensors, as JSON takes it."""
    params, left_out = params_of(learner, CODEC, NOT_SAVED, networks=tuple(learner.get_params()))
    given = [name for name in left_out if isinstance(getattr(learner, name), nn.Module)]
    odd = [name for name in left_out if name not in given]
    if odd:
        raise TypeError(
            f"{', '.join(odd)} of this {type(learner).__name__} cannot be written as JSON; save needs plain values."
        )
    attributes = {name: CODEC.to_json(getattr(learner, name)) for name in ATTRIBUTES if hasattr(learner, name)}
    return {
        "params": params, "given": given, "attributes": attributes, "spec": CODEC.to_json(learner._spec),
        "seed": learner._learned.plan.encoder.seed,
    }  # fmt: skip


@in_plain_modes
def read_learner(path: str | Path, classes: dict[str, type], modules: dict[str, nn.Module]) -> Any:
    """Return the meta-learner that a file holds, if it is of one of the classes; see `load_learner`."""
    saved = read_model(path, classes, CODEC)
    with saved.checking():
        return loaded_learner(saved, modules)


def loaded_learner(saved: SavedModel, modules: dict[str, nn.Module]) -> Any:
    """Return the learner that a file holds; nothing of it is taken that does not fit."""
    given = saved.header["given"]
    if not isinstance(given, list) or set(map(str, given)) != set(modules):
        raise WeightsError(
            f"{saved.where} was saved by a learner with modules of its own for {given or 'none'}: pass them to "
            f"load by these names; got {sorted(modules) or 'none'}."
        )
    learner = saved.estimator(**modules)
    attributes = saved.attributes(ATTRIBUTES)
    spec, seed = saved.value("spec"), saved.value("seed")
    lengths = (1,) if isinstance(spec, InputSpec) and spec.is_rows else (3,)
    if not isinstance(spec, InputSpec) or len(spec.shape) not in lengths or min(spec.shape) < 1:
        raise ValueError("it does not say what goes in")
    if math.prod(spec.shape) > MOST_VALUES or attributes["n_outputs_"] > MOST_VALUES or type(seed) is not int:
        raise ValueError("its sizes, or its seed, are none of a learner")
    if spec.is_rows and attributes.get("n_features_in_", spec.shape[0]) != spec.shape[0]:
        raise ValueError("n_features_in_ does not go with its network")
    plan = learner._plan(spec, attributes["n_outputs_"], seed)
    _check_shapes(saved, plan)
    module = plan.build()
    expected = module.state_dict()
    frozen = tuple(f"{name}." for name in module.frozen)
    check_tensors(saved.where, saved.tensors, expected, needed=[n for n in expected if not n.startswith(frozen)])
    learner._spec = spec
    learner._learned = FittedMethod(plan, saved.tensors)
    learner.__dict__.update({"history_": []} | attributes)
    return learner


def _check_shapes(saved: SavedModel, plan: MethodPlan) -> None:
    """Compare shapes before memory is taken, where the network can be built without."""
    try:
        with torch.device("meta"):
            expected = plan.build().state_dict()
    except (RuntimeError, ValueError, TypeError, AttributeError):  # a module of the user's, say
        return
    for name, tensor in saved.tensors.items():
        if name in expected and tensor.shape != expected[name].shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, should be {tuple(expected[name].shape)}")
