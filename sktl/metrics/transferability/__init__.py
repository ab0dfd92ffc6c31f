"""Scores that tell from codes and labels how well a classifier will do, without training a network.

Start with `linear_probe`: it measures what a linear classifier on these codes does with rows that it has not seen. The
others are cheaper or need less, and each is a guess at that number.
"""

from sktl.metrics.transferability._gbc import gbc
from sktl.metrics.transferability._h_score import h_score
from sktl.metrics.transferability._knn import knn_accuracy, knn_leave_one_out
from sktl.metrics.transferability._linear_probe import HeldOutOutputs, linear_probe, ridge_leave_one_out
from sktl.metrics.transferability._log_me import log_me
from sktl.metrics.transferability._source_labels import leep, n_leep, nce
from sktl.metrics.transferability._trans_rate import trans_rate

__all__ = [
    "HeldOutOutputs",
    "gbc",
    "h_score",
    "knn_accuracy",
    "knn_leave_one_out",
    "leep",
    "linear_probe",
    "log_me",
    "n_leep",
    "nce",
    "ridge_leave_one_out",
    "trans_rate",
]
