"""What was learned on earlier data sets: a file of JSON lines, and the nearest of them to a new one."""

from __future__ import annotations

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sktl._validation import printable, shorten
from sktl._warn_once import warn_user
from sktl.advisor._candidates import SIMPLE, Candidate
from sktl.advisor._material import Material

VERSION = 1
NEAREST = 3
LONGEST_REASON = 120  # characters said of a line
FOR_WANT_OF_TIME = re.compile(r"( at \d+ pixels)?(, \d+ epochs)?$")  # in the name of a training
OF_ANOTHER_KIND = 10.0  # distance between pictures and rows, or classes and values


@dataclass(frozen=True)
class Past:
    """One earlier search.

    Attributes
    ----------
    traits : dict
        Numbers and words that describe the data.
    scores : dict of str to float
        Of each candidate that was scored, by name.
    best : str
        Which was taken.
    """

    traits: dict[str, Any]
    scores: dict[str, float]
    best: str


def traits_of(material: Material) -> dict[str, Any]:
    """Return what describes a data set: kind, size, classes, balance, likeness to the network's source."""
    problem, decision = material.problem, material.decision
    sizes = problem.sizes
    found: dict[str, Any] = {
        "kind": "pictures" if problem.is_pictures else problem.kind,
        "task": "classes" if len(problem.classes) else "values",
        "log_rows": round(math.log10(material.n), 3),
        "log_classes": round(math.log10(max(1, len(problem.classes))), 3),
        "balance": round(float(sizes.min() / sizes.max()), 3),
    }
    if decision is not None and decision.similarity is not None:
        found["similarity"] = round(float(decision.similarity.value), 3)
    if not problem.is_pictures and hasattr(problem.X, "shape") and len(problem.X.shape) == 2:
        found["log_columns"] = round(math.log10(problem.X.shape[1]), 3)
    return found


def distance(traits: Mapping[str, Any], others: Mapping[str, Any]) -> float:
    """Return how unlike two data sets are: the Euclidean distance of their numbers, more where kinds differ."""
    apart = []
    for name in {*traits, *others}:
        one, other = traits.get(name), others.get(name)
        if isinstance(one, (int, float)) and isinstance(other, (int, float)):
            apart.append(float(one) - float(other))
        elif one != other:
            apart.append(OF_ANOTHER_KIND if isinstance(one, str) or isinstance(other, str) else 1.0)
    return math.hypot(*apart)  # no overflow


def read_experience(path: str | os.PathLike[str]) -> list[Past]:
    """Return the searches that a file tells of; lines that cannot be used are named by a warning."""
    file = Path(path)
    found, bad = [], []
    try:
        if not file.exists():
            return []
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        warn_user(f"Experience {str(path)!r} cannot be read ({error}); the search goes on without it.")
        return []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(_past(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            bad.append(f"line {number} ({printable(error, most=LONGEST_REASON)})")
    if bad:
        warn_user(f"Experience {str(file)!r}: left out {shorten(bad, most=5)}; the other lines are used.")
    return found


def _past(line: Any) -> Past:
    if not isinstance(line, dict):
        raise ValueError("no record")
    if line.get("version") != VERSION:
        raise ValueError(f"version {line.get('version')!r}, not {VERSION}")
    traits, scores = dict(line["traits"]), {str(name): float(score) for name, score in line["scores"].items()}
    if not all(isinstance(value, str) or math.isfinite(value) for value in traits.values()):
        raise ValueError("a trait is no number")
    finite = {whole_name(name): score for name, score in scores.items() if math.isfinite(score)}
    return Past(traits, finite, whole_name(str(line["best"])))


def whole_name(name: str) -> str:
    """Return a candidate's name without the size of pictures and the epochs that there was time for."""
    return FOR_WANT_OF_TIME.sub("", name)


def note_experience(path: str | os.PathLike[str], traits: Mapping[str, Any], scores: Mapping[str, float], best: str):
    """Add one search to a file; where it cannot be written, a warning says so."""
    kept = {name: round(float(score), 5) for name, score in scores.items() if math.isfinite(score)}
    line = json.dumps({"version": VERSION, "traits": dict(traits), "scores": kept, "best": best})
    try:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        ends_badly = file.exists() and file.stat().st_size > 0 and not file.read_bytes().endswith(b"\n")
        with file.open("a", encoding="utf-8") as lines:
            lines.write("\n" * ends_badly + line + "\n")  # in one call: several processes may add to it
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        warn_user(f"Experience {str(path)!r} cannot be written ({error}); what was learned now is not kept there.")


def by_experience(
    candidates: list[Candidate], traits: Mapping[str, Any], past: list[Past]
) -> tuple[list[Candidate], list[Past]]:
    """Return the candidates with those first that did best on the nearest earlier data sets, and these.

    The simplest stays where it is. A candidate's merit is its rank among those that were scored there, the nearer
    the more.
    """
    near = sorted(
        (p for p in past if distance(p.traits, traits) < OF_ANOTHER_KIND), key=lambda p: distance(p.traits, traits)
    )
    near = near[:NEAREST]
    if not near:
        return candidates, []
    merit: defaultdict[str, float] = defaultdict(float)
    for one in near:
        ranked, weight = sorted(one.scores, key=one.scores.__getitem__), 1 / (1 + distance(one.traits, traits))
        for place, name in enumerate(ranked, 1):
            merit[name] += weight * place / len(ranked)
        merit[one.best] += weight
    simple = [c for c in candidates if c.tier == SIMPLE]
    others = [c for c in candidates if c.tier != SIMPLE]
    return simple + sorted(others, key=lambda c: (c.tier, -merit[whole_name(c.name)])), near
