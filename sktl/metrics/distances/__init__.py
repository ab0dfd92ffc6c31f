"""How far two domains are apart, by their codes. Start with `proxy_a_distance`; ask `mmd` whether it is chance."""

from sktl.metrics.distances._cka import linear_cka
from sktl.metrics.distances._domain_move import DomainMove, domain_move
from sktl.metrics.distances._mmd import MMDResult, mmd
from sktl.metrics.distances._moments import coral_distance, frechet_distance
from sktl.metrics.distances._proxy_a import proxy_a_distance
from sktl.metrics.distances._shift_test import DomainShift, domain_shift_test
from sktl.metrics.distances._transport import otdd, sliced_wasserstein_distance

__all__ = [
    "DomainMove",
    "DomainShift",
    "MMDResult",
    "coral_distance",
    "domain_move",
    "domain_shift_test",
    "frechet_distance",
    "linear_cka",
    "mmd",
    "otdd",
    "proxy_a_distance",
    "sliced_wasserstein_distance",
]
