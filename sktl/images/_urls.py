"""Pictures behind URLs, read by fsspec."""

from __future__ import annotations

import re

from sktl.images._errors import UnreadableError
from sktl.images._formats import LARGEST_FILE

_URL = re.compile(r"(?:[A-Za-z0-9_]+::)*[A-Za-z][A-Za-z0-9+.-]+://")  # of two letters at least: C: is a disk of Windows


def is_url(text: object) -> bool:
    """Whether a text names a file by a URL, such as ``s3://``, ``http://`` or ``memory://``."""
    return isinstance(text, str) and _URL.match(text) is not None


def read_url(url: str) -> bytes:
    """Return the bytes behind a URL."""
    try:
        import fsspec

        with fsspec.open(url, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        status = getattr(error.__cause__, "status", 404)  # fsspec says so of all that a server refuses
        raise UnreadableError("no such file" if status == 404 else f"the server answers {status}") from error
    except ImportError as error:  # fsspec itself, or what it needs for the protocol
        raise UnreadableError(
            f"URLs are read by fsspec and its packages: pip install 'sktl[cluster]' ({error})"
        ) from error
    except Exception as error:  # each protocol has its own
        raise UnreadableError((str(error) or type(error).__name__).splitlines()[0]) from error
    if len(data) > LARGEST_FILE:
        raise UnreadableError(f"more than {LARGEST_FILE // 2**20} MiB long")
    return data
