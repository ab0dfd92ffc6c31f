"""Pretrained networks that are trained further on new data: fine-tuning."""

from sktl.finetuning._classifier import FineTunedClassifier
from sktl.finetuning._lora import LoRA
from sktl.finetuning._regressor import FineTunedRegressor
from sktl.finetuning._strategies import STRATEGIES

__all__ = ["STRATEGIES", "FineTunedClassifier", "FineTunedRegressor", "LoRA"]
