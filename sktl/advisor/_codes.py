"""One pass of each backbone over the sample: the codes of all its layers, and what else it tells on the way."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler, normalize
from torch import nn

from sktl._array_api import take_rows
from sktl._deadline import OutOfTimeError
from sktl._extraction import as_size
from sktl._inputs import ROWS
from sktl._magnitudes import standardiser
from sktl._preprocessing import Preprocessing
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.advisor._made_codes import checked_codes, n_components_of
from sktl.advisor._problem import TEXT, Problem
from sktl.advisor._text_models import words
from sktl.backbones import Backbone, installed_networks, layer_info, load_backbone, resolve_layers
from sktl.exceptions import BadImageError, PictureWarning
from sktl.features import CNNCodesTransformer, TextCodesTransformer
from sktl.images import as_pictures, iter_batches
from sktl.texts import installed_encoders

EMBEDDED = "efficientnet_lite0"
PENULTIMATE, ALL, PIXELS, AS_THEY_ARE, CODES = "penultimate", "all", "pixels", "as they are", "codes"
NO_NETWORK = "none"
PIXEL_SIDE = 16


@dataclass(frozen=True)
class LayerCodes:
    """What one layer shows of the sample's rows.

    Attributes
    ----------
    backbone : str
        As the user reads it.
    item : Any
        What was given for it; None for pixels and feature rows.
    layer : str
        "penultimate", "all", a layer's name, "pixels", "codes" or "as they are".
    depth : float
        From 0, pixels, to 1, what enters the classifier.
    codes : ndarray of shape (n, n_codes)
        Of unit length; feature rows and pixels standardised.
    n_components : int or None
        How many principal components sparse codes can be brought to, by what takes no sparse rows; None of dense ones.
    parts : tuple of LayerCodes
        Layers that stand side by side in `codes`, each with a classifier of its own; empty for one layer.
    alias : str or None
        Of the last layer: the one among "all" with the same codes, if there is one.
    stages : dict of str to slice
        Of "all": whose columns are whose.
    side : float or None
        Of pictures as the network sees them, in pixels; None of other rows.
    """

    backbone: str
    item: Any
    layer: str
    depth: float
    codes: np.ndarray
    n_components: int | None = None
    parts: tuple[LayerCodes, ...] = ()
    alias: str | None = None
    stages: dict[str, slice] = field(default_factory=dict)
    side: float | None = None

    @property
    def is_pretrained(self) -> bool:
        """Whether a network, or a transformer, made them."""
        return self.item is not None


@dataclass
class Extraction:
    """What all backbones show.

    Attributes
    ----------
    layers : list of LayerCodes
        In the order of the backbones, then of depth; each of the same rows.
    rows : ndarray of int
        Their row numbers in X: the readable ones of the sample, labelled ones first.
    unreadable : dict of int to str
        What is wrong with pictures, by their row number.
    failed : dict of str to str
        Why a backbone was left out.
    seconds : dict of str to float
        Time a picture.
    moved : dict of str to float
        Mean squared distance of a layer's means from the network's own statistics, in its variances.
    source_proba : dict of str to ndarray
        The network's own predictions.
    """

    layers: list[LayerCodes] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    unreadable: dict[int, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    source_proba: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pass:
    """The codes that one backbone made; `slices` says which columns are whose, None for any other transformer.

    `stages` are the layers that "all" is, if it was asked for.
    """

    item: Any
    name: str
    codes: np.ndarray
    slices: dict[str, slice] | None = None
    depths: dict[str, float] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    n_components: int | None = None
    side: float | None = None


def extract(advisor: Any, problem: Problem) -> Extraction:
    """Run every backbone over the sample once.

    Raises
    ------
    ValueError
        If no backbone can be used.
    BadImageError
        If no picture can be read.
    """
    found = Extraction(rows=np.concatenate([problem.labelled, problem.unlabelled]))
    X = take_rows(problem.X, found.rows)
    if problem.kind == ROWS:
        found.layers.append(LayerCodes(NO_NETWORK, None, AS_THEY_ARE, 0.0, standardiser(X).transform(X)))
    errors: list[Exception] = []
    passes: list[_Pass] = []
    for item, name in _items(advisor.backbones, problem):
        try:
            _check_loads(item)
            passes.append(_run(advisor, problem, item, X, found, name))
        except (OutOfTimeError, BadImageError, MemoryError):  # of the time, the pictures, the machine
            raise
        except Exception as error:  # a callable may raise anything, and so may its network; the others still advise
            errors.append(error)
            found.failed[name] = str(error)
    if errors and not passes:
        raise ValueError(
            "No backbone could be loaded: " + shorten(f"{n}: {reason}" for n, reason in found.failed.items())
        ) from errors[0]
    if errors:
        warn_user("Left out, for they could not be loaded: " + shorten(f"{n} ({w})" for n, w in found.failed.items()))
    readable = ~np.isin(found.rows, list(found.unreadable))
    found.rows = found.rows[readable]
    for one in passes:
        found.layers += _layers(one, readable)
    if problem.is_pictures:
        pixels = pixel_rows(advisor, take_rows(problem.X, found.rows))
        found.layers.append(LayerCodes(NO_NETWORK, None, PIXELS, 0.0, pixels))
    return found


def pixel_rows(advisor: Any, X: Any) -> np.ndarray:
    """Return pictures of 16 x 16 pixels as standardised rows: what there is without a network."""
    source = as_pictures(X, image_shape=advisor._kind.image_shape, value_range=advisor._kind.value_range)
    rows = np.empty((len(source), 3 * PIXEL_SIDE**2))
    for which, batch in iter_batches(source, Preprocessing((PIXEL_SIDE,) * 2, crop_pct=1.0), batch_size=256):
        rows[which] = batch.numpy().reshape(len(which), -1)
    return StandardScaler().fit_transform(rows)


def shown(item: Any) -> str:
    """Return a backbone as the user reads it."""
    if isinstance(item, str):
        return item
    if isinstance(item, CNNCodesTransformer):
        return shown(item.backbone)
    return type(item).__name__ if not callable(item) or isinstance(item, nn.Module) else item.__name__


def transformer_of(advisor: Any, item: Any, layers: Any, **options: Any) -> CNNCodesTransformer:
    """Return an unfitted transformer of a backbone, with the advisor's settings where they are not the defaults."""
    if isinstance(item, CNNCodesTransformer):
        return clone(item).set_params(layers=layers, **options)
    given = {
        "image_shape": advisor.image_shape, "value_range": advisor.value_range, "image_size": advisor.image_size,
        "n_jobs": advisor.n_jobs, "cache": advisor.cache,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if advisor.device != "auto":
        given["device"] = advisor.device
    backbone = {} if item == EMBEDDED else {"backbone": item}
    return CNNCodesTransformer(**backbone, layers=layers, **given, **options)


def _items(backbones: Any, problem: Problem) -> list[tuple[Any, str]]:
    if isinstance(backbones, str) and backbones == "auto":
        auto = {ROWS: [], TEXT: [words()]}
        items = auto.get(problem.kind, [EMBEDDED])
    elif isinstance(backbones, str) and backbones == "installed":
        texts = [words(), *map(TextCodesTransformer, installed_encoders())]
        items = {ROWS: [], TEXT: texts}.get(problem.kind, installed_networks())
    else:
        items = list(backbones) if isinstance(backbones, (list, tuple)) else [backbones]
    if not problem.is_pictures:
        odd = [shown(item) for item in items if not _is_transformer(item) or isinstance(item, CNNCodesTransformer)]
        if odd:
            raise ValueError(
                f"X holds {problem.kind}, and backbones {shorten(odd)} take pictures. For pictures that are flattened "
                "into rows pass image_shape=(height, width); else leave backbones='auto', or pass a transformer."
            )
    names = [shown(item) for item in items]
    return [
        (item, name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})")
        for i, (item, name) in enumerate(zip(items, names))
    ]


def _check_loads(item: Any) -> None:
    """Raise what loading a backbone raises."""
    if isinstance(item, CNNCodesTransformer):
        load_backbone(item.backbone, item.weights, seed=item.random_state)
    elif not _is_transformer(item):
        load_backbone(item)


def _is_transformer(item: Any) -> bool:
    return hasattr(item, "fit_transform") and not isinstance(item, (CNNCodesTransformer, type))


def _run(advisor: Any, problem: Problem, item: Any, X: Any, found: Extraction, name: str) -> _Pass:
    """Return the codes of all rows of X, and note what the network tells on the way."""
    start = time.perf_counter()
    if _is_transformer(item):
        transformer = clone(item)
        codes = transformer.fit_transform(X)
        found.seconds[name] = (time.perf_counter() - start) / len(found.rows)
        kept = n_components_of(codes)
        return _Pass(item, name, checked_codes(codes, len(found.rows), advisor.random_state), n_components=kept)
    transformer = transformer_of(advisor, item, advisor.layers, on_bad="report", verbose=advisor.verbose)
    network = load_backbone(transformer.backbone, transformer.weights, seed=transformer.random_state)
    size = network.preprocessing.resized_to(as_size(transformer.image_size)).size
    normed = _before_last_norm(network, size)
    layers = _wanted(transformer.layers, network, size)
    transformer.set_params(layers=layers + ([normed[0]] if normed else []))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        codes = transformer.fit_transform(X)
    found.seconds[name] = (time.perf_counter() - start) / len(found.rows)
    for warning in caught:
        failures = getattr(warning.message, "failures", {}) if issubclass(warning.category, PictureWarning) else {}
        found.unreadable |= {int(found.rows[i]): reason for i, reason in failures.items()}
        if not failures:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    readable = np.isfinite(codes).all(axis=1)
    if not readable.any() and len(found.unreadable) < len(codes):
        raise ValueError(f"{name} gives NaN or infinite codes for every picture; look at its weights.")
    if not readable.any():
        raise BadImageError(
            f"None of {len(codes)} pictures can be read: {shorten(found.unreadable.values(), most=3)}.",
            dict(sorted(found.unreadable.items())),
        )
    own = codes[: len(problem.labelled)][readable[: len(problem.labelled)]]
    trace, slices = network.trace(size), dict(transformer.layer_slices_)
    if normed and len(own):
        layer, norm = normed
        moved = own[:, slices[layer]].mean(axis=0) - np.asarray(norm.running_mean)
        found.moved[name] = float(np.mean(moved**2 / (np.asarray(norm.running_var) + norm.eps)))
        if layer not in resolve_layers(layers, trace):
            del slices[layer]  # asked for this alone
    head = _classifier(network, size)
    if head is not None and PENULTIMATE in slices:
        logits = own[:, slices[PENULTIMATE]] @ head.weight.numpy().T + head.bias.numpy()
        found.source_proba[name] = softmax(logits.astype(np.float64), axis=1)
    depths = {layer: 1.0 if layer == PENULTIMATE else layer_info(layer, trace).depth for layer in slices}
    stages = resolve_layers(ALL, trace) if ALL in layers else ()
    return _Pass(item, name, codes, slices, depths, stages, side=math.sqrt(size[0] * size[1]))


def _wanted(layers: Any, network: Backbone, size: tuple[int, int]) -> list:
    trace = network.trace(size)
    wanted = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    try:
        resolve_layers(PENULTIMATE, trace)
    except ValueError:  # what enters the classifier cannot be found
        return wanted
    return wanted if PENULTIMATE in wanted else [*wanted, PENULTIMATE]


def _before_last_norm(network: Backbone, size: tuple[int, int]) -> tuple[str, nn.BatchNorm2d] | None:
    """Return the convolution whose output the last batch norm has statistics of, and that norm; None without."""
    trace = network.trace(size)
    norms = [i for i, call in enumerate(trace.calls) if isinstance(call.module, nn.BatchNorm2d)]
    if not norms or trace.calls[norms[-1]].module.running_mean is None:
        return None
    norm = trace.calls[norms[-1]]
    before = [call for call in trace.calls[: norms[-1]] if not call.name.startswith(f"{norm.name}.")]  # its own parts
    conv = before[-1] if before else None
    is_its_input = conv is not None and isinstance(conv.module, nn.Conv2d) and conv.n_calls == 1
    if not is_its_input or conv is None or conv.module.out_channels != norm.module.num_features:
        return None
    try:
        return resolve_layers(conv.name, trace)[0], norm.module  # type: ignore[return-value]
    except (ValueError, TypeError):
        return None


def _classifier(network: Backbone, size: tuple[int, int]) -> nn.Linear | None:
    trace = network.trace(size)
    call = trace.call(trace.head) if len(trace.heads) == 1 and trace.head else None
    head = call.module if call is not None else None
    is_classifier = isinstance(head, nn.Linear) and head.bias is not None and head.out_features > 2
    return head if is_classifier else None  # type: ignore[return-value]


def _layers(one: _Pass, rows: np.ndarray) -> list[LayerCodes]:
    """Return the layers of one backbone, each once, and all of them side by side."""
    codes, slices = one.codes[rows], one.slices
    if slices is None:
        return [LayerCodes(one.name, one.item, CODES, 1.0, normalize(codes), one.n_components)]
    found = [
        LayerCodes(one.name, one.item, layer, one.depths[layer], normalize(codes[:, s]), side=one.side)
        for layer, s in slices.items()
    ]
    last = next((part for part in found if part.layer == PENULTIMATE), None)
    if last is not None:  # the mean of the deepest map may be the same
        same = [part.layer for part in found if part is not last and _same(part.codes, last.codes)]
        alias = same[0] if same and same[0] in one.stages else None
        found = [replace(part, alias=alias) if part is last else part for part in found if part.layer not in same]
    if len(one.stages) > 1:
        together = np.concatenate([codes[:, slices[layer]] for layer in one.stages], axis=1)
        ends = np.cumsum([slices[layer].stop - slices[layer].start for layer in one.stages]).tolist()
        columns = dict(zip(one.stages, map(slice, [0, *ends[:-1]], ends)))
        found.append(LayerCodes(one.name, one.item, ALL, 1.0, normalize(together), stages=columns, side=one.side))
    return found


def _same(codes: np.ndarray, others: np.ndarray) -> bool:
    return codes.shape == others.shape and np.allclose(codes, others, atol=1e-4)
