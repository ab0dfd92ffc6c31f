"""Labels in one domain, predictions in another."""

from sktl.adaptation._classifier import DomainAdaptedClassifier
from sktl.adaptation._stack import stack_domains
from sktl.adaptation.losses import LOSSES

__all__ = ["LOSSES", "DomainAdaptedClassifier", "stack_domains"]
