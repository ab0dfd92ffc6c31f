"""A table with a column of paths -> paths, labels and the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from sktl._validation import did_you_mean, shorten

TABLES = (".csv", ".tsv", ".parquet", ".pq")


def is_table(path: Path) -> bool:
    """Whether a path's suffix is that of a table."""
    return path.suffix.lower() in TABLES


def read_picture_table(table: Path, path_column: str, label_column: str | None) -> tuple[list[Path], np.ndarray, Any]:
    """Return the paths, relative ones below the table's folder, the labels, and the table as a frame of pandas.

    Raises
    ------
    ValueError
        If a column is missing, or rows have no path: all of them are named.
    """
    frame = _frame(table)
    if len(frame) == 0:
        raise ValueError(f"{str(table)!r} has no rows.")
    for parameter, column in (("path_column", path_column), ("label_column", label_column)):
        if column is not None and column not in frame.columns:
            known = list(map(str, frame.columns))
            raise ValueError(
                f"{str(table)!r} has no column {column!r}, which {parameter} names.{did_you_mean(column, known)} "
                f"Its columns are {shorten(known)}."
            )
    cells = frame[path_column].tolist()
    bad = [i for i, cell in enumerate(cells) if not isinstance(cell, (str, os.PathLike)) or not str(cell).strip()]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(cells)} rows of {str(table)!r} have no path in the column {path_column!r}: rows "
            f"{shorten(bad)}. Leave them out of the table; or pass the column itself to an estimator that takes "
            "missing='mean' or 'zero'."
        )
    labels = None if label_column is None else frame[label_column]
    if labels is not None and bool(labels.isna().any()):
        missing = np.flatnonzero(labels.isna().to_numpy()).tolist()
        raise ValueError(
            f"{len(missing)} of {len(cells)} rows of {str(table)!r} have no label in the column {label_column!r}: rows "
            f"{shorten(missing)}. Write the mark of unlabelled rows there, -1 by default, or leave them out."
        )
    folder = table.parent
    y = np.array([], dtype=object) if labels is None else _plain(labels)
    return [folder / cell for cell in cells], y, frame


def _plain(labels: Any) -> np.ndarray:
    """Return labels as a plain array: text as strings, whatever pandas keeps it in."""
    values = labels.tolist()
    return np.array(values) if all(type(value) is type(values[0]) for value in values) else labels.to_numpy()


def _frame(table: Path) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("load_pictures reads tables with pandas: pip install pandas.") from error
    try:
        if table.suffix.lower() in (".csv", ".tsv"):
            return pd.read_csv(table, sep="\t" if table.suffix.lower() == ".tsv" else ",")
        return pd.read_parquet(table)
    except ImportError as error:
        raise ImportError(f"{str(table)!r} is read with pyarrow: pip install pyarrow.") from error
    except (ValueError, OSError) as error:  # pandas' own errors of parsing are of these, and pyarrow's
        raise ValueError(f"{str(table)!r} cannot be read as a table ({error}).") from error
