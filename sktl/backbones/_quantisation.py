"""Networks in 8 bits on CPUs: what their ranges are learned from, and the quantised network."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import platform
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from PIL import Image, ImageFilter, ImageOps

from sktl._device import PRECISIONS, resolve_precision

CODE_PRECISIONS = (*PRECISIONS, "int8")
N_CALIBRATION = 64  # pictures; twice as many move codes no less
DISTILLED_SIDE = 224  # pixels of a picture on the sheet
FARTHEST = 0.5  # median distance of a picture's code from the one in float32, relative to that one's length


class Calibration:
    """Pictures from which the ranges of a network's layers are learned; two are equal if their pixels are.

    Parameters
    ----------
    pictures : ndarray of uint8, (n, 3, height, width)
        As the network is given them.
    """

    def __init__(self, pictures: np.ndarray):
        self.pictures = np.ascontiguousarray(pictures)
        digest = xxhash.xxh3_128(repr(self.pictures.shape).encode() + self.pictures.tobytes()).hexdigest()
        # whose changes may change a code
        self._identity = (digest, _version("nncf"), _version("openvino"), sums_products_exactly())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calibration) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Calibration{self._identity}"


@lru_cache(maxsize=4)
def photographs(size: tuple[int, int]) -> Calibration:
    """Return the calibration by scikit-learn's two photographs and distilled pictures, the same on all machines.

    Crops of all sizes, as they are, in other hues, in full contrast and as line drawings. Two scenes do not fill the
    ranges of a network that knows a thousand; pictures distilled from its batch norms do (`distilled_pictures`).
    """
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    height, width = size
    out = np.empty((N_CALIBRATION, 3, height, width), dtype=np.uint8)
    effects = (_plain, _hue, _lines, ImageOps.autocontrast)
    for i in range(N_CALIBRATION):
        photo = photos[i % len(photos)]
        side = int(photo.height * np.exp(rng.uniform(np.log(0.3), 0)))
        left, top = (int(rng.integers(0, whole - side + 1)) for whole in photo.size)
        turn, mirrored = int(rng.integers(0, 256)), rng.random() < 0.5
        part = photo.crop((left, top, left + side, top + side)).resize((width, height), Image.Resampling.BICUBIC)
        part = ImageOps.mirror(part) if mirrored else part
        effect: Any = effects[i // len(photos) % len(effects)]
        part = effect(part, turn) if effect is _hue else effect(part)
        out[i] = np.asarray(part.convert("RGB")).transpose(2, 0, 1)
    return Calibration(np.concatenate([out, distilled_pictures(size)]))


def distilled_pictures(size: tuple[int, int]) -> np.ndarray:
    """Return the pictures that ship, uint8 of shape (n, 3, height, width).

    Crops of the two photographs were changed until they had, in each batch norm of EfficientNet-Lite0, the means and
    spreads that ImageNet has there: its statistics, and none of its pictures (Cai et al., "ZeroQ: A Novel Zero Shot
    Quantization Framework", 2020). ``benchmarks/distilled_calibration.py`` makes them.
    """
    height, width = size
    with Image.open(Path(__file__).with_name("_distilled.jpg")) as sheet:
        pixels = sheet.convert("RGB")
    corners = itertools.product(range(0, pixels.height, DISTILLED_SIDE), range(0, pixels.width, DISTILLED_SIDE))
    parts = [pixels.crop((left, top, left + DISTILLED_SIDE, top + DISTILLED_SIDE)) for top, left in corners]
    resized = [part.resize((width, height), Image.Resampling.BICUBIC) for part in parts]
    return np.stack([np.asarray(part).transpose(2, 0, 1) for part in resized])


def _plain(picture: Image.Image) -> Image.Image:
    return picture


def _lines(picture: Image.Image) -> Image.Image:
    return ImageOps.invert(ImageOps.autocontrast(picture.convert("L").filter(ImageFilter.FIND_EDGES)))


def _hue(picture: Image.Image, turn: int) -> Image.Image:
    pixels = np.array(picture.convert("HSV"))
    pixels[..., 0] += np.uint8(turn)
    return Image.fromarray(pixels, "HSV").convert("RGB")


def resolve_code_precision(precision: str, device: torch.device, engine: str) -> torch.dtype:
    """Return the dtype that layers compute in; "int8" beside those of `resolve_precision`.

    Raises
    ------
    ValueError
        If the device, or the engine, does not compute in it, or a package is missing.
    """
    if precision != "int8":
        return resolve_precision(precision, device)
    if device.type != "cpu":
        raise ValueError(
            f"precision='int8' is for CPUs; got device={str(device)!r}. Use precision='auto' there, or device='cpu'."
        )
    if engine == "torch":
        raise ValueError("precision='int8' is computed by OpenVINO; got engine='torch'. Use engine='auto'.")
    missing = [name for name in ("openvino", "nncf") if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"precision='int8' needs {' and '.join(missing)}: pip install 'sktl[openvino]'.")
    return torch.int8


@lru_cache(maxsize=1)
def sums_products_exactly() -> bool:
    """Return whether this processor adds products of 8 bits up in 32.

    x86 cores without VNNI and AMX add pairs of them in 16 bits, which cuts large sums off.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return True
    if hasattr(torch.cpu, "get_capabilities"):  # from PyTorch 2.10 on
        has = torch.cpu.get_capabilities()
        return any(has.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
    return bool(torch.cpu._is_vnni_supported())


def quantised(model: Any, calibration: Calibration) -> Any:
    """Return an OpenVINO model whose convolutions and linear layers multiply in 8 bits.

    Weights take 7 of them where the processor would cut sums off.
    """
    with _quietly() as nncf:
        # The extremes of all pictures, not their means: what is beyond a range is cut off.
        advanced = nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX,
            overflow_fix=nncf.OverflowFix.FIRST_LAYER if sums_products_exactly() else nncf.OverflowFix.ENABLE,
        )
        return nncf.quantize(
            model,
            nncf.Dataset(calibration.pictures, lambda picture: picture[None].copy()),  # its memory is shared and used
            preset=nncf.QuantizationPreset.PERFORMANCE,  # symmetric ranges run a third faster, and move codes no more
            subset_size=len(calibration.pictures),
            advanced_parameters=advanced,
        )


def check_close(codes: list[np.ndarray], expected: list[np.ndarray], layers: tuple[str, ...]) -> None:
    """Raise a RuntimeError if 8 bits are too few for a network."""
    for layer, code, reference in zip(layers, codes, expected):
        lengths = np.linalg.norm(reference, axis=1)
        distance = float(np.median(np.linalg.norm(code - reference, axis=1) / np.maximum(lengths, 1e-12)))
        if not distance <= FARTHEST:
            raise RuntimeError(f"8 bits move its codes of {layer!r} by {distance:.0%} of their length")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def _quietly() -> Iterator[Any]:
    """Give nncf, which leaves what is the process's as it was, and shows neither bars nor remarks."""
    kind = logging.getLoggerClass()
    try:
        import nncf
        import nncf.quantization.range_estimator
    finally:
        logging.setLoggerClass(kind)
    import rich

    logger, console = logging.getLogger("nncf"), rich.get_console()
    level, was_quiet = logger.level, console.quiet
    logger.setLevel(logging.ERROR)
    console.quiet = True
    try:
        yield nncf
    finally:
        logger.setLevel(level)
        console.quiet = was_quiet
