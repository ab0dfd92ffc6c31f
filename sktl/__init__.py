"""Transfer learning for scikit-learn.

Pretrained networks as transformers, and what follows from them: knowledge from elsewhere where labels are scarce.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HEADLINES = {
    "AutoTransferClassifier": "sktl.advisor",
    "AutoTransferRegressor": "sktl.advisor",
    "CNNCodesTransformer": "sktl.features",
    "DomainAdaptedClassifier": "sktl.adaptation",
    "DomainAdaptedRegressor": "sktl.adaptation",
    "FineTunedClassifier": "sktl.finetuning",
    "FineTunedRegressor": "sktl.finetuning",
    "Preprocessing": "sktl.backbones",
    "ProtoNetClassifier": "sktl.fewshot",
    "SourceSelector": "sktl.advisor",
    "TextCodesTransformer": "sktl.features",
    "TransferAdvisor": "sktl.advisor",
    "clear_memory": "sktl._memory",
    "list_backbones": "sktl.backbones",
    "list_layers": "sktl.backbones",
    "load": "sktl._loading",
    "make_codes_classifier": "sktl.features",
    "open_cache": "sktl.cache",
    "stack_domains": "sktl.adaptation",
}

__all__ = [
    "AutoTransferClassifier",
    "AutoTransferRegressor",
    "CNNCodesTransformer",
    "DomainAdaptedClassifier",
    "DomainAdaptedRegressor",
    "FineTunedClassifier",
    "FineTunedRegressor",
    "Preprocessing",
    "ProtoNetClassifier",
    "SourceSelector",
    "TextCodesTransformer",
    "TransferAdvisor",
    "__version__",
    "clear_memory",
    "list_backbones",
    "list_layers",
    "load",
    "make_codes_classifier",
    "open_cache",
    "stack_domains",
]

if TYPE_CHECKING:
    from sktl._loading import load
    from sktl._memory import clear_memory
    from sktl.adaptation import DomainAdaptedClassifier, DomainAdaptedRegressor, stack_domains
    from sktl.advisor import AutoTransferClassifier, AutoTransferRegressor, SourceSelector, TransferAdvisor
    from sktl.backbones import Preprocessing, list_backbones, list_layers
    from sktl.cache import open_cache
    from sktl.features import CNNCodesTransformer, TextCodesTransformer, make_codes_classifier
    from sktl.fewshot import ProtoNetClassifier
    from sktl.finetuning import FineTunedClassifier, FineTunedRegressor


def __getattr__(name: str) -> Any:
    """Import a headline name when it is first used, so that ``import sktl`` costs nothing."""
    if name in _HEADLINES:
        return getattr(importlib.import_module(_HEADLINES[name]), name)
    raise AttributeError(f"module 'sktl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HEADLINES})
