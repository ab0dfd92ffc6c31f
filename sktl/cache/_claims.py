"""Who computes what: each caller claims a few of the missing keys, computes them, and waits for the rest."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.cache._locks import PATIENCE
from sktl.cache._records import frozen
from sktl.exceptions import CacheWarning

Compute = Callable[[list[int]], Iterator[tuple[list[int], Sequence[np.ndarray]]]]

CLAIM_SIZE = 64
WAIT = 0.03
_WINDOW = 256  # keys looked at in one go, so that a long list of waited-for keys costs no long transaction


@dataclass
class Claim:
    """What became of the keys one asked for."""

    ready: dict[bytes, np.ndarray] = field(default_factory=dict)  # stored by now
    mine: list[bytes] = field(default_factory=list)  # to be computed by the one who asked
    busy: list[bytes] = field(default_factory=list)  # being computed by another
    unseen: list[bytes] = field(default_factory=list)  # not looked at: enough were claimed


class ClaimSession(ABC):
    """The claims of one call; leaving the context gives back what is still claimed."""

    @abstractmethod
    def claim(self, keys: Sequence[bytes], limit: int, *, impatient: bool) -> Claim:
        """Claim up to `limit` of the keys; if `impatient`, those too that others have claimed."""

    @abstractmethod
    def store(self, values: Mapping[bytes, np.ndarray]) -> None:
        """Store values and end the claims on them, in one step."""

    @abstractmethod
    def release(self) -> None:
        """End all claims without a value."""

    def wait(self) -> None:
        """Wait for news from the others, for a moment."""
        time.sleep(WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.release()


def compute_missing(
    session: ClaimSession, position_of: Mapping[bytes, int], missing: Sequence[bytes], compute: Compute, claim_size: int
) -> dict[bytes, np.ndarray]:
    """Return the values of the missing keys, each computed by this caller or by whoever claimed it first.

    No claim is held while waiting, so callers that ask for the same keys in different orders cannot block each other.
    """
    values: dict[bytes, np.ndarray] = {}
    queue = deque(missing)
    fruitless, last_news = 0, time.monotonic()
    while queue:
        window = [queue.popleft() for _ in range(min(len(queue), _WINDOW))]
        is_impatient = time.monotonic() - last_news > PATIENCE
        claim = session.claim(window, claim_size, impatient=is_impatient)
        queue.extendleft(reversed(claim.unseen))
        queue.extend(claim.busy)
        values.update(claim.ready)
        if claim.mine and is_impatient:
            warn_user(
                f"Another process or thread that computes the same codes has stored none for {PATIENCE:g} seconds: it "
                "may be stopped, or slow. What it has claimed is computed here.",
                CacheWarning,
            )
        if claim.mine:
            values.update(_compute_claimed(session, position_of, claim.mine, compute))
        if claim.mine or claim.ready:
            fruitless, last_news = 0, time.monotonic()
            continue
        fruitless += len(window)
        if fruitless >= len(queue):
            session.wait()
            fruitless = 0
    return values


def _compute_claimed(
    session: ClaimSession, position_of: Mapping[bytes, int], claimed: Sequence[bytes], compute: Compute
) -> dict[bytes, np.ndarray]:
    values: dict[bytes, np.ndarray] = {}
    key_at = {position_of[key]: key for key in claimed}
    blocks: Iterator | None = None
    try:
        blocks = compute(sorted(key_at))
        for positions, block in blocks:
            fresh = _checked_block(positions, block, key_at)
            session.store(fresh)
            values.update(fresh)
    finally:
        session.release()
        if callable(close := getattr(blocks, "close", None)):
            close()
    if left := [position for position, key in key_at.items() if key not in values]:
        raise ValueError(f"compute ended without a value for the positions {shorten(left)}.")
    return values


def _checked_block(positions, block, key_at: Mapping[int, bytes]) -> dict[bytes, np.ndarray]:
    positions = [int(position) for position in positions]
    if len(positions) != len(block):
        raise ValueError(
            f"compute gave {len(positions)} positions with {len(block)} values; they must be equally many."
        )
    if unasked := [position for position in positions if position not in key_at]:
        raise ValueError(f"compute gave values for positions it was not asked for: {shorten(unasked)}.")
    return {key_at[position]: frozen(value) for position, value in zip(positions, block)}
