"""What metric-based learners share: they are transformers of rows to codes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sktl.backbones import filled_up
from sktl.fewshot.heads import Head, State, make_head
from sktl.fewshot.meta_training._encoder_method import EncoderMethod
from sktl.fewshot.meta_training._encoders import Encoder
from sktl.fewshot.meta_training._inputs import read_input
from sktl.fewshot.meta_training._learner import PREDICTED_ROWS, MetaLearner
from sktl.fewshot.meta_training._method import FewShotMethod


class MetricLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, MetaLearner):
    """Abstract: an encoder trained together with a head."""

    @abstractmethod
    def _head(self) -> Head | str:
        """Return the head."""

    def _method(self) -> tuple[type[FewShotMethod], dict[str, Any]]:
        return MetricMethod, {"head": self._head()}

    def transform(self, X: Any) -> np.ndarray:
        """Return the codes of rows.

        Parameters
        ----------
        X : array-like or sequence of pictures
            As in `fit`.

        Returns
        -------
        ndarray of shape (n, n_codes)
            float64 for feature rows, float32 for pictures; feature maps are flattened.
        """
        check_is_fitted(self, "n_iter_")
        rows = read_input(self, X, self._spec)
        device, dtype = self._where()
        encoder = self._learned.module(device, dtype).encoder

        def fed(part: torch.Tensor) -> torch.Tensor:
            if part.is_floating_point():
                return part
            if len(part) < len(rows):
                return filled_up(part, PREDICTED_ROWS)
            return self._learned.small_batches.fed(part, PREDICTED_ROWS, encoder, (device, dtype))

        with torch.inference_mode():
            parts = [encoder(fed(self._on_device(part)))[: len(part)] for part in rows.split(PREDICTED_ROWS)]
        return torch.cat(parts).flatten(1).cpu().numpy()

    @property
    def _n_features_out(self) -> int:
        """Columns of the codes, for their names."""
        device, dtype = self._where()
        example = torch.zeros((1, *self._spec.shape), dtype=dtype if self._spec.is_rows else torch.uint8)
        encoder = self._learned.module(device, dtype).encoder
        with torch.inference_mode():
            return encoder(self._on_device(example)).flatten(1).shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class MetricMethod(EncoderMethod):
    """Codes support and queries by the same encoder, and lets a head decide.

    Parameters
    ----------
    encoder : Encoder
        Trained so that the head does well.
    n_outputs : int
        Not needed: heads take any number of classes.
    head : str or Head
        What compares.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, *, head: str | Head):
        super().__init__(encoder)
        self.head = make_head(head)
        self.head.build(encoder.code_shape)

    def adapt_codes(self, support: Tensor, y: Tensor, n_outputs: int) -> State:
        """Return the head's state."""
        return self.head.exact_state(support, y, n_outputs)

    def answers(self, state: State, query: Tensor) -> Tensor:
        """Return the head's logits."""
        return self.head.exact_logits(state, query)

    def outcome(
        self, support: Tensor, y: Tensor, query: Tensor, query_y: Tensor, n_outputs: int
    ) -> tuple[Tensor, Tensor]:
        """Return the head's logits and loss."""
        logits = self.answers(self.adapt_codes(support, y, n_outputs), query)
        return logits, self.head.loss(logits, query_y)
