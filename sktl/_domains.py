"""Which rows are source and which target: the one reading of sample_domain and the mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktl._array_api import n_rows
from sktl._columns import domain_column
from sktl._domain_names import domain_name, domain_names
from sktl._unlabelled import is_labelled, warn_of_three_way_labels
from sktl._validation import shorten

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class Domains:
    """The rows' domains.

    Attributes
    ----------
    names : ndarray of str
        Of all domains, sorted.
    of_row : int array of shape (n,)
        Each row's domain, as an index of `names`.
    targets : bool array of shape (n_domains,)
        Which domains are targets.
    is_pooled : bool
        Whether rows are taken for target rows, without a word about which target they belong to.
    """

    names: np.ndarray
    of_row: np.ndarray
    targets: np.ndarray
    is_pooled: bool = False

    @property
    def is_target(self) -> np.ndarray:
        """Which rows belong to a target."""
        return self.targets[self.of_row]


def found_domains(y: np.ndarray, sample_domain: Any, unlabelled: Any, target_domain: Any) -> Domains:
    """Return the domains of the rows in `fit`; the target is what has no label, where it is not named."""
    labelled = is_labelled(y, unlabelled)
    if sample_domain is None:
        if target_domain is not None:
            raise ValueError(
                f"target_domain={target_domain!r} names a domain, but fit was given no sample_domain. Pass one domain "
                "a row, or leave target_domain=None: unlabelled rows are then the target."
            )
        warn_of_three_way_labels(y, labelled, unlabelled)
        of_row = (~labelled).astype(np.intp)
        return Domains(np.array([SOURCE, TARGET]), of_row, np.array([False, True]))
    names, of_row = np.unique(domain_names(domain_column(sample_domain, n_rows(y))), return_inverse=True)
    if target_domain is not None:
        wanted = target_domain if isinstance(target_domain, (list, tuple, set, np.ndarray)) else [target_domain]
        wanted = {domain_name(name) for name in wanted}
        targets = np.isin(names, sorted(wanted))
        absent = sorted(wanted - set(names.tolist()))
        if absent:
            raise ValueError(
                f"target_domain {shorten(map(repr, absent))} does not occur in sample_domain; the domains are "
                f"{shorten(map(repr, names.tolist()))}."
            )
        return Domains(names, of_row, targets)
    n_labelled = np.bincount(of_row[labelled], minlength=len(names))
    targets = n_labelled == 0
    if not targets.any():
        warn_of_three_way_labels(y, labelled, unlabelled)
        targets = n_labelled < np.bincount(of_row, minlength=len(names))
    return Domains(names, of_row, targets)
