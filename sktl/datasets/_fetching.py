"""Archives of pictures from their public sources, checked, and unpacked once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from sklearn.datasets import fetch_file, get_data_home

from sktl._digests import file_sha256


@dataclass(frozen=True)
class Archive:
    """A zip file of one folder, or a tar file of several.

    Attributes
    ----------
    url : str
        Where it lies.
    sha256 : str
        The digest of its bytes; "" where it was never published.
    folder : str
        The folder in it; of a tar file the folder that it is unpacked to.
    name : str, default=""
        The file's own name, where the address does not end in it.
    older : mapping of str to str or None, default=None
        Published digests of older kinds ("md5", "sha1"), all of which must agree.
    """

    url: str
    sha256: str
    folder: str
    name: str = ""
    older: Mapping[str, str] | None = None

    @property
    def filename(self) -> str:
        """Return the file's own name."""
        return self.name or self.url.rsplit("/", 1)[-1]

    @property
    def digests(self) -> str:
        """Return the digests in words."""
        found = {"sha256": self.sha256} if self.sha256 else dict(self.older or {})
        return " and ".join(f"its {kind} is {digest}" for kind, digest in found.items())

    def is_it(self, file: Path) -> bool:
        """Return whether a file is there, and is this one."""
        if not file.is_file():
            return False
        if self.sha256 and file_sha256(file) != self.sha256:
            return False
        return all(_digest(file, kind) == digest for kind, digest in (self.older or {}).items())


def fetched(archive: Archive, name: str, data_home: str | os.PathLike | None, download_if_missing: bool) -> Path:
    """Return the unpacked folder of an archive, which is fetched and unpacked if it is not there.

    It lies in the folder `name` of `data_home`. An archive that somebody has put there is taken, if its digest agrees.

    Raises
    ------
    OSError
        If it is not there and cannot, or must not, be fetched; or if what came is another file.
    """
    home = Path(get_data_home(data_home)) / name
    folder = home / archive.folder
    if folder.is_dir():  # complete: it is moved there whole
        return folder
    file = home / archive.filename
    if not archive.is_it(file):
        by_hand = f"Put the file from {archive.url} at {str(file)!r}"
        if not download_if_missing:
            raise OSError(f"{name}: {str(folder)!r} is not there. {by_hand}, or pass download_if_missing=True.")
        home.mkdir(parents=True, exist_ok=True)
        try:
            _fetch(archive, home, file)
        except (URLError, OSError) as error:
            raise OSError(f"{name} could not be fetched ({error}). {by_hand}; {archive.digests}.") from error
    _unpack(file, archive, home)
    return folder


def _fetch(archive: Archive, home: Path, file: Path) -> None:
    fetch_file(archive.url, folder=home, local_filename=archive.filename, sha256=archive.sha256 or None)
    if not archive.is_it(file):
        file.unlink(missing_ok=True)
        raise OSError("what came is another file")


def _digest(file: Path, kind: str) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _unpack(file: Path, archive: Archive, home: Path) -> None:
    """Unpack to a folder beside, and move the whole to its place."""
    beside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=home))
    try:
        if tarfile.is_tarfile(file):
            with tarfile.open(file) as tar:
                tar.extractall(beside / archive.folder, filter="data")  # refuses names that lead elsewhere
        else:
            with zipfile.ZipFile(file) as content:
                content.extractall(beside)  # leaves out ".." and drives in names
        if not (beside / archive.folder).is_dir():
            raise OSError(f"{str(file)!r} holds no folder {archive.folder!r}.")
        try:
            os.rename(beside / archive.folder, home / archive.folder)
        except OSError:
            if not (home / archive.folder).is_dir():  # another process was as far
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
