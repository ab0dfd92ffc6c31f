"""Statistics of many sources, kept, so that those near a target are found without their rows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from scipy import sparse

from sktl._array_api import check_array
from sktl._magnitudes import LARGEST_FLOAT64, at_larger_scale, check_magnitude, length_scaler, vanishing
from sktl._saving import Codec, read_model, write_model
from sktl._validation import shorten
from sktl.exceptions import WeightsError

STATISTICS = ("means", "deviations")


class SourceIndex:
    """Means and standard deviations of sources, which find the sources near a target without reading their rows.

    Reading a source's rows costs once, when it is added. After that a target is compared with a thousand sources in
    milliseconds, however many rows they have: the distance is that of Gaussians with a variance for each column, in
    units of the column's variance over all sources,

    ``sum_j ((m_j - n_j)^2 + (s_j - t_j)^2) / v_j / n_columns``,

    which is their squared 2-Wasserstein distance where columns are uncorrelated [1]_. It sees no correlations: let
    `SourceSelector` compare the nearest by a finer distance.

    Attributes
    ----------
    names : list of str
        Of the sources, in the order in which they were added.
    n_columns : int or None
        Of their rows; None as long as there is no source.

    References
    ----------
    .. [1] D. C. Dowson and B. V. Landau, "The Fréchet distance between multivariate normal distributions", Journal of
       Multivariate Analysis 12, 1982.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.advisor import SourceIndex
    >>> rng = np.random.default_rng(0)
    >>> index = SourceIndex()
    >>> for name, place in [("near", 0.2), ("far", 5.0), ("farther", 9.0)]:
    ...     index.add(name, rng.normal(loc=place, size=(50, 3)))
    >>> [name for name, distance in index.nearest(rng.normal(size=(40, 3)), n_sources=2)]
    ['near', 'far']
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._digests: list[str] = []
        self._means: list[np.ndarray] = []
        self._deviations: list[np.ndarray] = []

    @property
    def names(self) -> list[str]:
        """The sources, in the order in which they were added."""
        return list(self._places)

    @property
    def n_columns(self) -> int | None:
        """The number of columns of all rows."""
        return len(self._means[0]) if self._means else None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return str(name) in self._places

    def add(self, name: Any, X: Any) -> None:
        """Add a source, or renew the one of that name.

        Rows that the source was added with before are known by a digest of them, and cost nothing again.

        Parameters
        ----------
        name : int or str
            Of the source.
        X : array-like or sparse matrix of shape (n_rows, n_columns)
            Its rows.

        Raises
        ------
        TypeError, ValueError
            If they are no rows of finite numbers, or have other columns than those of the other sources.
        """
        rows = self._rows(X)
        name, digest = str(name), _digest(rows)
        place = self._places.get(name)
        if place is not None and self._digests[place] == digest:
            return
        mean, deviation = _moments(rows)
        if place is None:
            self._places[name] = len(self._digests)
            self._digests.append(digest)
            self._means.append(mean)
            self._deviations.append(deviation)
        else:
            self._digests[place], self._means[place], self._deviations[place] = digest, mean, deviation

    def distances(self, X: Any, names: Iterable[Any] | None = None) -> dict[str, float]:
        """Return how far each source is from a target; no source's rows are read.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_columns)
            Rows of the target.
        names : iterable of str or None, default=None
            Sources to compare with, and to take the columns' variances from; None is all of them.

        Returns
        -------
        dict of str to float
            0 for equal means and deviations; without a unit.

        Raises
        ------
        TypeError, ValueError
            If X is no table of finite numbers with the sources' columns, or a source is not there.
        """
        mean, deviation = _moments(self._rows(X))
        wanted = self.names if names is None else [str(name) for name in names]
        absent = [name for name in wanted if name not in self]
        if absent:
            raise ValueError(f"The index has no source {shorten(map(repr, absent))}. Add it first.")
        if not wanted:
            return {}
        places = [self._places[name] for name in wanted]
        means, deviations = (np.stack([part[i] for i in places]) for part in (self._means, self._deviations))
        unit = max(float(np.abs(part).max(initial=0.0)) for part in (means, deviations, mean, deviation)) or 1.0
        means, deviations, mean, deviation = means / unit, deviations / unit, mean / unit, deviation / unit
        # the variance of all domains' rows together, each domain counting as one
        variance = np.vstack([deviations**2, deviation**2]).mean(axis=0) + np.vstack([means, mean]).var(axis=0)
        gaps = (means - mean) ** 2 + (deviations - deviation) ** 2
        found = np.divide(gaps, variance, out=np.zeros_like(gaps), where=variance > 0).mean(axis=1)
        return dict(zip(wanted, found.tolist()))

    def nearest(self, X: Any, n_sources: int | None = None) -> list[tuple[str, float]]:
        """Return the sources nearest to a target, and their distances; no source's rows are read.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_columns)
            Rows of the target.
        n_sources : int or None, default=None
            How many; None returns all.

        Returns
        -------
        list of tuple
            Names and distances, the nearest first.
        """
        found = sorted(self.distances(X).items(), key=lambda item: item[1])
        return found[:n_sources]

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to one safetensors file, whole or not at all; no pickle.

        Parameters
        ----------
        path : path-like
            The file.
        """
        header = {"names": self.names, "digests": self._digests}
        shape = (len(self), self.n_columns or 0)
        statistics = zip(STATISTICS, (self._means, self._deviations))
        write_model(
            path, self, header, {name: torch.from_numpy(np.array(part).reshape(shape)) for name, part in statistics}
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> SourceIndex:
        """Return the index that a file holds.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        SourceIndex
            As it was saved.

        Raises
        ------
        WeightsError
            If the file is missing, damaged, or no index.
        """
        saved = read_model(path, {"SourceIndex": cls}, Codec())
        with saved.checking():
            names, digests = saved.header["names"], saved.header["digests"]
            for part in (names, digests):
                if not isinstance(part, list) or not all(isinstance(item, str) for item in part):
                    raise ValueError("names and digests must be lists of text")
            means, deviations = (saved.tensors[name].numpy() for name in STATISTICS)
            if means.ndim != 2 or means.shape != deviations.shape or means.dtype != np.float64:
                raise ValueError("its statistics are of another shape or kind")
            if not len(set(names)) == len(names) == len(digests) == len(means) or deviations.dtype != np.float64:
                raise ValueError("its names do not fit its statistics")
            if not np.isfinite(means).all() or not (np.isfinite(deviations) & (deviations >= 0)).all():
                raise ValueError("its statistics have NaN, infinite or negative values")
            index = cls()
            index._places = {name: place for place, name in enumerate(names)}
            index._digests, index._means, index._deviations = digests, [*means], [*deviations]
        return index

    def _rows(self, X: Any) -> Any:
        rows = check_array(X, accept_sparse="csr", dtype=np.float64)
        check_magnitude(rows, LARGEST_FLOAT64, "X")
        if self._means and rows.shape[1] != self.n_columns:
            raise ValueError(
                f"X has {rows.shape[1]} columns, and the sources in this index have {self.n_columns}. Rows of one kind "
                "are compared: take an index of its own for each kind."
            )
        return rows


def opened_index(path: str | os.PathLike | None) -> SourceIndex:
    """Return the index of a file, or an empty one where there is no file yet.

    Raises
    ------
    WeightsError
        If the file is damaged, or no index.
    """
    if path is None or not Path(path).exists():
        return SourceIndex()
    try:
        return SourceIndex.load(path)
    except WeightsError as error:
        raise WeightsError(f"The index {error} Remove the file, and it is made anew.") from error


def _moments(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each column."""
    if not sparse.issparse(rows):
        deviation = rows.std(axis=0)
        tiny = vanishing(rows, deviation**2)
        deviation[tiny] = at_larger_scale(rows[:, tiny], lambda part: part.std(axis=0))
        return rows.mean(axis=0), deviation
    mean = np.asarray(rows.mean(axis=0)).ravel()
    unit = float(length_scaler(rows).scale_[0])  # whose square does not vanish
    square = np.asarray((rows / unit).power(2).mean(axis=0)).ravel()
    return mean, unit * np.sqrt(np.maximum(square - (mean / unit) ** 2, 0.0))


def _digest(rows: Any) -> str:
    """Return what tells rows from others: a digest of all values."""
    digest = xxhash.xxh3_128(str(rows.shape).encode())
    if sparse.issparse(rows):
        rows = rows.copy()
        rows.sum_duplicates()
        parts: tuple[np.ndarray, ...] = (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64))
    else:
        parts = (np.ascontiguousarray(rows),)
    for part in parts:
        digest.update(part.tobytes())
    return digest.hexdigest()
