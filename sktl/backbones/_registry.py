"""From a name to a network, its weights and its preprocessing: embedded, torchvision, timm."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import inspect
import io
import math
import os
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import nn
from torch.hub import get_dir as hub_dir

from sktl._digests import check_sha256
from sktl._draws import OwnDraws
from sktl._preprocessing import CROP_MODES, INTERPOLATIONS, Preprocessing
from sktl._validation import did_you_mean, shorten
from sktl.backbones._embedded import EmbeddedProvider
from sktl.backbones._provider import Provider
from sktl.backbones._weights import HASH_IN_NAME, load_strictly, looks_like_path, read_state_dict
from sktl.exceptions import BackboneNotFoundError, WeightsError


class TorchvisionProvider(Provider):
    """torchvision's classification models, weights by their enum's name."""

    def names(self) -> list[str]:
        return _torchvision_names()

    def canonical(self, name: str) -> str | None:
        return super().canonical(name.removeprefix("torchvision/"))

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
        return _timm_names()

    def canonical(self, name: str) -> str | None:
        return name if super().canonical(name.split(".", 1)[0]) is not None else None  # a tag is kept

    def architecture(self, name: str) -> nn.Module:
        plain = self._architecture_name(name)
        try:  # position embeddings are interpolated where pictures are not of the trained size
            return timm.create_model(plain, pretrained=False, dynamic_img_size=True)
        except TypeError:  # a network without such embeddings, or one that cannot
            return timm.create_model(plain, pretrained=False)

    def load_file(self, name: str, module: nn.Module, path: str | os.PathLike) -> None:
        """Fill `module` with a file in timm's layout, or in one that timm's own conversion for this network reads.

        Such are those of the papers' authors, and of two towers (open_clip's), of which the image tower is taken.
        """
        tensors = read_state_dict(path)
        try:
            load_strictly(module, tensors, origin=str(path))
        except WeightsError:
            try:
                given = {"state_dict": tensors}
                plain = self._architecture_name(name)
                with OwnDraws(0), contextlib.redirect_stdout(io.StringIO()):  # the conversion prints what it leaves out
                    converted = timm.create_model(plain, pretrained=True, pretrained_cfg_overlay=given).state_dict()
            except Exception:  # of whatever kind a layout that it does not know meets there
                converted = None
            if converted is None:
                raise
            load_strictly(module, converted, origin=str(path))

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


@functools.cache
def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


@functools.cache
def _timm_names() -> list[str]:
    return [f"timm/{name}" for name in timm.list_models()]


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


def _refuse_taken(name: str) -> None:
    """Raise where a source of the user's gives a network a name of the library's: which is meant is not clear."""
    for provider in _providers():
        if type(provider) not in PROVIDERS and name in provider.names():
            raise ValueError(
                f"{name!r} is a network of the library, and one of your {type(provider).__name__} too. Give yours "
                "another name."
            )


def find_network(name: str) -> tuple[Provider, str]:
    """Return the source of the network that `name` means, and its public name there.

    Raises
    ------
    BackboneNotFoundError
        With the nearest names.
    """
    own = [provider for provider in _providers() if type(provider) not in PROVIDERS]
    ours = [provider for provider in _providers() if type(provider) in PROVIDERS]
    # Of users' sources the one defined last counts, as where a cell of a notebook is run again.
    for provider in (*ours, *reversed(own)):
        public = provider.canonical(name)
        if public is not None:
            if provider in ours:
                _refuse_taken(public)
            return provider, public
    known = [public for provider in _providers() for public in provider.names()]
    prefixes = list(dict.fromkeys(public.partition("/")[0] for public in known if "/" in public))
    has_prefix = name.partition("/")[0] in prefixes
    hint = did_you_mean(name, known)
    for prefix in () if has_prefix else prefixes:
        hint = hint or did_you_mean(f"{prefix}/{name}", known)
    if os.path.exists(name) or (looks_like_path(name) and not has_prefix):
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
    provider, public = find_network(name)
    with OwnDraws(seed):
        module = provider.architecture(public)
    if looks_like_path(weights):
        provider.load_file(public, module, weights)  # type: ignore[arg-type]
    elif weights is not None:
        provider.load_published(public, module, str(weights))
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
        The embedded networks first, then torchvision's, then timm's (``"timm/..."``).

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
