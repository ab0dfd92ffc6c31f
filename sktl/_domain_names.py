"""Names of domains: one domain has one name, however the column that holds it is typed."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from sktl._unlabelled import moment_of

UNITS = "D", "s", "us", "ns"


def domain_name(value: Any) -> str:
    """Return a domain's name: 1 and 1.0 have one, and so have a day, midnight of it, and dates of other units.

    Parameters
    ----------
    value : number, text, date or other object
        An entry of a column of domains, or the name of one.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    moment = moment_of(value)
    if moment is not None:
        return _in_largest_unit(moment)
    is_whole = isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    return str(int(value)) if is_whole else str(value)


def domain_names(values: np.ndarray) -> np.ndarray:
    """Return each row's `domain_name`, an array of text of shape (n,).

    Raises
    ------
    ValueError
        If two domains that differ have one name.
    """
    if values.dtype.kind == "U":
        return values
    if values.dtype.kind != "O":
        names, of_row = np.unique(values, return_inverse=True)
        return np.array([domain_name(value) for value in names], dtype=str)[of_row]
    found = [domain_name(value) for value in values]
    known: dict[str, Any] = {}
    for value, name in zip(values, found):
        if known.setdefault(name, value) != value:
            raise ValueError(
                f"sample_domain has two domains that read {name!r}: {known[name]!r} of type "
                f"{type(known[name]).__name__}, and one of type {type(value).__name__}. Use values of one type."
            )
    return np.array(found, dtype=str)


def as_python(values: np.ndarray) -> list[Any]:
    """Return ``values.tolist()``, without the integers that it makes of dates in nanoseconds."""
    if values.dtype.kind in "mM":
        coarse = values.astype(f"{values.dtype.kind}8[us]")
        if np.datetime_data(values.dtype)[0] in ("ns", "ps", "fs", "as"):
            return coarse.tolist() if (coarse == values).all() else list(values)
    return list(values.tolist())


def rows_by_domain(values: np.ndarray, known: Iterable[Any]) -> tuple[dict[Any, np.ndarray], list[Any]]:
    """Return the rows of each known domain that occurs, by its entry in `known`, and the domains that are not known."""
    names = domain_names(values)
    entry_of = {domain_name(entry): entry for entry in known}
    rows, unknown = {}, []
    for name in np.unique(names).tolist():
        own = np.flatnonzero(names == name)
        if name in entry_of:
            rows[entry_of[name]] = own
        else:
            unknown += as_python(values[own[:1]])
    return rows, unknown


def _in_largest_unit(moment: np.datetime64 | np.timedelta64) -> str:
    for unit in UNITS:
        try:
            there = moment.astype(f"{moment.dtype.kind}8[{unit}]")
            if there == moment:
                return str(there)
        except TypeError:  # months have no days
            break
    return str(moment)
