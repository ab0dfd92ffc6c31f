"""What `candidates` means: families by name or as objects, and estimators of the user's."""

from __future__ import annotations

from typing import Any

from sktl._named import get_named
from sktl.advisor._candidates import (
    SHALLOW,
    SIMPLE,
    Candidate,
    CandidateFamily,
    CodesCandidates,
)
from sktl.advisor._material import Material
from sktl.advisor._trainings import FineTuningCandidates

FAMILIES = {"codes": CodesCandidates, "fine-tune": FineTuningCandidates}


def listed(owner: Any, material: Material) -> list[Candidate]:
    """Return what is to be tried, the simplest first: families, and estimators of the user's as they stand.

    Raises
    ------
    TypeError, ValueError
        If something is no family's name, family, estimator, or pair of a name and an estimator.
    """
    items = _items(owner)
    found: list[Candidate] = []
    for item in items:
        if isinstance(item, str) and item == "auto":
            for family in (CodesCandidates(), FineTuningCandidates()):
                found += family._candidates(owner, material)
        elif isinstance(item, (str, CandidateFamily)):
            family = as_family(item)
            said = type(family).__dict__.get("name", "given")
            found += [
                one if isinstance(one, Candidate) else Candidate(one[0], said, SHALLOW, one[1], is_given=True)
                for one in family._candidates(owner, material)
            ]
        else:
            name, estimator = named_estimator(item)
            found.append(Candidate(name, "given", SHALLOW if found else SIMPLE, estimator, is_given=True))
    names = [one.name for one in found]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"candidates have two of the name {repeated!r}; give pairs of differing names.")
    if not found:
        raise ValueError(
            f"candidates={owner.candidates!r} has nothing for {material.problem.kind}. Leave it at 'auto', or add an "
            "estimator."
        )
    found[0].tier = SIMPLE
    return found


def as_family(item: Any) -> CandidateFamily:
    """Return a family, by its name too."""
    return get_named(
        item,
        CandidateFamily,
        FAMILIES,
        "candidates",
        also="an estimator, or a pair (name, estimator)",
        unset="'auto', ",
    )


def named_estimator(item: Any) -> tuple[str, Any]:
    """Return a pair of a name and an estimator."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and hasattr(item[1], "fit"):
        return item
    if hasattr(item, "fit") and not isinstance(item, type):
        return type(item).__name__, item
    raise TypeError(
        "candidates holds 'auto', names of families such as 'codes' and 'fine-tune', estimators, and pairs (name, "
        f"estimator); got {item!r} of type {type(item).__name__}."
    )


def _items(owner: Any) -> list[Any]:
    given = owner.candidates
    is_pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) and hasattr(given[1], "fit")
    return [given] if is_pair or not isinstance(given, (list, tuple)) else list(given)


def wants_codes(owner: Any) -> bool:
    """Whether any candidate is of the library's own, for which rows are looked at first."""
    items = _items(owner)
    return any(isinstance(item, (str, CandidateFamily)) for item in items)


def check_listed(owner: Any) -> None:
    """Raise where candidates are malformed, before any work."""
    items = _items(owner)
    if not items:
        raise ValueError("candidates is an empty list; leave it at 'auto', or name at least one.")
    for item in items:
        if isinstance(item, (str, CandidateFamily)):
            if item != "auto":
                as_family(item)
        else:
            named_estimator(item)
