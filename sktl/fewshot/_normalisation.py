"""What happens to codes before prototypes are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import normalize as to_unit_length
from sklearn.utils.validation import check_is_fitted

from sktl.fewshot._encoding import BackboneCodes
from sktl.fewshot.meta_training._residual_rows import WIDE

NORMALISATIONS = ("l2", "center-l2")


def centre_of(codes: np.ndarray, weight: np.ndarray | None, n_classes: int) -> np.ndarray:
    """Return what codes are centred by: the mean code, drawn to 0 as if each class had one more row there."""
    # sum_i w_i x_i / (sum_i w_i + K): with one row a class, the mean is that of these few rows more than of the codes
    counts = np.ones(len(codes)) if weight is None else weight
    return counts @ codes / (counts.sum() + n_classes)


class NormalisedCodes:
    """Mixin of the prototype classifier."""

    normalize: str | None
    distance: str
    n_codes_: int
    encoder_: Any

    @property
    def normalize_(self) -> str | None:
        """What ``normalize="auto"`` became."""
        check_is_fitted(self, "classes_")
        return self._normalisation(self.encoder_, self.n_codes_)

    def _normalisation(self, encoder: Any, n_codes: int) -> str | None:
        if self.normalize != "auto":
            return self.normalize
        if not isinstance(self.transductive, (bool, np.bool_)):  # type: ignore[attr-defined]
            return None
        encoder = encoder.estimator if isinstance(encoder, FrozenEstimator) else encoder
        is_network = isinstance(encoder, BackboneCodes) or hasattr(encoder, "backbone_fingerprint_")
        return "l2" if is_network or (encoder is None and n_codes >= WIDE) else None

    def _normalised(self, codes: np.ndarray, centre: np.ndarray, how: str | None) -> np.ndarray:
        # the prototype of cosines is the mean direction
        is_direction = how is not None or self.distance == "cosine"
        return to_unit_length(codes if how is None else codes - centre) if is_direction else codes
