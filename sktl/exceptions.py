"""Errors and warnings that sktl raises beside the usual ``ValueError`` and ``TypeError``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "BackboneNotFoundError",
    "BadImageError",
    "CacheWarning",
    "CheckpointWarning",
    "DivergenceError",
    "EngineWarning",
    "PictureWarning",
    "WeightsError",
    "WorkerError",
]


class BadImageError(ValueError):
    """Pictures that cannot be read; every bad one of a list is named in one error.

    Attributes
    ----------
    failures : dict of int or str to str
        What is wrong with each bad picture, by its index in the list; by its path where `load_pictures` says it.
    """

    def __init__(self, message: str, failures: Mapping[Any, str] | None = None):
        super().__init__(message)
        self.failures: dict[Any, str] = dict(failures or {})

    def __reduce__(self):
        return type(self), (self.args[0], self.failures)


class WeightsError(ValueError):
    """Weights that are missing, damaged, or that do not fit the network."""


class WorkerError(RuntimeError):
    """A worker of a cluster that cannot compute what the client would: other versions, other weights, or none."""


class BackboneNotFoundError(ValueError):
    """A backbone's name that nothing answers to."""


class PictureWarning(UserWarning):
    """Pictures are read, but perhaps not as they were meant, or some of them cannot be read.

    Attributes
    ----------
    failures : dict of int or str to str
        What is wrong with each picture that cannot be read, as in `BadImageError`; empty where the warning is of
        another matter.
    """

    def __init__(self, message: str, failures: Mapping[Any, str] | None = None):
        super().__init__(message)
        self.failures: dict[Any, str] = dict(failures or {})

    def __reduce__(self):
        return type(self), (self.args[0], self.failures)


class CacheWarning(UserWarning):
    """The store of codes cannot be used as asked; the result is right all the same, only slower."""


class CheckpointWarning(UserWarning):
    """Checkpoints of a training cannot be used as asked; the training goes on all the same."""


class EngineWarning(UserWarning):
    """The engine asked for cannot run this network; another one gives the same codes."""


class DivergenceError(ArithmeticError):
    """Training left the range of finite numbers.

    Attributes
    ----------
    epoch, step : int or None
        Where, both counted from 1; `step` counts the updates since training began.
    learning_rate : float or None
        The first parameter group's rate at that step.
    last_good_state : dict of str to Tensor, or None
        The network's state at the end of the last epoch that was finite, where it was asked to be kept.
    """

    def __init__(
        self,
        message: str,
        *,
        epoch: int | None = None,
        step: int | None = None,
        learning_rate: float | None = None,
        last_good_state: Mapping[str, Any] | None = None,
    ):
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate
        self.last_good_state = last_good_state

    def __reduce__(self):
        return type(self), self.args, self.__dict__  # notes included
