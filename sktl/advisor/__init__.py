"""When and how to transfer: measured on the data at hand, with reasons."""

from sktl.advisor._advice import AdviceReport
from sktl.advisor._auto_classifier import AutoTransferClassifier
from sktl.advisor._auto_regressor import AutoTransferRegressor
from sktl.advisor._candidates import CandidateFamily, CodesCandidates
from sktl.advisor._source_index import SourceIndex
from sktl.advisor._source_selector import SourceSelector
from sktl.advisor._trainings import FineTuningCandidates
from sktl.advisor._transfer_advisor import TransferAdvisor

__all__ = [
    "AdviceReport",
    "AutoTransferClassifier",
    "AutoTransferRegressor",
    "CandidateFamily",
    "CodesCandidates",
    "FineTuningCandidates",
    "SourceIndex",
    "SourceSelector",
    "TransferAdvisor",
]
