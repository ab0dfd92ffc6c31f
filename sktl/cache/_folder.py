"""The folder of a store on disk: its marker, and whose folder it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

MARKER = "sktl-cache.json"
FORMAT = "sktl-cache"
VERSION = 1
FULL = 64 * 2**10  # a disk with less space than this has none
INSIDE = (
    "owners",
    "setup.lock",
    "write.lock",
    f"v{VERSION}",
    f"v{VERSION}/data.mdb",
    f"v{VERSION}/lock.mdb",
    f"v{VERSION}-damaged",
)


def check_folder(root: Path) -> bool:
    """Return whether the folder holds a store; raise ValueError if it is something else.

    Nothing is written. A missing or empty folder is no store yet.
    """
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise ValueError(
            f"The cache folder {str(root)!r} is a file, or lies in one; give the path of a folder."
        ) from None
    if names and MARKER not in names:
        raise ValueError(
            f"The folder {str(root)!r} is not empty and is not a cache (it has no {MARKER}); "
            "give an empty or a new folder, so that nothing of yours is mixed with codes."
        )
    for name in (MARKER, *INSIDE):
        if (root / name).is_symlink():
            raise ValueError(
                f"{str(root / name)!r} is a link, and links inside a cache are not followed: they could lead to files "
                "of others. Remove the link, or give another folder as the cache."
            )
    if names and _marked(root).get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"The file {str(root / MARKER)!r} was not written by sktl; give an empty or a new folder as the cache."
        )
    return bool(names)


def mark_folder(root: Path) -> None:
    """Make the folder, with the marker as the first thing in it."""
    root.mkdir(parents=True, exist_ok=True)
    if not _marked(root):
        # Not through a temporary file: the marker has to be the first file, lest another process sees a foreign folder.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(root / MARKER, flags, 0o666), "w", encoding="utf-8") as file:
            file.write(json.dumps({"format": FORMAT, "version": VERSION}) + "\n")


def foreign_version(root: Path) -> object | None:
    """Return the version in the marker if it is not the one written here."""
    version = _marked(root).get("version", VERSION)
    return None if version == VERSION else version


def data_folder(root: Path) -> Path:
    """Return where the codes of this version lie; each version has its own place, so they never mix."""
    return root / f"v{VERSION}"


def reason_of(error: Exception, root: Path) -> str:
    """Return why a store failed; a full disk is named as such, whatever the error says of it."""
    is_full = getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)
    if os.strerror(errno.EIO) in str(error):  # what LMDB makes of a write that was cut short
        with suppress(OSError):
            is_full |= shutil.disk_usage(root).free < FULL
    return f"the disk is full: {error}" if is_full else str(error)


def _marked(root: Path) -> dict:
    with suppress(OSError, ValueError):  # missing, or cut short by a process that was killed while it made the folder
        marker = json.loads((root / MARKER).read_text(encoding="utf-8"))
        return marker if isinstance(marker, dict) else {}
    return {}
