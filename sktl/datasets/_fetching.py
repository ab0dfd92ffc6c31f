"""Archives of pictures from their public sources, checked, and unpacked once."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from sklearn.datasets import fetch_file, get_data_home

from sktl._digests import file_sha256


@dataclass(frozen=True)
class Archive:
    """A zip file of one folder.

    Attributes
    ----------
    url : str
        Where it lies.
    sha256 : str
        The digest of its bytes.
    folder : str
        The folder in it.
    """

    url: str
    sha256: str
    folder: str

    @property
    def filename(self) -> str:
        """Return the file's own name."""
        return self.url.rsplit("/", 1)[-1]


def fetched(archive: Archive, name: str, data_home: str | os.PathLike | None, download_if_missing: bool) -> Path:
    """Return the unpacked folder of an archive, which is fetched and unpacked if it is not there.

    It lies in the folder `name` of `data_home`. A zip file that somebody has put there is taken, if its digest agrees.

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
    if not (file.is_file() and file_sha256(file) == archive.sha256):
        by_hand = f"Put the file from {archive.url} at {str(file)!r}"
        if not download_if_missing:
            raise OSError(f"{name}: {str(folder)!r} is not there. {by_hand}, or pass download_if_missing=True.")
        home.mkdir(parents=True, exist_ok=True)
        try:
            fetch_file(archive.url, folder=home, local_filename=archive.filename, sha256=archive.sha256)
        except (URLError, OSError) as error:
            raise OSError(
                f"{name} could not be fetched ({error}). {by_hand}; its sha256 is {archive.sha256}."
            ) from error
    _unpack(file, archive, home)
    return folder


def _unpack(file: Path, archive: Archive, home: Path) -> None:
    """Unpack to a folder beside, and move the whole to its place."""
    beside = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=home))
    try:
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
