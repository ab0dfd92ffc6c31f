"""What is wrong with pictures, said once for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from sktl._validation import shorten
from sktl.exceptions import BadImageError


class UnreadableError(Exception):
    """One picture that cannot be read; whoever knows its index and path turns it into a `BadImageError`."""


def bad_images(failures: Mapping[int, str], total: int) -> BadImageError:
    """Return the error that names every bad picture by index, the first ten of them in its text."""
    ordered = {int(i): failures[i] for i in sorted(failures)}
    named = shorten(f"[{i}] {reason}" for i, reason in ordered.items())
    return BadImageError(
        f"{len(ordered)} of {total} pictures cannot be read: {named}. "
        "Repair them or take them out; the attribute 'failures' of this error holds them all by index.",
        ordered,
    )
