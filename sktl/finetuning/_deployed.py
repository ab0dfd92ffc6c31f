"""A fitted estimator's network as others run it: a plain module, and ONNX."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sktl._validation import shorten
from sktl.finetuning._learned import LearnedNetwork
from sktl.finetuning._networks import PictureSpec

OPERATOR = re.compile(r"\b((?:aten|prims|quantized|torchvision)[.:]+[\w.]+?)(?:\.default)?(?=['\s,)>(]|$)")
REFUSED = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")


class DeployedNetwork(nn.Module):
    """Pictures (n, 3, height, width) with values in 0..255, or feature rows, to logits or estimates.

    All that the estimator does after the pictures are scaled and cropped is in it: normalisation or the rows'
    standardisation, the network, the targets' unit. It shares nothing with the estimator.
    """

    rows_mean: Tensor | None
    rows_scale: Tensor
    target_mean: Tensor | None
    target_scale: Tensor
    network: Any

    def __init__(self, learned: LearnedNetwork, rows: Any = None, target: Any = None, *, is_single: bool = False):
        super().__init__()
        with learned.lock:
            self.network = copy.deepcopy(learned.module(torch.device("cpu"))).requires_grad_(False).eval()
        self.is_single = is_single
        self._keep("rows", rows)
        self._keep("target", target)

    def _keep(self, name: str, scaler: Any) -> None:
        for part in ("mean", "scale"):
            values = None if scaler is None else torch.as_tensor(getattr(scaler, f"{part}_"), dtype=torch.float32)
            self.register_buffer(f"{name}_{part}", values)

    def forward(self, X: Tensor) -> Tensor:
        """Return logits (n, n_classes), or estimates (n,) or (n, n_outputs)."""
        if self.rows_mean is not None:
            X = (X - self.rows_mean) / self.rows_scale
        outputs = self.network(X)
        if self.target_mean is not None:
            outputs = outputs * self.target_scale + self.target_mean
        return outputs[:, 0] if self.is_single else outputs


def export_onnx(module: DeployedNetwork, spec: Any, path: str | os.PathLike, described: dict[str, Any]) -> None:
    """Write the network as an ONNX file; its header says what goes in and what comes out.

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
    is_of_pictures = isinstance(spec, PictureSpec)
    if is_of_pictures:
        example = torch.zeros((2, 3, *spec.preprocessing.size), dtype=torch.uint8)
        module.network.stops = False
    else:
        example = torch.zeros((2, spec.n_features))
    output = "estimates" if module.target_mean is not None else "logits"
    try:
        program: Any = torch.onnx.export(
            module, (example,), dynamo=True, verbose=False,
            input_names=["pictures" if is_of_pictures else "rows"], output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("n")},),
        )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(_why(error)) from error
    program.model.metadata_props.update({f"sktl.{name}": json.dumps(value) for name, value in described.items()})
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        program.save(str(part), external_data=False)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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


def described_input(spec: Any) -> dict[str, Any]:
    """Return what is done to a picture before the network, for whoever runs it elsewhere."""
    if not isinstance(spec, PictureSpec):
        return {"n_features": spec.n_features}
    p = spec.preprocessing
    return {
        "size": list(p.size), "scaled_size": list(p.scaled_size), "crop_pct": p.crop_pct, "crop_mode": p.crop_mode,
        "channels": "RGB", "interpolation": p.interpolation, "values": "0..255",
    }  # fmt: skip


def as_list(labels: np.ndarray) -> list:
    """Return labels as JSON takes them."""
    return [label if isinstance(label, (bool, int, float, str)) else str(label) for label in labels.tolist()]
