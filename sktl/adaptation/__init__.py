"""Labels in one domain, predictions in another."""

from sktl.adaptation._stack_domains import stack_domains
from sktl.adaptation.gradual._classifier import GradualAdaptedClassifier
from sktl.adaptation.gradual._rolling import RollingAdaptedClassifier
from sktl.adaptation.joint._classifier import DomainAdaptedClassifier
from sktl.adaptation.joint._regressor import DomainAdaptedRegressor
from sktl.adaptation.losses import LOSSES
from sktl.adaptation.per_domain._classifier import PerDomainClassifier
from sktl.adaptation.source_free._classifier import SourceFreeAdaptedClassifier
from sktl.adaptation.test_time._classifier import TestTimeAdaptedClassifier

__all__ = [
    "LOSSES",
    "DomainAdaptedClassifier",
    "DomainAdaptedRegressor",
    "GradualAdaptedClassifier",
    "PerDomainClassifier",
    "RollingAdaptedClassifier",
    "SourceFreeAdaptedClassifier",
    "TestTimeAdaptedClassifier",
    "stack_domains",
]
