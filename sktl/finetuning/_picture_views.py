"""Some of the pictures, each as it is or in several random views that are the same in every fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash

from sktl._identity import key_of
from sktl._preprocessing import Preprocessing
from sktl.images import PictureSource, augmented, with_margin
from sktl.images._source import empty_batch

SMALL_GAP = 16
VIEW_FORMAT = 1  # raise it when the same view of the same picture comes to look different


class PictureViews(PictureSource):
    """Rows of another source: view v of its picture ``indices[i]`` is picture ``i * n_views + v`` here.

    A view is drawn from a seed made of the picture's content, the number of the view and the augmentation, so that it
    is the same wherever the picture stands, in every fold and every fit.

    Parameters
    ----------
    source : PictureSource
        The pictures.
    indices : array of int
        Which of them.
    n_views : int, default=1
        Views a picture.
    augment : str, callable or None, default=None
        What changes a picture at random; None leaves it as it is.
    """

    def __init__(self, source: PictureSource, indices: np.ndarray, n_views: int = 1, augment: Any = None):
        self.source = source
        self.indices = np.asarray(indices, dtype=np.intp)
        self.n_views = n_views
        self.augment = augment
        self._name = augment if augment is None or isinstance(augment, str) else key_of(augment)
        self.kind = source.kind
        self.shape = None if source.shape is None else (len(self), *source.shape[1:])

    def __len__(self) -> int:
        return len(self.indices) * self.n_views

    def check(self, n_jobs: int | None = None) -> None:
        """Raise an error that names every bad picture of the source."""
        self.source.check(n_jobs)

    def read(self, i: int) -> Any:
        """Return the picture as it is held, of which `i` is a view."""
        return self.source.read(self._picture(i))

    def digest(self, i: int, raw: Any = None) -> bytes:
        """Return 16 bytes that name the content of view `i`."""
        return self._of_view(self.source.digest(self._picture(i), raw), i)

    def digests(self, start: int, stop: int, n_jobs: int | None = None) -> list[bytes]:
        """Return the digests of views `start` to `stop`, `stop` left out."""
        pictures = np.unique([self._picture(i) for i in range(start, stop)])
        # The source digests ranges; a few pictures too many cost less than many small ranges.
        runs = np.split(pictures, np.flatnonzero(np.diff(pictures) > SMALL_GAP) + 1) if len(pictures) else []
        found: dict[int, bytes] = {}
        for run in runs:
            first, last = int(run[0]), int(run[-1]) + 1
            found.update(zip(range(first, last), self.source.digests(first, last, n_jobs)))
        return [self._of_view(found[self._picture(i)], i) for i in range(start, stop)]

    def write(self, out: np.ndarray, indices: np.ndarray, preprocessing: Preprocessing, *, draft: bool = True) -> None:
        """Write views into the uint8 array `out` (b, h, w, 3); each picture is decoded once."""
        pictures = self.indices[np.asarray(indices) // self.n_views]
        if self.augment is None:
            self.source.write(out, pictures, preprocessing, draft=draft)
            return
        unique, inverse = np.unique(pictures, return_inverse=True)
        held = empty_batch(len(unique), with_margin(preprocessing, self.augment))
        self.source.write(held, unique, with_margin(preprocessing, self.augment), draft=draft)
        digests = [self.source.digest(int(picture)) for picture in unique]
        for row, (i, place) in enumerate(zip(indices, inverse)):
            seed = int.from_bytes(self._of_view(digests[place], int(i))[:8], "little") >> 1
            picture = torch.from_numpy(held[place : place + 1]).permute(0, 3, 1, 2)
            view = augmented(self.augment, picture, torch.Generator().manual_seed(seed), preprocessing.size)
            out[row] = view.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()

    def failures(
        self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, n_jobs: int | None
    ) -> dict[int, str]:
        """Return what is wrong with the source's pictures, by their places there, which is what the user knows."""
        return self.source.failures(
            np.unique(self.indices[np.asarray(indices, dtype=np.intp) // self.n_views]), preprocessing, n_jobs
        )

    def task_size(self, preprocessing: Preprocessing, batch_size: int, n_threads: int) -> int:
        """Return how many views a thread does best at a time: all of a picture, which is then decoded once."""
        at_once = self.source.task_size(preprocessing, batch_size, n_threads)
        return at_once if self.augment is None else max(at_once, min(self.n_views, batch_size))

    def _picture(self, i: int) -> int:
        return int(self.indices[i // self.n_views])

    def _of_view(self, digest: bytes, i: int) -> bytes:
        if self.augment is None:
            return digest
        drawn = repr((VIEW_FORMAT, self._name, i % self.n_views)).encode()
        return xxhash.xxh3_128_digest(digest + drawn)
