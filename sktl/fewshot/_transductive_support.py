"""What a prototype classifier keeps for a transductive method, and what that says of the rows of a call together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sktl._device import resolve_device
from sktl.fewshot.transductive import get_transductive

Support = tuple[np.ndarray, np.ndarray]  # codes (n, n_codes) and labels (n,)


class TransductiveSupport:
    """Mixin of the prototype classifier."""

    transductive: Any
    distance: str
    scale: float | None
    device: Any
    classes_: np.ndarray
    _support: Support | None
    _in_metric: Any

    def _joint_logits(self, codes: np.ndarray) -> np.ndarray:
        support_codes, labels = self._known_support()
        support_codes = self._in_metric(support_codes)
        device = resolve_device(self.device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        support, query = (torch.from_numpy(part).to(device, dtype) for part in (support_codes, codes))
        y = torch.from_numpy(np.searchsorted(self.classes_, labels)).to(device)
        logits = get_transductive(self.transductive)(support, y, query, len(self.classes_))
        return logits.double().cpu().numpy()

    def _support_with(self, codes: np.ndarray, y: np.ndarray, *, is_first: bool) -> Support | None:
        """Return the support set so far, where a transductive method needs it."""
        if not self._is_transductive or is_first:
            return (codes, y) if self._is_transductive else None
        known_codes, known_y = self._known_support()
        return np.concatenate([known_codes, codes]), np.concatenate([known_y, y])

    def _known_support(self) -> Support:
        if self._support is None:
            raise ValueError("transductive was set after fit, which kept no support set: call fit again.")
        return self._support

    @property
    def _is_transductive(self) -> bool:
        return not isinstance(self.transductive, (bool, np.bool_))

    def _check_transductive(self, is_multilabel: bool, sample_weight: Any) -> None:
        if not self._is_transductive:
            return
        if is_multilabel or sample_weight is not None:
            what = "several labels a row" if is_multilabel else "sample_weight"
            raise ValueError(f"A transductive method takes no {what}. Set transductive=False, or leave that out.")
        method = get_transductive(self.transductive)
        method._validate_params()
        if self.distance not in ("auto", "sqeuclidean") or self.scale is not None:
            raise ValueError(
                f"distance and scale go with transductive=False: {type(method).__name__} has its own. Leave "
                f"distance='auto' and scale=None; got {self.distance!r} and {self.scale!r}."
            )
