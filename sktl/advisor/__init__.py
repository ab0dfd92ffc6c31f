"""When and how to transfer: measured on the data at hand, with reasons."""

from sktl.advisor._advice import AdviceReport
from sktl.advisor._transfer_advisor import TransferAdvisor

__all__ = ["AdviceReport", "TransferAdvisor"]
