"""Data sets of torch and torchvision as X: their pictures, read when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from sktl._forking import ForkSafeLock

READING = ForkSafeLock()  # data sets are made for one thread each


class DatasetPicture:
    """One picture of a data set, read anew each time that it is asked for."""

    def __init__(self, dataset: Any, index: int) -> None:
        self.dataset = dataset
        self.index = index

    def load(self) -> Any:
        """Return the PIL image, array or tensor."""
        with READING:
            return _without_target(self.dataset[self.index])


def opened(X: Any, name: str = "X") -> Any:
    """Return the pictures of a data set as a list, feature rows as a tensor, and anything else as it is.

    A list of pairs of picture and target, which is what scikit-learn makes of some rows of a data set, is one too.

    Raises
    ------
    TypeError
        If it has no length, or holds neither pictures nor rows.
    """
    if isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], tuple) and _is_pair(X[0]):
        return [_without_target(pair) for pair in X]
    if not isinstance(X, Dataset):
        return X
    if isinstance(X, IterableDataset) or not hasattr(X, "__len__") or not hasattr(X, "__getitem__"):
        raise TypeError(
            f"{name} is a {type(X).__name__}, which has no length; a data set of map style is needed, with a length "
            f"and an index. Pass a list of its pictures: [picture for picture, _ in {name}]."
        )
    if isinstance(X, TensorDataset):
        return X.tensors[0]
    n = len(X)  # type: ignore[arg-type]
    paths = _paths(X)
    if paths is not None:
        return paths
    first = None if n == 0 else _without_target(X[0])
    if n == 0 or _is_picture(first):
        return [DatasetPicture(X, i) for i in range(n)]
    if isinstance(first, (torch.Tensor, np.ndarray)) and first.ndim == 1:
        return torch.stack([torch.as_tensor(_without_target(X[i])) for i in range(n)])
    raise TypeError(
        f"{name} is a data set whose items hold no picture in the first place: {name}[0] has {type(first).__name__}. "
        f"Each is (picture, target) or a picture alone, a PIL image, array or tensor. Pass a list of the pictures."
    )


def refuse_silent_targets(X: Any, y: Any, estimator: Any) -> None:
    """Raise ValueError where y is None and X is a data set, which may hold it."""
    if y is None and isinstance(X, Dataset):
        raise ValueError(
            f"This {type(estimator).__name__} requires y to be passed, but the target y is None. The targets of a data "
            f"set are not taken in silence: pass y={_targets_of(X)}."
        )


def _targets_of(X: Any) -> str:
    if isinstance(X, TensorDataset):
        return "dataset.tensors[1]"
    if isinstance(X, Subset) and hasattr(X.dataset, "targets"):
        return "[subset.dataset.targets[i] for i in subset.indices]"
    return "dataset.targets" if hasattr(X, "targets") else "[dataset[i][1] for i in range(len(dataset))]"


def _paths(X: Any) -> list[str] | None:
    """Return the files of a torchvision folder, or of a part of one, where nothing of the user's changes them."""
    if type(X) is Subset:
        paths = _paths(X.dataset)
        return None if paths is None else [paths[int(i)] for i in X.indices]
    samples = getattr(X, "samples", getattr(X, "imgs", None))
    is_theirs = getattr(type(X).__getitem__, "__module__", "") == "torchvision.datasets.folder"
    loader = getattr(X, "loader", None)
    is_plain = getattr(loader, "__module__", "") == "torchvision.datasets.folder" and (
        getattr(X, "transform", None) is None and getattr(X, "transforms", None) is None
    )
    return [str(path) for path, _ in samples] if samples is not None and is_theirs and is_plain else None


def _without_target(item: Any) -> Any:
    return item[0] if isinstance(item, (tuple, list)) and len(item) else item


def _is_picture(item: Any) -> bool:
    return isinstance(item, Image.Image) or (isinstance(item, (torch.Tensor, np.ndarray)) and item.ndim in (2, 3))


def _is_pair(item: tuple) -> bool:
    return len(item) == 2 and _is_picture(item[0]) and np.ndim(item[1]) == 0 and not isinstance(item[1], Image.Image)
