"""Networks as ONNX files."""

from __future__ import annotations

import json
import os
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sktl._deployment._module import DeployedNetwork
from sktl._deployment._pictures import GraphPreprocessing
from sktl._modes import InPlainModes
from sktl._preprocessing import Preprocessing
from sktl._validation import shorten

OPERATOR = re.compile(r"\b((?:aten|prims|quantized|torchvision)[.:]+[\w.]+?)(?:\.default)?(?=['\s,)>(]|$)")
REFUSED = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


class Exportable(InPlainModes):
    """Mixin of fitted estimators whose predictions are one network's: a plain module, and an ONNX file."""

    @abstractmethod
    def _deployed(self) -> tuple[DeployedNetwork, Preprocessing | int]:
        """Return the module, and what is done to pictures before it, or the number of features of rows.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """

    @property
    def torch_module_(self) -> nn.Module:
        """A copy of the whole model as a plain module on the CPU, in evaluation mode: to train, script or serve.

        It takes pictures of shape (n, 3, height, width) with values in 0..255, scaled and cropped to the network's
        size, or feature rows as they are; it returns logits, or estimates in the targets' unit.
        """
        return self._deployed()[0]

    def to_onnx(self, path: str | os.PathLike, *, preprocess: bool = False) -> None:
        """Write `torch_module_` as an ONNX file, for any number of rows; pictures go in as uint8.

        The file's metadata name the classes and what is done to a picture before. It needs the packages onnx and
        onnxscript.

        Parameters
        ----------
        path : path-like
            The file.
        preprocess : bool, default=False
            Whether pictures are scaled and cropped in the graph too: they go in as they were decoded, (n, 3, H, W) of
            any height and width. Otherwise they have to be scaled and cropped before, as the metadata say.

        Raises
        ------
        FileNotFoundError, IsADirectoryError
            If the file cannot be there, before any work is done.
        ValueError
            If ONNX lacks operators of the network, naming them; or for ``preprocess=True`` where X holds rows.

        Notes
        -----
        What is left to do before a file of ``preprocess=True``, with Pillow and NumPy::

            picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            batch = np.asarray(picture).transpose(2, 0, 1)[None]
            (logits,) = onnxruntime.InferenceSession("model.onnx").run(None, {"pictures": batch})

        Without it, for the usual ``crop_mode="center"`` and a square ``size``, scaling and cropping come in between::

            (height, width), side, crop = picture.size[::-1], scaled_size[0], size[0]
            height, width = side * height // min(height, width), side * width // min(height, width)
            picture = picture.resize((width, height), Image.Resampling[interpolation.upper()])
            top, left = round((height - crop) / 2), round((width - crop) / 2)
            picture = picture.crop((left, top, left + crop, top + crop))

        The library decodes JPEG files of more than twice the needed size at a reduced scale, as Pillow does after
        ``image.draft("RGB", (2 * width, 2 * height))``, which moves single pixels by a few grey levels.
        """
        module, given = self._deployed()
        check_place(path)
        if preprocess and not isinstance(given, Preprocessing):
            raise ValueError(f"preprocess=True scales pictures, but this {type(self).__name__} was fitted on rows.")
        described: dict[str, Any] = {"input": described_pictures(given, preprocess)}
        if hasattr(self, "classes_"):
            described["classes"] = as_list(self.classes_)
        export_onnx(module, given, path, described, preprocess=preprocess)


def check_place(path: str | os.PathLike) -> None:
    """Raise an OSError if no file can be written at `path`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}. Make it.")


class _Prepared(nn.Module):
    """Pictures as they were decoded, to what the network makes of them."""

    def __init__(self, preprocessing: Preprocessing, network: nn.Module):
        super().__init__()
        self.prepared = GraphPreprocessing(preprocessing)
        self.network = network
        self.eval()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.network(self.prepared(pictures))


def export_onnx(
    module: DeployedNetwork, given: Preprocessing | int, path: str | os.PathLike, described: dict[str, Any], *,
    preprocess: bool, is_prepared: bool = False,
) -> None:  # fmt: skip
    """Write the network as an ONNX file; its header says what goes in and what comes out.

    With `is_prepared` the module scales and crops pictures itself.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    ValueError
        If the network has operators that ONNX has not; they are named.
    """
    try:
        import onnxscript  # noqa: F401 - what torch.onnx needs and does not bring along
    except ImportError as error:
        raise ImportError("to_onnx needs the packages onnx and onnxscript: pip install 'sktl[onnx]'.") from error
    whole: nn.Module = module
    shape: dict[int, Any] = {0: torch.export.Dim("n")}
    if isinstance(given, Preprocessing):
        height, width = given.size
        if preprocess:
            whole, shape = (
                module if is_prepared else _Prepared(given, module),
                {**shape, 2: torch.export.Dim("height"), 3: torch.export.Dim("width")},
            )
            height, width = 2 * height + 3, 3 * width + 7  # a shape that is like no other
        example = torch.zeros((2, 3, height, width), dtype=torch.uint8)
        for part in module.modules():  # exporters do not follow the exception that ends a pass at a layer
            if hasattr(part, "stops"):
                part.stops = False  # type: ignore[assignment]
    else:
        example = torch.zeros((2, given))
    output = "logits" if isinstance(module.in_unit, nn.Identity) else "estimates"
    try:
        program: Any = torch.onnx.export(
            whole, (example,), dynamo=True, verbose=False,
            input_names=["pictures" if isinstance(given, Preprocessing) else "rows"], output_names=[output],
            dynamic_shapes=(shape,),
        )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(_why(error)) from error
    program.model.metadata_props.update({f"sktl.{name}": json.dumps(value) for name, value in described.items()})
    path = Path(path)
    part_file = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        program.save(str(part_file), external_data=False)
        os.replace(part_file, path)
    finally:
        part_file.unlink(missing_ok=True)


def _why(error: BaseException) -> str:
    text, cause = "", error
    while cause is not None:
        text += f"\n{cause}"
        cause = cause.__cause__  # type: ignore[assignment]
    names = list(dict.fromkeys(REFUSED.findall(text) or OPERATOR.findall(text)))
    if names:
        return (
            f"The network cannot be written as ONNX: it has no operator for {shorten(names)}. Replace that in the "
            "network, or deploy torch_module_."
        )
    lines = [line for line in str(error).splitlines() if line.startswith("<class")] or str(error).splitlines()
    return f"The network cannot be written as ONNX: {lines[0]} Deploy torch_module_ instead."


def described_pictures(given: Preprocessing | int, preprocess: bool = False) -> dict[str, Any]:
    """Return what is done to a picture before the network, for whoever runs it elsewhere."""
    if not isinstance(given, Preprocessing):
        return {"n_features": given}
    if preprocess:
        return {"size": "any", "channels": "RGB", "values": "0..255"}
    return {
        "size": list(given.size), "scaled_size": list(given.scaled_size), "crop_pct": given.crop_pct,
        "crop_mode": given.crop_mode, "channels": "RGB", "interpolation": given.interpolation, "values": "0..255",
    }  # fmt: skip


def as_list(labels: np.ndarray) -> list:
    """Return labels as JSON takes them."""
    return [label if isinstance(label, (bool, int, float, str)) else str(label) for label in labels.tolist()]
