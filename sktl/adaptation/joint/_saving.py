"""An adapted estimator as one file: its whole network as tensors, and how it is rebuilt."""

from __future__ import annotations

import os
from typing import Any

from sklearn.utils.validation import check_is_fitted

from sktl._inputs import InputKind
from sktl._modes import InPlainModes
from sktl._preprocessing import Preprocessing
from sktl._saving import Codec, SavedModel, check_tensors, params_of, read_model, tensors_of_scaler, write_model
from sktl.adaptation import losses
from sktl.adaptation.joint._description import described, named_backbone, rebuilt
from sktl.adaptation.joint._fitted_network import FittedNetwork
from sktl.adaptation.joint._network import HEADS, HIDDEN, AdaptedNetwork, fresh_module, hidden_units
from sktl.adaptation.losses import DomainLoss
from sktl.exceptions import WeightsError

ATTRIBUTES = (
    "classes_", "n_outputs_", "_is_single", "n_iter_", "history_", "best_epoch_", "n_features_in_",
    "feature_names_in_", "learning_rate_",
    "batch_size_", "steps_per_epoch_", "max_epochs_", "n_trained_", "n_parameters_", "domains_", "is_target_domain_",
    "loss_", "bottleneck_", "optimizer_", "batch_norm_", "target_shares_", "unknown_share_",
)  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16")
MOST_UNITS = 2**20
LOSSES = [getattr(losses, name) for name in losses.__all__]
CODEC = Codec(
    Preprocessing,
    InputKind,
    *(c for c in LOSSES if isinstance(c, type) and issubclass(c, DomainLoss) and c is not DomainLoss),
)


class Savable(InPlainModes):
    """Mixin of the domain-adapted estimators."""

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to one safetensors file: its network, and JSON; no pickle.

        The file is written whole or not at all.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        OSError
            If it cannot be written; what stood there before is left.
        """
        check_is_fitted(self, "n_iter_")
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, backbone: Any = None) -> Any:
        """Return the estimator that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        backbone : Module or callable, default=None
            The network that was given to the constructor, where it was no name.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, of another estimator, or does not fit its network: what does not is named.
        """
        saved = read_model(path, {cls.__name__: cls}, CODEC)
        with saved.checking():
            return _loaded(saved, backbone)


def save_estimator(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator."""
    params, left_out = params_of(estimator, CODEC)
    learned: FittedNetwork = estimator._learned
    network = learned.network
    header = {
        "params": params,
        "attributes": {name: CODEC.to_json(vars(estimator)[name]) for name in ATTRIBUTES if hasattr(estimator, name)},
        "kind": CODEC.to_json(estimator._kind), "dtype": estimator._dtype, "is_pretrained": estimator._is_pretrained,
        "is_given": "backbone" in left_out, "preprocessing": CODEC.to_json(learned.preprocessing),
        "n_channels": learned.n_channels, **described(network, is_own=learned.is_own),
    }  # fmt: skip
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    for name in ("_scaler", "_target_scaler"):
        tensors |= tensors_of_scaler(getattr(estimator, name, None), name)
    write_model(path, estimator, header, tensors)


def _loaded(saved: SavedModel, backbone: Any) -> Any:
    header = saved.header
    if header["is_given"] is not False and backbone is None:
        raise WeightsError(
            f"{saved.where} was fitted with a network of the user's own, and files hold no code: pass it, as it was "
            "before fit, by load(path, backbone=...)."
        )
    estimator = saved.estimator(**({} if backbone is None else {"backbone": backbone}))
    attributes, kind, preprocessing = saved.attributes(ATTRIBUTES), saved.value("kind"), saved.value("preprocessing")
    if not isinstance(kind, InputKind) or kind.is_rows != (preprocessing is None):
        raise ValueError("its network does not go with its input")
    own = {name.removeprefix("network/"): t for name, t in saved.tensors.items() if name.startswith("network/")}
    n_outputs = len(attributes["classes_"]) if "classes_" in attributes else attributes["n_outputs_"]
    network = _network(saved, estimator, own, n_outputs, preprocessing)
    expected = network.state_dict()
    check_tensors(saved.where, own, expected, needed=expected)
    network.load_state_dict(own)
    estimator.__dict__.update({"history_": []} | attributes)
    if header["dtype"] not in DTYPES:
        raise ValueError("there is no such precision")
    estimator._kind, estimator._dtype = kind, header["dtype"]
    estimator._is_pretrained = header["is_pretrained"] is True
    n_columns = header["n_columns"]
    estimator._scaler = saved.scaler("_scaler", n_columns) if header["is_own"] is True else None
    target_scaler = saved.scaler("_target_scaler", n_outputs)
    if target_scaler is not None:
        estimator._target_scaler = target_scaler
    elif "classes_" not in attributes:
        raise ValueError("the scaler of its targets is missing")
    estimator._learned = FittedNetwork(network, preprocessing, header["n_channels"], header["is_own"] is True)
    estimator._learned.name = estimator.backbone if header["is_given"] is False else None
    return estimator


def _network(
    saved: SavedModel, estimator: Any, tensors: dict[str, Any], n_classes: int, preprocessing: Preprocessing | None
) -> AdaptedNetwork:
    """Return a network of the make that a file describes, whose sizes are checked by its tensors before it is built."""
    header = saved.header
    n_codes, bottleneck, n_columns, n_channels = (
        _size(saved, name) for name in ("n_codes", "bottleneck", "n_columns", "n_channels")
    )
    fits = (
        n_codes is not None and header["head"] in HEADS and _shape_into(tensors) == (n_classes, bottleneck or n_codes)
    )
    if bottleneck is not None:
        fits &= tuple(tensors["bottleneck.0.weight"].shape) == (bottleneck, n_codes)
    if n_codes is None or not fits:
        raise ValueError("its sizes are not those of its tensors")
    if preprocessing is not None and not (isinstance(preprocessing, Preprocessing) and n_channels):
        raise ValueError("it does not say how pictures are prepared")
    backbone = None
    if header["is_own"] is True:
        if n_columns is None or not _is_of_rows(header, tensors, n_codes, n_columns):
            raise ValueError("its sizes are not those of its tensors")
    elif header["is_given"] is False:
        backbone = named_backbone(estimator.backbone, preprocessing)
    else:
        backbone = fresh_module(estimator.backbone, "default", 0)
    return rebuilt(header, backbone, n_classes, preprocessing, n_channels or 0)


def _is_of_rows(header: dict[str, Any], tensors: dict[str, Any], n_codes: int, n_columns: int) -> bool:
    """Whether the library's own network for rows has the sizes that a file describes."""
    if header.get("is_regression") is True:
        n_hidden = hidden_units(n_columns)
        return n_codes == n_columns + n_hidden and tensors["backbone.first.weight"].shape == (n_hidden, n_columns)
    if header.get("is_linear") is True:
        return tensors["backbone.directions.weight"].shape == (n_codes, n_columns)
    return tensors["backbone.0.weight"].shape == (n_codes, n_columns) and n_codes <= HIDDEN[1]


def _size(saved: SavedModel, name: str) -> int | None:
    value = saved.header[name]
    if value is not None and not (type(value) is int and 0 <= value <= MOST_UNITS):
        raise ValueError(f"{name} cannot be {str(value)[:40]}")
    return value


def _shape_into(tensors: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of the classifier's weights."""
    found = [tensors[name] for name in ("classifier.weight", "classifier.direction") if name in tensors]
    return tuple(found[0].shape) if found else ()
