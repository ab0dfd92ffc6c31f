"""Weighters by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sktl._named import make_named
from sktl.density_ratios import DENSITY_RATIOS, DensityRatio
from sktl.reweighting._bbse import BBSE
from sktl.reweighting._label_shift import LabelShift
from sktl.reweighting._rlls import RLLS
from sktl.reweighting._saerens import SaerensEM

WEIGHTERS: dict[str, Callable[..., DensityRatio | LabelShift]] = {
    **DENSITY_RATIOS,
    "bbse": BBSE,
    "em": SaerensEM,
    "rlls": RLLS,
}


def get_weighter(name: str = "discriminative", **params: Any) -> DensityRatio | LabelShift:
    """Return what weighs source rows, by its name.

    Parameters
    ----------
    name : str, default="discriminative"
        A key of `WEIGHTERS`: "discriminative", "kmm", "kliep", "ulsif", "rulsif" and "nearest_neighbor" weigh rows;
        "bbse", "em" and "rlls" weigh classes.
    **params
        Of its class.

    Returns
    -------
    DensityRatio or LabelShift
        For `ReweightedClassifier`.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from sktl.reweighting import get_weighter
    >>> get_weighter("bbse", soft=True)
    BBSE(soft=True)
    """
    return make_named(name, (DensityRatio, LabelShift), WEIGHTERS, "weighter", **params)
