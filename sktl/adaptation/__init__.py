"""Labels in one domain, predictions in another."""

from sktl.adaptation._classifier import DomainAdaptedClassifier
from sktl.adaptation._gradual import GradualAdaptedClassifier
from sktl.adaptation._source_free import SourceFreeAdaptedClassifier
from sktl.adaptation._stack import stack_domains
from sktl.adaptation._test_time import TestTimeAdaptedClassifier
from sktl.adaptation.losses import LOSSES

__all__ = [
    "LOSSES",
    "DomainAdaptedClassifier",
    "GradualAdaptedClassifier",
    "SourceFreeAdaptedClassifier",
    "TestTimeAdaptedClassifier",
    "stack_domains",
]
