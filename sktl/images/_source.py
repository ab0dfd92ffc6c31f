"""What every kind of picture input can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from sktl._preprocessing import Preprocessing


class PictureSource(ABC):
    """Pictures that a user holds, read one by one or as uint8 batches.

    Sources are made by `as_pictures`. They never change, so several threads may read from one.

    Attributes
    ----------
    kind : {"rows", "arrays", "items"}
        Flattened pictures, pictures in an array, or paths and PIL images.
    shape : (n, height, width, channels) or None
        None for paths and PIL images, whose sizes may differ.
    """

    kind: str
    shape: tuple[int, int, int, int] | None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def check(self, n_jobs: int | None = None) -> None:
        """Raise one `BadImageError` that names every picture known to be bad without decoding it."""

    @abstractmethod
    def read(self, i: int) -> bytes | np.ndarray | Image.Image:
        """Return picture `i` as it is held: a file's bytes, a row of the array, or the PIL image."""

    @abstractmethod
    def digest(self, i: int, raw: bytes | np.ndarray | Image.Image | None = None) -> bytes:
        """Return 16 bytes that name the content of picture `i`, wherever it stands; `raw` spares reading it again."""

    @abstractmethod
    def digests(self, start: int, stop: int, n_jobs: int | None = None) -> list[bytes]:
        """Return the digests of pictures `start` to `stop`, `stop` left out."""

    @abstractmethod
    def write(self, out: np.ndarray, indices: np.ndarray, preprocessing: Preprocessing, *, draft: bool = True) -> None:
        """Write the pictures `indices` into the uint8 array `out` (b, h, w, 3)."""

    @abstractmethod
    def failures(
        self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, n_jobs: int | None
    ) -> dict[int, str]:
        """Return what is wrong with each of `indices` that cannot be decoded."""

    @abstractmethod
    def task_size(self, preprocessing: Preprocessing, batch_size: int, n_threads: int) -> int:
        """Return how many pictures a thread does best at a time; 0 where threads do not pay."""

    def batch(
        self, indices: Sequence[int] | np.ndarray, preprocessing: Preprocessing, *, draft: bool = True
    ) -> torch.Tensor:
        """Return pictures as the network's input in uint8.

        Parameters
        ----------
        indices : sequence of int
            Which pictures, in which order.
        preprocessing : Preprocessing
            The size to scale and crop to.
        draft : bool, default=True
            Decode JPEGs at a reduced scale where that leaves at least twice the height and width that scaling goes to.

        Returns
        -------
        uint8 tensor of shape (b, 3, h, w)
            In RGB, on the CPU, in memory format ``channels_last``.
        """
        which = self.checked(indices)
        out = empty_batch(len(which), preprocessing)
        if len(which):
            self.write(out, which, preprocessing, draft=draft)
        return as_tensor(out)

    def subset(self, indices: np.ndarray) -> PictureSource:
        """Return a source of some of the pictures; only files and PIL images can be bad, so only they have it."""
        raise NotImplementedError(f"Pictures of kind {self.kind!r} cannot be taken apart.")

    def checked(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return indices as an array, all of them within the source."""
        which = np.asarray(indices, dtype=np.intp).reshape(-1)
        if which.size and (which.min() < 0 or which.max() >= len(self)):
            raise IndexError(f"Picture indices must lie within 0..{len(self) - 1}; got {which.min()}..{which.max()}.")
        return which


def empty_batch(n_pictures: int, preprocessing: Preprocessing) -> np.ndarray:
    """Return an array (b, h, w, 3) for `PictureSource.write`."""
    return np.empty((n_pictures, *preprocessing.size, 3), dtype=np.uint8)


def as_tensor(out: np.ndarray) -> torch.Tensor:
    """Return a written batch as a tensor (b, 3, h, w) on the same memory, which is the channels_last format."""
    return torch.from_numpy(out).permute(0, 3, 1, 2)
