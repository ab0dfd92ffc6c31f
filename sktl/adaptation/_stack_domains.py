"""From domains that are held apart to one X, y and sample_domain."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sktl._array_api import n_rows, on_host, rows_on_host
from sktl._unlabelled import MARK, as_labels, is_missing_label


def stack_domains(Xs: Any, ys: Any, Xt: Any, yt: Any = None) -> tuple[Any, np.ndarray, np.ndarray]:
    """Put labelled source rows and target rows one after another, target rows marked as unlabelled.

    Parameters
    ----------
    Xs : array-like, sequence of pictures, DataFrame or sparse matrix; or a dict or list of these
        The source's rows, or those of several sources (by name, if it is a dict).
    ys : array-like, or a dict or list of these
        Their labels.
    Xt : as Xs
        The target's rows, or in a dict those of several targets.
    yt : array-like or dict, default=None
        Labels of the target rows, with -1 (among text also "-1"), None or NaN where there is none; by default there is
        none at all.

    Returns
    -------
    X : of the kind of Xs
        All rows, sources first.
    y : ndarray
        Labels; -1 for unlabelled rows, "-1" among labels of text: marks that sort, so that ``cv=3`` and
        ``train_test_split(..., stratify=y)`` work. Beside unlabelled rows Booleans become 0 and 1. Labels that are
        neither numbers, Booleans nor text are marked by None.
    sample_domain : ndarray of str
        "source" and "target", or the names in the dicts; sources in a list are "source_0", "source_1", ...

    Raises
    ------
    ValueError
        If lengths or shapes differ, two domains have one name, or a label equals the mark.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import stack_domains
    >>> X, y, sample_domain = stack_domains(np.zeros((2, 3)), [4, 5], np.ones((1, 3)))
    >>> X.shape, y.tolist(), sample_domain.tolist()
    ((3, 3), [4, 5, -1], ['source', 'source', 'target'])
    """
    sources, targets = _by_name(Xs, ys, "source"), _by_name(Xt, yt, "target", is_target=True)
    shared = set(sources) & set(targets)
    if shared:
        raise ValueError(f"Sources and targets must differ in name; both have {', '.join(map(repr, sorted(shared)))}.")
    rows, labels, names = [], [], []
    for name, (X, y) in {**sources, **targets}.items():
        n = n_rows(X, f"Domain {name!r}")
        y = [None] * n if y is None else _as_list(y)
        if len(y) != n:
            raise ValueError(f"Domain {name!r} has {n} rows, but {len(y)} labels.")
        if name in sources and any(_is_mark(label) for label in y):
            raise ValueError(
                f"Source {name!r} has the label {MARK}, None or NaN, which marks unlabelled rows. Leave unlabelled "
                "source rows out, or name the class otherwise."
            )
        rows.append(X)
        labels += [None if _is_mark(label) else label for label in y]
        names += [name] * n
    return _stacked(rows, [*sources, *targets]), _marked(labels), np.array(names)


def _by_name(Xs: Any, ys: Any, role: str, *, is_target: bool = False) -> dict[str, tuple[Any, Any]]:
    """Return (X, y) by name of the domain."""
    if isinstance(Xs, Mapping):
        if ys is not None and (not isinstance(ys, Mapping) or set(Xs) != set(ys)):
            found = sorted(map(str, ys)) if isinstance(ys, Mapping) else type(ys).__name__
            raise ValueError(f"X of each {role} comes in a dict of {sorted(map(str, Xs))}, so must y; got {found}.")
        return {str(name): (X, None if ys is None else ys[name]) for name, X in Xs.items()}
    if not is_target and isinstance(ys, (list, tuple)) and len(ys) and _is_sequence(ys[0]):
        if len(Xs) != len(ys):
            raise ValueError(f"There are {len(Xs)} sources in Xs, but labels of {len(ys)} in ys.")
        return {f"{role}_{i}": (X, y) for i, (X, y) in enumerate(zip(Xs, ys))}
    return {role: (Xs, ys)}


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def _as_list(y: Any) -> list:
    y = as_labels(y)
    return list(y) if y.dtype.kind in "mM" else y.tolist()


def _is_mark(label: Any) -> bool:
    if is_missing_label(label):
        return True
    if isinstance(label, str):
        return label == str(MARK)
    return not isinstance(label, (bool, np.bool_)) and bool(label == MARK)


def _marked(labels: list) -> np.ndarray:
    """Return labels with the mark where there is none: -1 among numbers, "-1" among text, None among other objects."""
    known = [label for label in labels if label is not None]
    if all(isinstance(label, (Real, np.bool_)) for label in known):  # Booleans too
        return np.array([MARK if label is None else label for label in labels])
    if all(isinstance(label, str) for label in known):
        return np.array([str(MARK) if label is None else label for label in labels])
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out


def _stacked(rows: list, names: list[str]) -> Any:
    if all(isinstance(X, torch.Tensor) for X in rows):
        _check_shapes(rows, names)
        return torch.cat([X.detach().to(rows[0].device) for X in rows])
    rows = [rows_on_host(X) for X in rows]
    if any(sparse.issparse(X) for X in rows):
        return sparse.vstack(rows, format="csr")
    if all(hasattr(X, "columns") and hasattr(X, "iloc") for X in rows):
        import pandas as pd

        return pd.concat(rows, ignore_index=True)
    if isinstance(rows[0], np.ndarray) or any(getattr(X, "ndim", 0) > 1 for X in rows):  # frames beside arrays too
        rows = [np.asarray(on_host(X)) for X in rows]
        _check_shapes(rows, names)
        return np.concatenate(rows)
    return [row for X in rows for row in X]


def _check_shapes(rows: list, names: list[str]) -> None:
    shapes = [tuple(X.shape[1:]) for X in rows]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise ValueError(
            f"Rows of {names[0]!r} have shape {shapes[0]}, but those of {names[odd]!r} have shape {shapes[odd]}. Bring "
            "arrays to one shape, or pass lists of PIL images (PIL.Image.fromarray), which may differ in size, and set "
            "image_size."
        )
