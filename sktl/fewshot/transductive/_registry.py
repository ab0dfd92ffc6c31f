"""Transductive methods by name."""

from __future__ import annotations

from typing import Any

from sktl._named import get_named
from sktl.fewshot.transductive._base import TransductiveMethod
from sktl.fewshot.transductive._bd_cspn import BDCSPN
from sktl.fewshot.transductive._laplacian_shot import LaplacianShot
from sktl.fewshot.transductive._pt_map import PTMAP
from sktl.fewshot.transductive._tim import TIM

TRANSDUCTIVE: dict[str, type[TransductiveMethod]] = {
    "bd_cspn": BDCSPN,
    "laplacian_shot": LaplacianShot,
    "tim": TIM,
    "pt_map": PTMAP,
}


def get_transductive(method: Any) -> TransductiveMethod:
    """Return the method of that name, a user's own by its `name`; methods come back as they are.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a method.
    """
    also = "an object of sktl.fewshot.transductive"
    return get_named(method, TransductiveMethod, TRANSDUCTIVE, "transductive", also, unset="False, ")
