"""What a fitted estimator can leave behind: a file, a module, ONNX."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted

from sktl._deployment import DeployedNetwork, Exportable
from sktl._preprocessing import Preprocessing
from sktl.finetuning._fitted_network import FittedNetwork
from sktl.finetuning._networks import PictureSpec, flat
from sktl.finetuning._saving import load_estimator, save_estimator


class Deployable(Exportable):
    """Mixin of the fine-tuned estimators."""

    _learned: FittedNetwork

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

    def _deployed(self) -> tuple[DeployedNetwork, Preprocessing | int]:
        check_is_fitted(self, "n_iter_")
        learned, spec = self._learned, self._learned.spec
        with learned.lock:
            network = copy.deepcopy(learned.module(torch.device("cpu")))
        rows, target = getattr(self, "_scaler", None), getattr(self, "_target_scaler", None)
        module = DeployedNetwork(flat(network), rows, target, is_single=getattr(self, "_is_single", False))
        return module, spec.preprocessing if isinstance(spec, PictureSpec) else spec.n_features
