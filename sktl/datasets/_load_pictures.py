"""A folder with one sub-folder a class -> paths and labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_params

from sktl._preprocessing import Preprocessing
from sktl._validation import shorten
from sktl.exceptions import BadImageError, PictureWarning
from sktl.images import as_pictures, picture_suffixes

SMALL = Preprocessing(size=(32, 32))  # large JPEGs are decoded at an eighth of their size, which finds what is missing


@validate_params(
    {"folder": [str, os.PathLike], "on_bad": [StrOptions({"error", "skip", "report"})]},
    prefer_skip_nested_validation=True,
)
def load_pictures(folder: str | os.PathLike[str], *, on_bad: str = "error") -> tuple[list[Path], np.ndarray]:
    """Return the picture files of a folder, and their labels: the names of its sub-folders.

    Each sub-folder is a class, and its own sub-folders belong to it. Files are told by their suffix: those that Pillow
    reads, and those that it reads with a plugin. Hidden files and folders, whose name starts with a dot, are left out.
    So are other files, files beside the sub-folders, and sub-folders without any picture.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    on_bad : {"error", "skip", "report"}, default="error"
        What is done about files that cannot be read, each of which is decoded once to find out: one error that names
        all of them; they are left out; or they are left out and a warning names them.

    Returns
    -------
    paths : list of pathlib.Path
        The files, sorted by class and, in a class, by path. Every estimator of pictures takes them as X.
    labels : ndarray of shape (n,)
        The class of each file, a string.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If it has no sub-folder with pictures.
    BadImageError
        With ``on_bad="error"``, if files cannot be read. Its attribute `failures`, as that of the warning, says what is
        wrong with each, by path.

    See Also
    --------
    sklearn.datasets.load_files : The same for text.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktl.datasets import load_pictures
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i, name in enumerate(["ants", "bees", "bees"]):
    ...     (folder / name).mkdir(exist_ok=True)
    ...     Image.new("RGB", (32, 32)).save(folder / name / f"{i}.png")
    >>> paths, labels = load_pictures(folder)
    >>> [path.name for path in paths], labels.tolist()
    (['0.png', '1.png', '2.png'], ['ants', 'bees', 'bees'])
    """
    top = Path(folder)
    if not top.is_dir():
        kind = NotADirectoryError if top.exists() else FileNotFoundError
        raise kind(f"folder must be a folder with one sub-folder of pictures a class; {str(top)!r} is none.")
    suffixes = picture_suffixes()
    classes = sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [(path, inside.name) for inside in classes for path in sorted(_pictures(inside, suffixes))]
    if not found:
        raise ValueError(f"{str(top)!r} has no pictures in sub-folders, one a class; {_what_else(top, suffixes)}")
    failures = as_pictures([path for path, _ in found]).failures(range(len(found)), SMALL, None)
    if failures:
        found = _without(found, failures, on_bad, str(top))
    return [path for path, _ in found], np.array([label for _, label in found])


def _pictures(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yield all pictures below a folder, links to folders followed once."""
    seen = set()
    for where, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        inner[:] = [] if real in seen else [name for name in inner if not name.startswith(".")]
        names = [] if real in seen else names
        seen.add(real)
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield Path(where, name)


def _what_else(top: Path, suffixes: frozenset[str]) -> str:
    """Return what a folder without classes holds, and what to do."""
    others = [path for path in sorted(top.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    flat = [path for path in others if path.parent == top and path.suffix.lower() in suffixes]
    if flat:
        return f"its {len(flat)} pictures lie beside each other. Move those of each class to a sub-folder of its name."
    if others:
        kinds = sorted({path.suffix.lower() or path.name for path in others})
        return f"found files of other kinds: {shorten(kinds)}. Pictures end in .jpg, .png and the like."
    return "it is empty. Give the folder above the classes' own."


def _without(found: list[tuple[Path, str]], failures: dict[int, str], on_bad: str, top: str) -> list[tuple[Path, str]]:
    """Return the files that can be read; raise or warn where that was asked for."""
    by_path = {str(found[i][0]): failures[i] for i in sorted(failures)}
    said = f"{len(failures)} of {len(found)} pictures in {top!r} cannot be read: {shorten(by_path.values())}."
    if on_bad == "error":
        raise BadImageError(
            f"{said} Repair them or take them out, or pass on_bad='skip'; the attribute 'failures' of this error holds "
            "them all by path.",
            by_path,
        )
    rest = [pair for i, pair in enumerate(found) if i not in failures]
    if not rest:
        raise BadImageError(f"{said} None is left.", by_path)
    if on_bad == "report":
        warnings.warn(
            PictureWarning(f"{said} They are left out; this warning's attribute 'failures' holds all.", by_path),
            stacklevel=4,
        )
    return rest
