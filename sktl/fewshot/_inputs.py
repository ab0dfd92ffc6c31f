"""What X is to a meta-learner, feature rows or pictures, and its way onto the device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.utils.validation import _check_feature_names, validate_data
from torch import Tensor

from sktl._preprocessing import Preprocessing
from sktl.backbones import load_backbone
from sktl.images import PictureSource, as_pictures, is_numeric_rows, iter_batches, row_value_range

ROWS, FLAT_PICTURES, PICTURES = "feature rows", "flattened pictures", "pictures"
OWN_NETWORKS = ("auto", "conv4", "mlp", "identity")  # what is no backbone's name
FILE_SIZE = (84, 84)  # pixels at which files are seen by a network without a size of its own
LUMA = (0.299, 0.587, 0.114)
DECODED_AT_ONCE = 256


@dataclass(frozen=True)
class InputSpec:
    """How X was understood in `fit`: plain values, which JSON takes.

    Attributes
    ----------
    kind : {"feature rows", "flattened pictures", "pictures"}
        What it was.
    shape : tuple of int
        Of a row as the network sees it: (n_features,) or (channels, height, width).
    image_shape : tuple of int or None
        Of flattened pictures, as the user gave it.
    value_range : (float, float) or None
        What was black and white in flattened pictures.
    """

    kind: str
    shape: tuple[int, ...]
    image_shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None

    @property
    def is_rows(self) -> bool:
        """Whether X holds feature rows."""
        return self.kind == ROWS

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> InputSpec:
        """Return the spec that `dataclasses.asdict` took apart."""
        image_shape, value_range = values["image_shape"], values["value_range"]
        return cls(
            values["kind"],
            tuple(values["shape"]),
            None if image_shape is None else tuple(image_shape),
            None if value_range is None else tuple(value_range),
        )


def learn_input(estimator: Any, X: Any) -> tuple[InputSpec, Tensor]:
    """Understand X in `fit`; returns what it is, and its rows: float64 (n, d) or uint8 (n, channels, height, width)."""
    module, image_shape = estimator.module, estimator.image_shape
    is_named = isinstance(module, str) and module not in ("auto", "mlp", "identity")
    if _is_2d(X) and image_shape is None and not is_named:
        rows = _rows(estimator, X, reset=True)
        return InputSpec(ROWS, (rows.shape[1],)), rows
    if isinstance(module, str) and module == "mlp":
        raise ValueError("module='mlp' takes feature rows, a 2-D X; X holds pictures. Use 'auto', 'conv4' or a name.")
    kind, value_range = (FLAT_PICTURES, row_value_range(X)) if _is_2d(X) else (PICTURES, None)
    image_shape = None if image_shape is None else tuple(image_shape)
    source = _source(estimator, X, kind, image_shape, value_range, reset=True)
    has_backbone = isinstance(module, str) and module not in OWN_NETWORKS
    channels = 1 if source.shape is not None and source.shape[3] == 1 and not has_backbone else 3
    size = _size(estimator.image_size, module if has_backbone else None, source)
    spec = InputSpec(kind, (channels, *size), image_shape, value_range)
    return spec, _decoded(source, spec)


def read_input(estimator: Any, X: Any, spec: InputSpec) -> Tensor:
    """Return the rows of an X like the one in `fit`.

    Raises
    ------
    ValueError
        If X is of another kind.
    """
    if _is_2d(X) if spec.kind == PICTURES else _holds_pictures(X):
        found = "a 2-D array" if _is_2d(X) else "pictures"
        raise ValueError(
            f"This {type(estimator).__name__} was fitted on {spec.kind}, but X holds {found}. "
            + (
                f"Expected 2D array of shape (n, {getattr(estimator, 'n_features_in_', 'n_features')})."
                if spec.kind != PICTURES
                else "Pass pictures as (n, height, width), (n, height, width, channels), paths or PIL images."
            )
        )
    if spec.is_rows:
        return _rows(estimator, X, reset=False)
    return _decoded(_source(estimator, X, spec.kind, spec.image_shape, spec.value_range, reset=False), spec)


def _rows(estimator: Any, X: Any, *, reset: bool) -> Tensor:
    X = np.asarray(X) if type(X).__module__.startswith(("torch", "dask")) else X
    return torch.from_numpy(np.ascontiguousarray(validate_data(estimator, X, reset=reset, dtype=np.float64)))


def _source(estimator: Any, X: Any, kind: str, image_shape: Any, value_range: Any, *, reset: bool) -> PictureSource:
    if kind == FLAT_PICTURES:
        is_bytes = getattr(X, "dtype", None) in (np.uint8, np.bool_)
        X = np.asarray(X) if type(X).__module__.startswith(("torch", "dask")) else X
        X = validate_data(estimator, X, reset=reset, dtype=None if is_bytes else "numeric")
    else:
        _check_feature_names(estimator, X, reset=reset)
    source = as_pictures(X, image_shape=image_shape, value_range=value_range)
    if not len(source):
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by {type(estimator).__name__}."
        )
    source.check()
    return source


def _size(image_size: Any, backbone: Any, source: PictureSource) -> tuple[int, int]:
    if image_size is not None:
        return (int(image_size),) * 2 if np.ndim(image_size) == 0 else tuple(map(int, image_size))  # type: ignore[return-value]
    if backbone is not None:
        return load_backbone(backbone).preprocessing.size
    return source.shape[1:3] if source.shape is not None else FILE_SIZE


def _decoded(source: PictureSource, spec: InputSpec) -> Tensor:
    channels, *size = spec.shape
    preprocessing = Preprocessing(size=(size[0], size[1]), crop_pct=1.0)
    out = torch.empty((len(source), *spec.shape), dtype=torch.uint8)
    start = 0
    for _, batch in iter_batches(source, preprocessing, batch_size=DECODED_AT_ONCE):  # (b, 3, height, width)
        if channels == 1 and source.shape is not None and source.shape[3] == 1:
            batch = batch[:, :1]
        elif channels == 1:
            batch = (batch * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).round().to(torch.uint8)
        out[start : start + len(batch)] = batch
        start += len(batch)
    return out


def _is_2d(X: Any) -> bool:
    return is_numeric_rows(X) or (getattr(X, "ndim", None) == 2 and type(X).__module__.startswith(("torch", "dask")))


def _holds_pictures(X: Any) -> bool:
    if isinstance(X, (list, tuple)) and len(X):
        return isinstance(X[0], (str, os.PathLike, Image.Image)) or getattr(X[0], "ndim", 0) > 1
    return (getattr(X, "ndim", None) or 0) > 2 or (
        not _is_2d(X) and getattr(getattr(X, "dtype", None), "kind", "f") in "OUST"
    )
