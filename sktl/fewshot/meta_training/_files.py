"""Meta-learners from files, whatever their class."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from torch import nn

from sktl._modes import in_plain_modes
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._saving import read_learner


@in_plain_modes
def load_learner(path: str | Path, /, **modules: nn.Module) -> Any:
    """Return the meta-learner that `save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    **modules : Module
        The modules that were given to the learner as parameters, by parameter: files do not hold code.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, none of a meta-learner, or a module that it needs is not given.
    """
    return read_learner(path, learner_classes(), modules)


def learner_classes() -> dict[str, type]:
    """Return the meta-learners by name, those among them that users have defined.

    A name that classes of several modules bear is left out: it does not say which of them is meant.
    """
    found: dict[str, type] = {}
    homes: dict[str, set[str]] = {}
    waiting: list[type] = [MetaLearner]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if not inspect.isabstract(cls):
            found.setdefault(cls.__name__, cls)
            homes.setdefault(cls.__name__, set()).add(cls.__module__)
    return {name: cls for name, cls in found.items() if len(homes[name]) == 1}
