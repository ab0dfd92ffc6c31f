"""Which engine runs a network: the choice, the fall-back, and the ones already built."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch

from sktl._forking import ForkSafeLock
from sktl._memory import Remembered, emptied_on_request
from sktl._openvino import is_lost, lose_after_fork
from sktl._warn_once import warn_user
from sktl.backbones._backbone import Backbone
from sktl.backbones._engine import Engine, TorchEngine
from sktl.backbones._openvino import OpenVINOEngine
from sktl.backbones._recipe import CodeRecipe
from sktl.exceptions import EngineWarning

ENGINES = ("auto", "torch", "openvino")
WORTH_COMPILING = 500  # pictures of 224 x 224; OpenVINO's compiling takes as long as it saves on some 200 to 400
KEPT_ENGINES = 8  # of a network
MOST_REFUSED = 1024

_built: WeakKeyDictionary[Backbone, Remembered[tuple, Engine]] = WeakKeyDictionary()  # they refer to no Backbone
_refused: set[tuple] = set()
_lock = ForkSafeLock()


def _after_fork_in_child() -> None:
    """Leave behind what works by threads of the parent: they do not exist here, and would be waited for for ever."""
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)  # GNU's OpenMP, which most builds of torch use, does not outlive a fork
    lose_after_fork()
    for backbone, engines in list(_built.items()):
        if backbone.lock.was_abandoned:
            backbone._prepared.clear()  # a pass that was under way has left its hooks there
        for key, engine in list(engines.items()):
            if isinstance(engine, OpenVINOEngine) or backbone.lock.was_abandoned:
                # A new one is built when needed. To free OpenVINO's would be to wait for its threads: it stays.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(engines.pop(key)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@emptied_on_request
def _forget() -> None:
    with _lock:
        _built.clear()
        _refused.clear()


def built_engines() -> dict[tuple, Engine]:
    """Return the engines of all networks."""
    return {(*key, backbone.fingerprint): engine for backbone, of in _built.items() for key, engine in of.items()}


def planned_engine(requested: str, recipe: CodeRecipe, device: torch.device, n_pictures: int) -> str:
    """Return the name of the engine that would run `recipe`, without building it.

    "auto" is OpenVINO on a CPU in float32, if it is installed, for work that repays compiling: many pictures, or a
    network that is compiled already. In a process forked off one that had loaded OpenVINO it is PyTorch. In 8 bits it
    is OpenVINO always.

    Parameters
    ----------
    requested : {"auto", "torch", "openvino"}
        What the user asked for.
    recipe : CodeRecipe
        What to compute.
    device : torch.device
        Where.
    n_pictures : int
        How many pictures are to be run now.
    """
    key = _key(recipe, device)
    if recipe.dtype == torch.int8:
        return "openvino"
    if requested == "torch" or key in _refused:
        return "torch"
    if requested == "openvino":
        return "openvino"
    possible = device.type == "cpu" and recipe.dtype == torch.float32 and not is_lost()
    if not possible or importlib.util.find_spec("openvino") is None:
        return "torch"
    height, width = recipe.preprocessing.size
    is_worth_it = n_pictures * height * width >= WORTH_COMPILING * 224 * 224
    return "openvino" if is_worth_it or ("openvino", *key) in _built.get(recipe.backbone, ()) else "torch"


def get_engine(
    requested: str, recipe: CodeRecipe, device: torch.device, n_pictures: int, compile: bool = False
) -> Engine:
    """Return the engine that runs `recipe` (see `planned_engine`), built once per process.

    Warns
    -----
    EngineWarning
        Once per network, if OpenVINO was to run it and cannot; PyTorch does then.

    Raises
    ------
    ValueError
        If the network cannot run in the 8 bits that the recipe asks for.
    """
    key = _key(recipe, device)
    with _lock:
        if planned_engine(requested, recipe, device, n_pictures) == "openvino":
            engine = _openvino(key, recipe, requested)
            if engine is not None:
                return engine
        return _kept(recipe.backbone, ("torch", compile, *key), lambda: TorchEngine(recipe, device, compile))


def resuming_engine(recipe: CodeRecipe, start: str, device: torch.device) -> Engine:
    """Return the engine that computes `recipe` on from the outputs of the layer `start`, built once per process.

    Raises
    ------
    ValueError
        If something goes round that layer.
    """
    with _lock:
        key = ("resuming", start, *_key(recipe, device))
        return _kept(recipe.backbone, key, lambda: TorchEngine(recipe, device, start=start))


def _key(recipe: CodeRecipe, device: torch.device) -> tuple:
    shown = recipe.layers, recipe.pooling, recipe.preprocessing, recipe.dtype, recipe.calibration
    return (recipe.backbone.fingerprint, *shown, device)


def _openvino(key: tuple, recipe: CodeRecipe, requested: str) -> Engine | None:
    try:
        if key[-1].type != "cpu" or recipe.dtype not in (torch.float32, torch.int8):
            raise RuntimeError("it runs on the CPU in float32 only")
        return _kept(recipe.backbone, ("openvino", *key), lambda: OpenVINOEngine(recipe))
    except Exception as error:  # OpenVINO raises types of its own for each layer that it does not know
        if recipe.dtype == torch.int8:
            raise ValueError(
                f"precision='int8': {recipe.backbone.name!r} cannot run in 8 bits here: {_first_line(error)}. Use "
                "precision='float32', or a calibration by pictures of your own."
            ) from error
        if len(_refused) >= MOST_REFUSED:
            _refused.clear()
        _refused.add(key)
        advice = " (pip install openvino)" if isinstance(error, ImportError) else ""
        warn_user(
            f"engine={requested!r}: OpenVINO cannot run {recipe.backbone.name!r}{advice}: "
            f"{_first_line(error)}. PyTorch computes the codes instead.",
            EngineWarning,
        )
        return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _kept(backbone: Backbone, key: tuple, build: Callable[[], Engine]) -> Engine:
    return _built.setdefault(backbone, Remembered(KEPT_ENGINES)).get_or_make(key, build)
