"""Small checks and phrasings that every folder uses."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from typing import Any

MOST_THREADS = 64
# Beyond these, a mistyped number takes all memory or all time before anything is noticed.
MOST_UNITS = 2**16  # of a layer
MOST_LAYERS = 1000
MOST_STEPS = 10**6  # of an inner loop


def did_you_mean(word: str, options: Iterable[str], *, most: int = 5) -> str:
    """Return ' Did you mean ...?' with the options nearest to `word`, or '' if none is near."""
    options = list(options)
    near = difflib.get_close_matches(word, options, n=most, cutoff=0.6)
    if not near:
        lowered = word.lower()
        near = [option for option in options if lowered in option.lower()][:most]
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(option) for option in near)}?"


def shorten(items: Iterable[object], *, most: int = 10) -> str:
    """Return the items joined by commas, the tail of a long list counted rather than shown."""
    texts = [str(item) for item in items]
    tail = f", and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + tail


def printable(text: object, *, most: int | None = None) -> str:
    """Return a text on one line: what does not print, or turns what follows it, as an escape; a long one is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if most is None or len(shown) <= most else f"{shown[: most - 3]}..."


def advice_on_network(error: Exception, module: Any) -> str | None:
    """Return what to do about an error in a network's forward that has nothing to do with pictures, or None."""
    text = str(error)
    bases = {base for part in module.modules() for base in type(part).__mro__}
    if isinstance(error, AttributeError) and any(vars(base).get("__slots__") for base in bases):
        return (
            "Networks are copied before they are used, and copies of modules lack what stands in __slots__: keep it as "
            "an ordinary attribute."
        )
    if "dtype" in text or "double" in text.lower():
        return (
            "Networks are computed in float32, their own values too: take conversions to another type, such as "
            ".double() or .half(), out of forward."
        )
    return None


def available_cpus() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def effective_n_jobs(n_jobs: int | None) -> int:
    """Return a number of threads: None is all cores this process may use, negative counts from them as in joblib."""
    if n_jobs is None:
        return available_cpus()
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0; use None for all cores, or a number of threads.")
    if n_jobs > 0:  # more threads than that only wait for each other
        return min(n_jobs, max(MOST_THREADS, available_cpus()))
    return max(1, available_cpus() + 1 + n_jobs)
