"""The order in which target rows are taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl._columns import domain_column, sorted_names
from sktl._domain_names import as_python, domain_name
from sktl._periods import in_order_of_time
from sktl._validation import shorten


def steps_of(rows: np.ndarray, domains: Any, order: Any, n_steps: int, least: int = 1) -> dict[Any, np.ndarray]:
    """Return the rows of each step by name, in the order in which they are to be taken.

    Parameters
    ----------
    rows : array of int
        Row numbers of the target.
    domains : array-like or None
        Of all rows; without it the target rows are taken in order, in `n_steps` parts of even size.
    order : {"sorted"}, list or None
        Names of the domains in their order.
    least : int, default=1
        Rows of a part at least, where there are as many: there are fewer parts then.

    Raises
    ------
    ValueError
        If the order lacks a domain or names one that has no row, or there are fewer rows than steps.
    """
    if domains is None:
        if not isinstance(order, str):
            raise ValueError(
                f"order={order!r} speaks of domains, but fit was given no sample_domain. Pass one domain a row, or "
                "leave order='sorted' to take the rows as they stand."
            )
        if len(rows) < n_steps:
            raise ValueError(
                f"n_steps={n_steps} parts need at least as many target rows; got {len(rows)} sample(s). Use fewer "
                "steps."
            )
        return dict(enumerate(np.array_split(rows, min(n_steps, max(1, len(rows) // least)))))
    if isinstance(order, str):
        names, of_row = in_order_of_time(domains, None, rows=rows)
    else:
        names, of_row = sorted_names(domain_column(domains, None)[rows])
    found = {name: rows[of_row == i] for i, name in enumerate(as_python(names))}
    if order is None or isinstance(order, str):
        return found
    known, wanted = {domain_name(name): name for name in found}, [domain_name(name) for name in order]
    absent = [name for name in order if domain_name(name) not in known]
    left_out = [own for name, own in known.items() if name not in wanted]
    if absent or left_out:
        raise ValueError(
            f"order must name each target domain once: {shorten(map(repr, found))}. "
            + (f"No target row is of {shorten(map(repr, absent))}. " if absent else "")
            + (f"It lacks {shorten(map(repr, left_out))}." if left_out else "")
        )
    return {known[name]: found[known[name]] for name in wanted}


def with_neighbours(steps: dict[Any, np.ndarray], least: int) -> dict[Any, np.ndarray]:
    """Return the rows that each step learns: its own, and where they are few those before it, up to `least` in all.

    Errors of small steps add up: a handful of rows says little, and may lack a class. The first steps take rows from
    behind them.
    """
    every = np.concatenate([*steps.values()])
    found, stop = {}, 0
    for name, own in steps.items():
        stop += len(own)
        start = max(0, min(stop - len(own), stop - least))
        found[name] = every[start : max(stop, start + least)]
    return found
