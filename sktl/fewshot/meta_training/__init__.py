"""Training over many tasks: episodes, encoders, methods, and the learners' base."""

from sktl.fewshot.meta_training._files import learner_classes

__all__ = ["learner_classes"]
