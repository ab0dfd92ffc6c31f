"""Transductive inference: all queries of a task are classified together, and help each other.

Pure functions over batches of tasks, and the parameter objects that hold their settings. Whoever uses them states it:
the answer for a row depends on the rows that come with it.
"""

from sktl.fewshot.transductive._base import TransductiveMethod
from sktl.fewshot.transductive._bd_cspn import BDCSPN, rectified_prototypes, shift_queries
from sktl.fewshot.transductive._laplacian_shot import LaplacianShot, smoothed_assignments
from sktl.fewshot.transductive._pt_map import PTMAP, centre, map_assignments, power_transformed
from sktl.fewshot.transductive._registry import TRANSDUCTIVE, get_transductive
from sktl.fewshot.transductive._span import Span
from sktl.fewshot.transductive._tasks import Tasks
from sktl.fewshot.transductive._tim import TIM, alternating_directions, descent, gradient
from sktl.fewshot.transductive._transport import transport

__all__ = [
    "BDCSPN",
    "PTMAP",
    "TIM",
    "TRANSDUCTIVE",
    "LaplacianShot",
    "Span",
    "Tasks",
    "TransductiveMethod",
    "alternating_directions",
    "centre",
    "descent",
    "get_transductive",
    "gradient",
    "map_assignments",
    "power_transformed",
    "rectified_prototypes",
    "shift_queries",
    "smoothed_assignments",
    "transport",
]
