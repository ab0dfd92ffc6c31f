"""Transductive methods by name."""

from __future__ import annotations

from typing import Any

from sktl._validation import did_you_mean
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
    """Return the method of that name; methods come back as they are.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a method.
    """
    if isinstance(method, TransductiveMethod):
        return method
    if isinstance(method, type) and issubclass(method, TransductiveMethod):
        raise TypeError(f"transductive is the class {method.__name__}; pass an object of it, {method.__name__}().")
    names = ", ".join(map(repr, TRANSDUCTIVE))
    if not isinstance(method, str):
        raise TypeError(
            f"transductive must be False, one of {names}, or an object of sktl.fewshot.transductive; got {method!r} "
            f"of type {type(method).__name__}."
        )
    if method not in TRANSDUCTIVE:
        raise ValueError(
            f"transductive must be False, one of {names}, or an object of sktl.fewshot.transductive; got {method!r}."
            f"{did_you_mean(method, TRANSDUCTIVE)}"
        )
    return TRANSDUCTIVE[method]()
