"""Episodes: small tasks drawn at random, many at once, from tensors that live on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sktl._columns import domain_column, plain, sorted_names
from sktl._modes import InPlainModes, in_plain_modes
from sktl._unlabelled import as_labels, is_missing
from sktl._validation import shorten

Range = int | tuple[int, int]

LARGEST_CLASS = 1024  # rows of a class that one epoch draws from; which ones, is drawn anew each epoch


class EpisodeIndices(NamedTuple):
    """Which rows the episodes are made of, and what each is called within its episode.

    A support row with label -1 is padding, where classes differ in their shots.
    """

    support: Tensor  # (n_tasks, n_support)
    support_y: Tensor
    query: Tensor  # (n_tasks, n_query)
    query_y: Tensor
    n_way: int

    def apply(self, function: Callable[[Tensor], Tensor]) -> EpisodeIndices:
        """Return the same with a function applied to each tensor."""
        return EpisodeIndices(
            function(self.support), function(self.support_y), function(self.query), function(self.query_y), self.n_way
        )

    def check_rows(self, n_rows: int) -> None:
        """Raise a ValueError where an episode has rows that are not there."""
        last = max((int(part.max()) for part in (self.support, self.query) if part.numel()), default=-1)
        if last >= n_rows:
            raise ValueError(
                f"The episodes have row {last}, but X has {n_rows} rows. Draw them from the labels of this X."
            )


class Episodes(NamedTuple):
    """A batch of tasks. Targets are labels 0, ..., n_way - 1, or the values (..., n_outputs) of a regression."""

    support: Tensor  # (n_tasks, n_support, *shape)
    support_y: Tensor
    query: Tensor  # (n_tasks, n_query, *shape)
    query_y: Tensor
    n_way: int


class EpisodeSampler(InPlainModes):
    """Draws episodes: some classes, and rows of each for support and query.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, of any type.
    groups : array-like of shape (n,), optional
        The task that each row belongs to; an episode's classes are then of one group. For regression, give the
        groups as `y` too and ``n_way=1``: an episode is a draw from one group.
    n_way, n_shot : int or (int, int)
        Classes an episode, and support rows a class. A range is drawn from: the ways for each batch, the shots for
        each class.
    n_query : int
        Query rows a class.
    device : torch.device or str, default="cpu"
        Where indices are drawn.
    seed : int, default=0
        Of the generator.

    Raises
    ------
    ValueError
        If there are fewer classes than ways, or a class has fewer rows than shots and queries: which, and how many.

    Examples
    --------
    >>> from sktl.fewshot import EpisodeSampler
    >>> sampler = EpisodeSampler(["a", "a", "b", "b", "c", "c"], n_way=2, n_shot=1, n_query=1)
    >>> episodes = sampler.draw(10)
    >>> episodes.support.shape, episodes.query_y[0].tolist()
    (torch.Size([10, 2]), [0, 1])
    """

    @in_plain_modes
    def __init__(
        self,
        y: Any,
        groups: Any = None,
        *,
        n_way: Range,
        n_shot: Range,
        n_query: int,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ):
        self.n_way = as_range(n_way, "n_way")
        self.n_shot = as_range(n_shot, "n_shot")
        self.n_query = int(n_query)
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        labels, rows_of, members = _classes(*_checked(y, groups))
        self._check(labels, rows_of, members)
        self._rows_of = rows_of
        self._counts = torch.tensor([min(len(rows), LARGEST_CLASS) for rows in rows_of], device=self.device)
        self._rows = self._table(rows_of)  # (n_classes, largest)
        self._members = _padded(members).to(self.device)  # (n_groups, most classes)
        self._n_members = torch.tensor([len(classes) for classes in members], device=self.device)

    def draw(self, n_tasks: int) -> EpisodeIndices:
        """Return the indices of that many episodes, all of as many ways."""
        n_way = self._between(*self.n_way)
        most = self.n_shot[1]
        classes = self._drawn_classes(n_tasks, n_way)  # (n_tasks, n_way)
        rows = self._drawn_rows(classes, most + self.n_query)  # (n_tasks, n_way, most + n_query)
        labels = torch.arange(n_way, device=self.device).view(1, -1, 1).expand(n_tasks, -1, 1)
        support_y = labels.expand(-1, -1, most)
        if self.n_shot[0] < most:
            shots = torch.randint(
                self.n_shot[0], most + 1, (n_tasks, n_way, 1), generator=self.generator, device=self.device
            )
            support_y = support_y.masked_fill(torch.arange(most, device=self.device) >= shots, -1)
        query_y = labels.expand(-1, -1, self.n_query)
        support, query = rows[..., :most], rows[..., most:]
        return EpisodeIndices(support.flatten(1), support_y.flatten(1), query.flatten(1), query_y.flatten(1), n_way)

    def refresh(self) -> None:
        """Choose anew which rows of very large classes are drawn from."""
        if max(map(len, self._rows_of)) > LARGEST_CLASS:
            self._rows = self._table(self._rows_of)

    def _drawn_classes(self, n_tasks: int, n_way: int) -> Tensor:
        group = torch.randint(len(self._members), (n_tasks,), generator=self.generator, device=self.device)
        keys = self._keys(n_tasks, self._members.shape[1])
        keys = keys.masked_fill(self._places(1) >= self._n_members[group].unsqueeze(-1), 2.0)
        return self._members[group].gather(1, keys.topk(n_way, largest=False).indices)

    def _drawn_rows(self, classes: Tensor, n_rows: int) -> Tensor:
        keys = self._keys(*classes.shape, self._rows.shape[1])
        keys = keys.masked_fill(self._places(0) >= self._counts[classes].unsqueeze(-1), 2.0)
        return self._rows[classes].gather(-1, keys.topk(n_rows, largest=False).indices)

    def _keys(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1): the smallest of a row are a draw without replacement."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def _places(self, which: int) -> Tensor:
        return torch.arange((self._rows, self._members)[which].shape[1], device=self.device)

    def _between(self, low: int, high: int) -> int:
        if low == high:
            return low
        return int(torch.randint(low, high + 1, (), generator=self.generator, device=self.device))

    def _table(self, rows_of: list[np.ndarray]) -> Tensor:
        chosen = []
        for rows in rows_of:
            if len(rows) > LARGEST_CLASS:
                order = torch.randperm(len(rows), generator=self.generator, device=self.device)
                rows = rows[order[:LARGEST_CLASS].cpu().numpy()]
            chosen.append(rows)
        return _padded(chosen).to(self.device)

    def _check(self, labels: list[str], rows_of: list[np.ndarray], members: list[np.ndarray]) -> None:
        fewest = min(map(len, members))
        if fewest < self.n_way[1]:
            where = "there are" if len(members) == 1 else "a group has"
            raise ValueError(
                f"n_way={self.n_way[1]} classes are drawn for an episode, but {where} only {fewest}. "
                "Lower n_way, or give more classes."
            )
        needed = self.n_shot[1] + self.n_query
        short = [f"{label} ({len(rows)})" for label, rows in zip(labels, rows_of) if len(rows) < needed]
        if short:
            raise ValueError(
                f"Each class needs n_shot + n_query = {self.n_shot[1]} + {self.n_query} = {needed} rows, but "
                f"{'all' if len(short) == len(labels) else f'{len(short)} of the'} {len(labels)} classes have fewer. "
                f"These are, with their number of rows: {shorten(short)}. Lower n_shot or n_query, or "
                f"{'give more rows' if len(short) == len(labels) else 'leave these classes out'}."
            )


class EpisodeBatches:
    """Batches of episodes, cut from tensors on the device; every `iter` is one epoch.

    Parameters
    ----------
    X : Tensor of shape (n, ...)
        Rows or pictures.
    sampler : EpisodeSampler
        Draws the indices.
    meta_batch_size : int
        Episodes a batch.
    n_batches : int
        Batches an epoch.
    targets : Tensor of shape (n, n_outputs), optional
        For regression: given instead of labels.
    is_fixed : bool, default=False
        Whether every epoch has the same episodes, for validation.
    """

    def __init__(
        self,
        X: Tensor,
        sampler: EpisodeSampler,
        meta_batch_size: int,
        n_batches: int,
        *,
        targets: Tensor | None = None,
        is_fixed: bool = False,
    ):
        self.X = X
        self.sampler = sampler
        self.meta_batch_size = meta_batch_size
        self.n_batches = n_batches
        self.targets = targets
        self._start = sampler.generator.get_state() if is_fixed else None

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Episodes]:
        if self._start is not None:
            self.sampler.generator.set_state(self._start)
        else:
            self.sampler.refresh()
        for _ in range(self.n_batches):
            yield gathered(self.X, self.sampler.draw(self.meta_batch_size), self.targets)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the generator's state: what decides the epochs to come."""
        return {"generator": self.sampler.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the state that `state_dict` returned."""
        self.sampler.generator.set_state(state["generator"].cpu())


def gathered(X: Tensor, indices: EpisodeIndices, targets: Tensor | None = None) -> Episodes:
    """Return the rows behind the indices."""

    def rows(of: Tensor, which: Tensor) -> Tensor:
        return of.index_select(0, which.flatten()).unflatten(0, which.shape)

    support_y = indices.support_y if targets is None else rows(targets, indices.support)
    query_y = indices.query_y if targets is None else rows(targets, indices.query)
    return Episodes(rows(X, indices.support), support_y, rows(X, indices.query), query_y, indices.n_way)


def as_range(value: Range, name: str) -> tuple[int, int]:
    """Return (lowest, highest) of a number or a range."""
    low, high = tuple(value) if isinstance(value, Sequence) else (value, value)
    if not 1 <= low <= high:
        raise ValueError(f"{name} must be at least 1, or a range (lowest, highest) of such; got {value!r}.")
    return int(low), int(high)


def _checked(y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return y and groups as arrays: one entry a row, none missing."""
    if y is None:
        raise ValueError("EpisodeSampler needs y: episodes are drawn by class.")
    y = plain(as_labels(y))
    missing = np.flatnonzero(is_missing(y))
    if len(missing):
        raise ValueError(
            f"y is missing (NaN or None) in {len(missing)} rows: {shorten(missing.tolist())}. Episodes are drawn by "
            "class: leave these rows out."
        )
    return y, None if groups is None else domain_column(groups, len(y), "groups")


def _classes(y: np.ndarray, groups: np.ndarray | None) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """Return each class's name and rows, and each group's classes; the same label in two groups is two classes."""
    labels, codes = sorted_names(y, "y")
    if groups is None:
        return [repr(label) for label in labels.tolist()], _rows_by(codes, len(labels)), [np.arange(len(labels))]
    names, group = sorted_names(groups, "groups")
    pairs, which = np.unique(group * len(labels) + codes, return_inverse=True)
    owners = pairs // len(labels)
    texts = [f"{labels[pair % len(labels)]!r} of group {names[pair // len(labels)]!r}" for pair in pairs]
    return texts, _rows_by(which, len(pairs)), _rows_by(owners, len(names))


def _rows_by(codes: np.ndarray, n: int) -> list[np.ndarray]:
    """Return the indices at which each of the codes 0, ..., n - 1 stands."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n))[:-1])


def _padded(lists: list[np.ndarray]) -> Tensor:
    longest = max(map(len, lists))
    return torch.from_numpy(np.stack([np.pad(items, (0, longest - len(items)), mode="edge") for items in lists]))
