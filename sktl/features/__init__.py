"""Fixed networks as feature extractors, and what classifies their codes."""

from sktl.features._cnn_codes import CNNCodesTransformer
from sktl.features._codes_classifier import make_codes_classifier
from sktl.features._codes_to_zarr import codes_to_zarr
from sktl.features._logistic_regression_loo import LogisticRegressionLOO
from sktl.features._pipeline_to_onnx import pipeline_to_onnx
from sktl.features._text_codes import TextCodesTransformer

__all__ = [
    "CNNCodesTransformer",
    "LogisticRegressionLOO",
    "TextCodesTransformer",
    "codes_to_zarr",
    "make_codes_classifier",
    "pipeline_to_onnx",
]
