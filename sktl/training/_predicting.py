"""skorch's prediction, on batches: what its scoring callbacks need of a net."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from skorch import NeuralNet

from sktl.training._batches import TensorBatches
from sktl.training._random import BorrowedGenerators
from sktl.training._structure import features_and_target

PREDICTED_ROWS = 256


class PredictingNet(NeuralNet):
    """A net that predicts on arrays and tensors, or on batches; abstract: training is `TrainingNet`'s."""

    classify: bool
    _borrowed: BorrowedGenerators | None = None  # while training

    def notify(self, method_name, **cb_kwargs):
        """Tell the callbacks; each may wait for a training in another thread."""
        with self.lent_generators():
            super().notify(method_name, **cb_kwargs)

    def lent_generators(self) -> AbstractContextManager[None]:
        """Return a block of the user's code, during which other threads may train."""
        return contextlib.nullcontext() if self._borrowed is None else self._borrowed.lent()

    def get_dataset(self, X, y=None):
        """Return X: batches need no dataset."""
        return X

    def get_iterator(self, dataset, training=False):
        """Return the batches, cut in order where X is arrays or tensors."""
        is_data = isinstance(dataset, (torch.Tensor, Mapping, tuple, list)) or hasattr(dataset, "__array__")
        return TensorBatches(dataset, PREDICTED_ROWS, shuffle=False) if is_data else dataset

    def evaluation_step(self, batch: Any, training: bool = False):
        """Return the module's outputs for the batch's X."""
        self.check_is_fitted()
        self._set_training(training)
        with torch.set_grad_enabled(training):
            return self.infer(features_and_target(batch)[0])

    def predict(self, X):
        """Return `predict_proba`'s rows, or the index of the largest of each row with `classify`."""
        outputs = self.predict_proba(X)
        return outputs.argmax(axis=1) if self.classify else outputs
