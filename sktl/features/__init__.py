"""Fixed networks as feature extractors."""

from sktl.features._cnn_codes import CNNCodesTransformer

__all__ = ["CNNCodesTransformer"]
