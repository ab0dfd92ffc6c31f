"""How much more frequent a source row is in the target: ratios of densities, without either density."""

from sktl.density_ratios._base import DensityRatio
from sktl.density_ratios._discriminative import DiscriminativeRatio, density_ratio, held_out_log_ratios
from sktl.density_ratios._kernel_mean_matching import KernelMeanMatching
from sktl.density_ratios._kliep import KLIEP
from sktl.density_ratios._nearest_neighbor import NearestNeighborRatio
from sktl.density_ratios._registry import DENSITY_RATIOS, get_density_ratio
from sktl.density_ratios._rulsif import RuLSIF

__all__ = [
    "DENSITY_RATIOS",
    "KLIEP",
    "DensityRatio",
    "DiscriminativeRatio",
    "KernelMeanMatching",
    "NearestNeighborRatio",
    "RuLSIF",
    "density_ratio",
    "get_density_ratio",
]
