"""Accuracy where there are no labels: how well a classifier does in the target, and at least how well."""

from sktl.safety._accuracy import AccuracyEstimate, estimate_accuracy
from sktl.safety._confidence import average_thresholded_confidence, difference_of_confidences
from sktl.safety._disagreement import accuracy_lower_bound

__all__ = [
    "AccuracyEstimate",
    "accuracy_lower_bound",
    "average_thresholded_confidence",
    "difference_of_confidences",
    "estimate_accuracy",
]
