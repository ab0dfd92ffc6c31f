"""What happens to codes before prototypes are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import normalize as to_unit_length
from sklearn.utils.validation import check_is_fitted

from sktl.fewshot._encoding import BackboneCodes
from sktl.fewshot._row_metric import RowMetric, row_metric
from sktl.fewshot.meta_training._residual_rows import WIDE

NORMALISATIONS = ("l2", "center-l2", "within")
# Factors of the logits for many rows, and rows a class ("within": in all) for which half of that is best.
DIRECTIONS, COSINES, WITHIN = (30.0, 3), (40.0, 2), (2.0, 12)


def centre_of(codes: np.ndarray, weight: np.ndarray | None, n_classes: int, how: str | None) -> np.ndarray:
    """Return what codes are centred by, (n_codes,).

    For "center-l2" the mean code, drawn to 0 as if each class had one more row there: with one row a class, the mean is
    that of these few rows more than of the codes. For "within" the mean, so that squares keep their digits.
    """
    if how not in ("center-l2", "within"):
        return np.zeros(codes.shape[1])
    # sum_i w_i x_i / (sum_i w_i + K)
    counts = np.ones(len(codes)) if weight is None else weight
    return counts @ codes / (counts.sum() + (n_classes if how == "center-l2" else 0))


class NormalisedCodes:
    """Mixin of the prototype classifier."""

    normalize: str | None
    distance: str
    scale: float | None
    n_codes_: int
    encoder_: Any
    class_count_: np.ndarray
    _sums: np.ndarray
    _scatter: np.ndarray | None
    _is_multilabel: bool

    @property
    def normalize_(self) -> str | None:
        """What ``normalize="auto"`` became."""
        check_is_fitted(self, "classes_")
        return self._normalisation(self.encoder_, self.n_codes_)

    def _normalisation(self, encoder: Any, n_codes: int) -> str | None:
        if self.normalize != "auto":
            return self.normalize
        is_transductive = not isinstance(self.transductive, (bool, np.bool_))  # type: ignore[attr-defined]
        if encoder is None and n_codes < WIDE:
            return None if self.distance == "cosine" else "within"
        encoder = encoder.estimator if isinstance(encoder, FrozenEstimator) else encoder
        is_network = isinstance(encoder, BackboneCodes) or hasattr(encoder, "backbone_fingerprint_")
        return "l2" if not is_transductive and (is_network or encoder is None) else None

    @property
    def distance_(self) -> str:
        """What ``distance="auto"`` became."""
        check_is_fitted(self, "classes_")
        if self.distance != "auto":
            return self.distance
        is_transductive = not isinstance(self.transductive, (bool, np.bool_))  # type: ignore[attr-defined]
        return "cosine" if self.normalize_ == "l2" and not is_transductive else "sqeuclidean"

    @property
    def scale_(self) -> float:
        """Factor of the logits: what ``scale=None`` became."""
        check_is_fitted(self, "classes_")
        if self.scale is not None:
            return float(self.scale)
        counts, how = self.class_count_, self.normalize_
        if how == "within":
            # of Gaussians it would be 1/2; the more columns, the more do they say alike
            factor, half = WITHIN
            n = (counts[:, 0] if self._is_multilabel else counts).sum()
            return float(min(0.5, factor * self.n_codes_**-0.75) * n / (n + half))
        is_cosine = self.distance_ == "cosine"
        if how is None and not is_cosine:
            return 1.0
        factor, half = COSINES if is_cosine else DIRECTIONS
        return float(factor * counts.mean() / (counts.mean() + half))

    def _in_metric(self, codes: np.ndarray) -> np.ndarray:
        """Return centred codes, in the metric of what varies within classes if that is how they are compared."""
        metric = self._metric()
        return codes if metric is None else metric(codes)

    def _metric(self) -> RowMetric | None:
        if self._scatter is None:
            return None
        sums, counts = self._sums, self.class_count_
        if self._is_multilabel:  # rows with a label and those without it are all rows
            sums, counts = sums[:, 0].sum(0, keepdims=True), counts[:, 0].sum(keepdims=True)
        return RowMetric(sums.sum(0) / counts.sum(), row_metric(self._scatter, sums, counts))

    def _normalised(self, codes: np.ndarray, centre: np.ndarray, how: str | None) -> np.ndarray:
        # the prototype of cosines is the mean direction
        is_direction = how in ("l2", "center-l2") or self.distance == "cosine"
        codes = codes if how is None else codes - centre
        return to_unit_length(codes) if is_direction else codes
