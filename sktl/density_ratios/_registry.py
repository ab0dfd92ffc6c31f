"""Density ratios by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sktl._named import make_named
from sktl.density_ratios._base import DensityRatio
from sktl.density_ratios._discriminative import DiscriminativeRatio
from sktl.density_ratios._kernel_mean_matching import KernelMeanMatching
from sktl.density_ratios._kliep import KLIEP
from sktl.density_ratios._nearest_neighbor import NearestNeighborRatio
from sktl.density_ratios._rulsif import RuLSIF

DENSITY_RATIOS: dict[str, Callable[..., DensityRatio]] = {
    "discriminative": DiscriminativeRatio,
    "kmm": KernelMeanMatching,
    "kliep": KLIEP,
    "ulsif": partial(RuLSIF, 0.0),
    "rulsif": RuLSIF,
    "nearest_neighbor": NearestNeighborRatio,
}


def get_density_ratio(name: str = "discriminative", **params: Any) -> DensityRatio:
    """Return an estimate of density ratios by its name.

    Parameters
    ----------
    name : str, default="discriminative"
        A key of `DENSITY_RATIOS`, or the `name` of a subclass of `DensityRatio` of one's own.
    **params
        Of its class.

    Returns
    -------
    DensityRatio
        With ``estimate(source, target)``.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from sktl.density_ratios import get_density_ratio
    >>> get_density_ratio("ulsif")
    RuLSIF(alpha=0.0)
    """
    return make_named(name, DensityRatio, DENSITY_RATIOS, "density ratio", **params)
