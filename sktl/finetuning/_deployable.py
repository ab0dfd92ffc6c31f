"""What a fitted estimator can leave behind: a file, a module, ONNX."""

from __future__ import annotations

import os
from typing import Any

from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._modes import InPlainModes
from sktl.finetuning._deployed import DeployedNetwork, as_list, described_input, export_onnx
from sktl.finetuning._learned import LearnedNetwork
from sktl.finetuning._saving import load_estimator, save_estimator


class Deployable(InPlainModes):
    """Mixin of the fine-tuned estimators."""

    _learned: LearnedNetwork

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to one safetensors file: what training has changed, and JSON; no pickle.

        The pretrained network is referred to, not copied. The file is written whole or not at all.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        OSError
            If it cannot be written; what stood there before is left.
        """
        check_is_fitted(self, "n_iter_")
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, backbone: Any = None, weights: Any = None) -> Any:
        """Return the estimator that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        backbone : Module or callable, default=None
            The network that was given to the constructor, where it was no name.
        weights : path-like, default=None
            Where the backbone's weights are now, if not where they were.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, of another estimator, or does not fit its backbone: what does not is named.
        """
        return load_estimator(cls, path, backbone, weights)

    @property
    def n_parameters_(self) -> int:
        """Numbers in the network, learned or not; `n_trained_` is how many of them were trained."""
        return sum(parameter.numel() for parameter in self.module_.parameters())  # type: ignore[attr-defined]

    @property
    def torch_module_(self) -> nn.Module:
        """A copy of the whole model as a plain module on the CPU, to train, script or serve elsewhere.

        It takes pictures of shape (n, 3, height, width) with values in 0..255, scaled and cropped to the network's
        size, or feature rows as they are; it returns logits, or estimates in the targets' unit.
        """
        check_is_fitted(self, "n_iter_")
        rows, target = getattr(self, "_scaler", None), getattr(self, "_target_scaler", None)
        return DeployedNetwork(self._learned, rows, target, is_single=getattr(self, "_is_single", False))

    def to_onnx(self, path: str | os.PathLike) -> None:
        """Write `torch_module_` as an ONNX file, for any number of rows; pictures go in as uint8.

        The file's metadata name the classes and what is done to a picture before. It needs the packages onnx and
        onnxscript.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        ValueError
            If ONNX lacks operators of the network, naming them.
        """
        check_is_fitted(self, "n_iter_")
        described = {"input": described_input(self._learned.spec)}
        if hasattr(self, "classes_"):
            described["classes"] = as_list(self.classes_)  # type: ignore[assignment]
        export_onnx(self.torch_module_, self._learned.spec, path, described)  # type: ignore[arg-type]
