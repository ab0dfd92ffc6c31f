"""Digests of files of weights."""

from __future__ import annotations

import hashlib
import os

from sktl.exceptions import WeightsError


def file_sha256(path: str | os.PathLike) -> str:
    """Return the sha256 of a file's bytes in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | os.PathLike, expected: str) -> None:
    """Raise `WeightsError` unless the file's sha256 begins with `expected`."""
    found = file_sha256(path)
    if not found.startswith(expected):
        raise WeightsError(
            f"The weights in {str(path)!r} are damaged or not the published ones: their sha256 should begin with "
            f"{expected[:16]}, but is {found[:16]}... Delete the file and fetch it again."
        )
