"""Texts -> windows of tokens -> batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

LENGTH_STEP = 8  # tokens: engines prepare themselves for each new length


@dataclass(frozen=True)
class Windows:
    """Windows of tokens of some texts.

    Attributes
    ----------
    tokens : list of ndarray of int64
        One a window.
    owner : ndarray of int
        Which text each belongs to.
    """

    tokens: list[np.ndarray]
    owner: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Return the tokens of each."""
        return np.asarray([len(ids) for ids in self.tokens], dtype=np.intp)

    def merged(self, codes: np.ndarray, n_texts: int) -> np.ndarray:
        """Return one code a text: the mean of its windows' codes, each of the weight of its tokens."""
        if len(self.tokens) == n_texts:
            return codes
        weights = self.lengths.astype(np.float64)
        sums = np.zeros((n_texts, codes.shape[1]))
        np.add.at(sums, self.owner, codes * weights[:, None])
        totals = np.bincount(self.owner, weights=weights, minlength=n_texts)
        return (sums / totals[:, None]).astype(np.float32)


def batches_of(
    windows: Windows, tokens_at_once: int, most_rows: int | None, padding: int
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Yield (indices of windows, (tokens, mask)), the longest first, so that hardly any place is filled up in vain.

    Parameters
    ----------
    windows : Windows
        What there is to run.
    tokens_at_once : int
        Places of a batch, filled ones included; one window may have more.
    most_rows : int or None
        Windows of a batch; None goes by `tokens_at_once` alone.
    padding : int
        The token that fills up.
    """
    lengths = windows.lengths
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = -(-int(lengths[order[start]]) // LENGTH_STEP) * LENGTH_STEP
        longest = min(longest, int(lengths[order[0]]))  # no more than the longest window
        n_rows = max(1, tokens_at_once // longest) if most_rows is None else most_rows
        which = order[start : start + n_rows]
        start += n_rows
        tokens = np.full((len(which), longest), padding, dtype=np.int64)
        mask = np.zeros((len(which), longest), dtype=np.int64)
        for row, i in enumerate(which):
            tokens[row, : lengths[i]] = windows.tokens[i]
            mask[row, : lengths[i]] = 1
        yield which, (tokens, mask)


def digests_of(texts: Sequence[str]) -> list[bytes]:
    """Return 16 bytes a text that name its characters."""
    return [xxhash.xxh3_128_digest(b"sktl text\0" + text.encode("utf-8")) for text in texts]
