"""What X is to a meta-learner, feature rows or pictures, and its way onto the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl._inputs import InputKind, decoded, read, understand
from sktl._magnitudes import check_magnitude
from sktl._preprocessing import Preprocessing
from sktl.backbones import declared_channels, load_backbone
from sktl.images import PictureSource

OWN_NETWORKS = ("auto", "conv4", "mlp", "residual", "identity")  # what is no backbone's name
FILE_SIZE = (84, 84)  # pixels at which files are seen by a network without a size of its own


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
        What is black and white in pictures, where their type does not say it.
    channels : {"none", "first", "last", "any", ""}
        Where pictures that were no rows had their channels.
    """

    kind: str
    shape: tuple[int, ...]
    image_shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    channels: str = ""

    @property
    def input_kind(self) -> InputKind:
        """All of it but the shape."""
        return InputKind(self.kind, self.image_shape, self.value_range, self.channels)

    @property
    def is_rows(self) -> bool:
        """Whether X holds feature rows."""
        return self.input_kind.is_rows

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> InputSpec:
        """Return the spec that `dataclasses.asdict` took apart."""
        image_shape, value_range = values["image_shape"], values["value_range"]
        return cls(
            values["kind"],
            tuple(values["shape"]),
            None if image_shape is None else tuple(image_shape),
            None if value_range is None else tuple(value_range),
            values.get("channels", ""),
        )


def learn_input(estimator: Any, X: Any) -> tuple[InputSpec, Tensor]:
    """Understand X in `fit`; returns what it is, and its rows: float64 (n, d) or uint8 (n, channels, height, width)."""
    backbone = estimator.backbone
    kind = understand(
        estimator, X, "auto" if isinstance(backbone, str) and backbone in ("mlp", "residual", "identity") else backbone
    )
    data = _data(estimator, X, kind, reset=True)
    if kind.is_rows:
        return InputSpec(kind.name, (data.shape[1],)), torch.from_numpy(data)
    if isinstance(backbone, str) and backbone in ("mlp", "residual"):
        raise ValueError(
            f"backbone={backbone!r} takes feature rows, a 2-D X; X holds pictures. Use 'auto', 'conv4' or a name."
        )
    has_backbone = isinstance(backbone, str) and backbone not in OWN_NETWORKS
    channels = 1 if data.shape is not None and data.shape[3] == 1 and not has_backbone else 3
    if isinstance(backbone, nn.Module):  # a module of the user's takes what it was made for
        channels = declared_channels(backbone) or channels
    size = _size(estimator.image_size, backbone if has_backbone else None, data)
    spec = InputSpec(kind.name, (channels, *size), kind.image_shape, kind.value_range, kind.channels)
    return spec, _pictures(data, spec)


def read_input(estimator: Any, X: Any, spec: InputSpec) -> Tensor:
    """Return the rows of an X like the one in `fit`.

    Raises
    ------
    ValueError
        If X is of another kind.
    """
    data = _data(estimator, X, spec.input_kind, reset=False)
    return torch.from_numpy(data) if spec.is_rows else _pictures(data, spec)


def _data(estimator: Any, X: Any, kind: InputKind, *, reset: bool) -> Any:
    """Return the rows as a float64 array, or a source of pictures that are known to be readable."""
    data = read(estimator, X, kind, reset=reset)
    if kind.is_rows:
        check_magnitude(data)
        return np.ascontiguousarray(data)
    if not len(data):
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by {type(estimator).__name__}."
        )
    data.check()
    return data


def _size(image_size: Any, backbone: Any, source: PictureSource) -> tuple[int, int]:
    if image_size is not None:
        return (int(image_size),) * 2 if np.ndim(image_size) == 0 else tuple(map(int, image_size))  # type: ignore[return-value]
    if backbone is not None:
        return load_backbone(backbone).preprocessing.size
    return source.shape[1:3] if source.shape is not None else FILE_SIZE


def _pictures(source: PictureSource, spec: InputSpec) -> Tensor:
    channels, height, width = spec.shape
    return decoded(source, Preprocessing(size=(height, width), crop_pct=1.0), channels)
