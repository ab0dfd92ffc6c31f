"""A meta-learner as a file of tensors with JSON in its header."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._modes import in_plain_modes
from sktl.exceptions import WeightsError
from sktl.fewshot._inputs import InputSpec
from sktl.fewshot._learned import LearnedMethod
from sktl.training import encode_tensors, read_tensors, write_whole

FORMAT = "sktl meta-learner 1"
NOT_SAVED = ("callbacks", "checkpoint_dir", "warm_start", "verbose")


def save_learner(learner: Any, path: str | Path) -> None:
    """Write a fitted meta-learner to a ``.safetensors`` file: tensors, and JSON; no pickle.

    Raises
    ------
    TypeError
        If a parameter is no plain value, such as a module of the user's.
    """
    check_is_fitted(learner, "n_iter_")
    params = {name: value for name, value in learner.get_params(deep=False).items() if name not in NOT_SAVED}
    odd = [name for name, value in params.items() if not _is_plain(value) and not isinstance(value, nn.Module)]
    if odd:
        raise TypeError(
            f"{', '.join(odd)} of this {type(learner).__name__} cannot be written as JSON; save needs plain values."
        )
    given = [name for name, value in params.items() if isinstance(value, nn.Module)]
    header = {
        "format": FORMAT,
        "learner": type(learner).__name__,
        "params": {name: _plain(value) for name, value in params.items() if name not in given},
        "given": given,
        "spec": dataclasses.asdict(learner._spec),
        "n_outputs": learner.n_outputs_,
        "n_iter": learner.n_iter_,
        "is_regression": learner.is_regression_,
        "n_features_in": getattr(learner, "n_features_in_", None),
        "seed": learner._learned.plan.encoder.seed,
    }
    write_whole(Path(path), encode_tensors(learner._learned.tensors, header))


@in_plain_modes
def load_learner(path: str | Path, **modules: nn.Module) -> Any:
    """Return the meta-learner that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    **modules : Module
        The modules that were given to the learner as parameters, by parameter: files do not hold code.

    Raises
    ------
    WeightsError
        If the file is damaged, is none of a meta-learner, or a module that it needs is not given.

    Examples
    --------
    >>> import tempfile, os, numpy as np
    >>> from sktl.fewshot import ProtoNetLearner, load_learner
    >>> X, y = np.random.default_rng(0).random((20, 3)), np.repeat(range(5), 4)
    >>> learner = ProtoNetLearner(n_way=3, n_query=2, n_episodes=10, random_state=0).fit(X, y)
    >>> path = os.path.join(tempfile.mkdtemp(), "learner.safetensors")
    >>> learner.save(path)
    >>> bool(np.array_equal(load_learner(path).transform(X), learner.transform(X)))
    True
    """
    from sktl import fewshot

    try:
        tensors, header = read_tensors(Path(path))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{str(path)!r} cannot be read as a meta-learner's file: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("learner") not in fewshot.__all__:
        raise WeightsError(f"{str(path)!r} is no file that a meta-learner's save wrote.")
    missing = sorted(set(header["given"]) ^ set(modules))
    if missing:
        raise WeightsError(
            f"{str(path)!r} was saved by a learner with modules of its own for {header['given'] or 'none'}: pass "
            f"them to load_learner by these names; got {sorted(modules) or 'none'}."
        )
    params = {name: tuple(v) if isinstance(v, list) else v for name, v in header["params"].items()}
    params = {name: value for name, value in params.items() if name not in (*NOT_SAVED, "cache", "checkpoint_dir")}
    learner = getattr(fewshot, header["learner"])(**params, **modules)
    spec = InputSpec.of_json(header["spec"])
    plan = learner._plan(spec, header["n_outputs"], header["seed"])
    learner._spec, learner.n_outputs_, learner.n_iter_ = spec, header["n_outputs"], header["n_iter"]
    learner.is_regression_ = header["is_regression"]
    learner._learned, learner.history_ = LearnedMethod(plan, tensors), []
    if header["n_features_in"] is not None:
        learner.n_features_in_ = header["n_features_in"]
    return learner


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
