"""Fitted estimators as files: tensors, and JSON in their header; all that is read is checked before it is used."""

from sktl._saving._models import (
    PLACES,
    SavedModel,
    check_tensors,
    params_of,
    read_model,
    tensors_of_scaler,
    write_model,
)
from sktl._saving._values import Codec

__all__ = [
    "PLACES",
    "Codec",
    "SavedModel",
    "check_tensors",
    "params_of",
    "read_model",
    "tensors_of_scaler",
    "write_model",
]
