"""Adaptation that falls back where it may do harm, and a classifier's accuracy where there are no labels."""

from sktl.safety._accuracy import AccuracyEstimate, estimate_accuracy
from sktl.safety._confidence import average_thresholded_confidence, difference_of_confidences
from sktl.safety._disagreement import accuracy_lower_bound
from sktl.safety._evidence import Evidence
from sktl.safety._safely_adapted import SafelyAdaptedClassifier

__all__ = [
    "AccuracyEstimate",
    "Evidence",
    "SafelyAdaptedClassifier",
    "accuracy_lower_bound",
    "average_thresholded_confidence",
    "difference_of_confidences",
    "estimate_accuracy",
]
