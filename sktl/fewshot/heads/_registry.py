"""Heads by name."""

from __future__ import annotations

import copy
from collections.abc import Callable

from sktl._named import get_named
from sktl.fewshot.heads._head import Head
from sktl.fewshot.heads._logistic import LogisticHead
from sktl.fewshot.heads._nearest import NearestNeighbourHead
from sktl.fewshot.heads._prototypes import PrototypeHead
from sktl.fewshot.heads._ridge import RidgeHead
from sktl.fewshot.heads._simpleshot import SimpleShotHead

# Those that work on any codes, without meta-training.
HEADS: dict[str, Callable[[], Head]] = {
    "prototypes": PrototypeHead,
    "cosine": lambda: PrototypeHead("cosine"),
    "simpleshot": SimpleShotHead,
    "ridge": RidgeHead,
    "nearest": NearestNeighbourHead,
    "logistic": LogisticHead,
}


def make_head(head: str | Head) -> Head:
    """Return a new head of that name, a user's own by its `name`, or a copy of the one given.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a head.
    """
    return copy.deepcopy(get_named(head, Head, HEADS, "head", "a Head"))
