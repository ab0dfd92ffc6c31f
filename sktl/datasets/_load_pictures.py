"""A folder with one sub-folder a class, or a table with a column of paths -> paths and labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, overload

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from sktl._preprocessing import Preprocessing
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.datasets._picture_table import TABLES, is_table, read_picture_table
from sktl.exceptions import BadImageError, PictureWarning
from sktl.images import as_pictures, picture_suffixes

SMALL = Preprocessing(size=(32, 32))  # large JPEGs are decoded at an eighth of their size, which finds what is missing


@overload
def load_pictures(
    folder: str | os.PathLike[str],
    *,
    on_bad: str = ...,
    path_column: str = ...,
    label_column: str | None = ...,
    return_X_y: Literal[True] = True,
) -> tuple[list[Path], np.ndarray]: ...


@overload
def load_pictures(
    folder: str | os.PathLike[str],
    *,
    on_bad: str = ...,
    path_column: str = ...,
    label_column: str | None = ...,
    return_X_y: Literal[False],
) -> Bunch: ...


@validate_params(
    {
        "folder": [str, os.PathLike],
        "on_bad": [StrOptions({"error", "skip", "report"})],
        "path_column": [str],
        "label_column": [str, None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_pictures(
    folder: str | os.PathLike[str],
    *,
    on_bad: str = "error",
    path_column: str = "path",
    label_column: str | None = "label",
    return_X_y: bool = True,
) -> tuple[list[Path], np.ndarray] | Bunch:
    """Return the picture files of a folder and their labels, the names of its sub-folders; or those of a table.

    Each sub-folder is a class, and its own sub-folders belong to it. Files are told by their suffix: those that Pillow
    reads, and those that it reads with a plugin. Hidden files and folders, whose name starts with a dot, are left out.
    So are other files, files beside the sub-folders, and sub-folders without any picture.

    A table is a file that ends in .csv, .tsv or .parquet (pandas reads it), with a column of paths and one of labels.
    Relative paths lie below the table's own folder.

    Parameters
    ----------
    folder : str or path-like
        The folder, or the table.
    on_bad : {"error", "skip", "report"}, default="error"
        What is done about files that cannot be read, each of which is decoded once to find out: one error that names
        all of them; they are left out; or they are left out and a warning names them.
    path_column : str, default="path"
        The table's column of paths.
    label_column : str, default="label"
        The table's column of labels; None reads none, and `labels` is empty.
    return_X_y : bool, default=True
        Whether to return `paths` and `labels`. If not, a `Bunch` with ``data`` (the paths), ``target`` (the labels),
        ``target_names`` (each class once, sorted) and ``frame`` (the table, with all its columns; None for a folder).

    Returns
    -------
    paths : list of pathlib.Path
        The files, sorted by class and, in a class, by path; those of a table in its order. Every estimator of pictures
        takes them as X.
    labels : ndarray of shape (n,)
        The class of each file, a string; of a table, what stands in the column.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder or table.
    ValueError
        If it has no sub-folder with pictures, or the table not those columns, or rows without a path or label.
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
    frame = None
    if is_table(top) and top.is_file():
        paths, y, frame = read_picture_table(top, path_column, label_column)
        found = list(enumerate(paths))
    else:
        found, y = _in_folder(top)
    failures = as_pictures([path for _, path in found]).failures(range(len(found)), SMALL, None)
    if failures:
        found = _without(found, failures, on_bad, str(top))
    kept = [i for i, _ in found]
    paths, y = [path for _, path in found], (y[kept] if len(y) else y)
    if return_X_y:
        return paths, y
    names = np.unique(y).tolist() if len(y) else []
    rows = None if frame is None else frame.iloc[kept].reset_index(drop=True)
    return Bunch(data=paths, target=y, target_names=names, frame=rows)


def _in_folder(top: Path) -> tuple[list[tuple[int, Path]], np.ndarray]:
    """Return the numbered pictures of a folder of folders, and their classes."""
    if not top.is_dir():
        kind = NotADirectoryError if top.exists() else FileNotFoundError
        tables = f", or a table ({', '.join(TABLES)})" if not top.exists() or top.is_file() else ""
        raise kind(f"folder must be a folder with one sub-folder of pictures a class{tables}; {str(top)!r} is none.")
    suffixes = picture_suffixes()
    classes = sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = [(path, inside.name) for inside in classes for path in sorted(_pictures(inside, suffixes))]
    if not found:
        raise ValueError(f"{str(top)!r} has no pictures in sub-folders, one a class; {_what_else(top, suffixes)}")
    return [(i, path) for i, (path, _) in enumerate(found)], np.array([label for _, label in found])


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


def _without(found: list[tuple[int, Path]], failures: dict[int, str], on_bad: str, top: str) -> list[tuple[int, Path]]:
    """Return the files that can be read; raise or warn where that was asked for."""
    by_path = {str(found[i][1]): failures[i] for i in sorted(failures)}
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
        warn_user(PictureWarning(f"{said} They are left out; this warning's attribute 'failures' holds all.", by_path))
    return rest
