"""Texts to codes by a recipe, through the store: what every estimator of texts extracts with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from sktl._extraction import looked_up, regrouped
from sktl.cache import CodeCache
from sktl.texts import TextRecipe, Windows, batches_of, digests_of, get_engine, planned_engine

BLOCK = 1024  # texts cut into tokens, and sorted by length, at once
CLAIMED_TEXTS = 64  # texts one process takes on at a time on a CPU, where several share a store


@dataclass(frozen=True)
class TextExtractor:
    """Computes the codes of texts by a recipe.

    Parameters
    ----------
    recipe : TextRecipe
        What to compute.
    device : torch.device
        Where the network runs.
    batch_size : int or "auto"
        Windows of tokens that go through the network at once.
    engine : {"auto", "torch", "openvino"}
        What runs the network.
    cache : CodeCache or None
        Where codes are kept.
    watch : callable(n) or None
        Told of how many texts there are codes by now.
    """

    recipe: TextRecipe
    device: torch.device
    batch_size: int | str = "auto"
    engine: str = "auto"
    cache: CodeCache | None = None
    watch: Callable[[int], None] | None = field(default=None, compare=False)

    def codes(self, texts: Sequence[str]) -> np.ndarray:
        """Return the codes of all texts, float32 of shape (n, n_features)."""
        out = np.empty((len(texts), self.recipe.encoder.n_features), dtype=np.float32)
        for start, block in self.iter_codes(texts):
            out[start : start + len(block)] = block
        return out

    def iter_codes(
        self, texts: Sequence[str], block_size: int | None = None
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Yield (index of the first text, codes) in order, in blocks of `block_size`, or as they come."""
        start = 0
        for block in regrouped(self._blocks(texts), block_size):
            yield start, block
            start += len(block)

    def _blocks(self, texts: Sequence[str]) -> Generator[np.ndarray, None, None]:
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            yield self._computed(block, len(texts)) if self.cache is None else self._cached(block, len(texts))
            if self.watch is not None:
                self.watch(start + len(block))

    def _cached(self, texts: Sequence[str], n_texts: int) -> np.ndarray:
        assert self.cache is not None
        digests = digests_of(texts)

        def keys(engine: str) -> list[bytes]:
            suffix = self.recipe.cache_key(engine, self.device)
            return [digest + suffix for digest in digests]

        planned = planned_engine(self.engine, self.recipe, self.device, n_texts)
        codes = looked_up(self.cache, planned, self.engine == "auto", keys)
        if codes is None:
            name = self._engine_name(n_texts)
            claim_size = CLAIMED_TEXTS if self.device.type == "cpu" else BLOCK
            codes = self.cache.get_or_compute(keys(name), partial(self._missing, texts, n_texts), claim_size=claim_size)
        return np.stack(codes)

    def _missing(self, texts: Sequence[str], n_texts: int, positions: Sequence[int]):
        """Yield (positions, codes) of what the store lacks."""
        yield positions, list(self._computed([texts[i] for i in positions], n_texts))

    def _engine_name(self, n_texts: int) -> str:
        if not self.recipe.encoder.has_network:
            return "direct"
        return get_engine(self.engine, self.recipe, self.device, n_texts).name

    def _computed(self, texts: Sequence[str], n_texts: int) -> np.ndarray:
        """Return the codes of some texts, all of them at hand at once."""
        recipe = self.recipe
        if not recipe.encoder.has_network:
            most = None if recipe.max_length >= recipe.encoder.window else recipe.max_length
            prompted = [recipe.prompt + text for text in texts] if recipe.prompt else texts
            return recipe.encoder.encode(prompted, most)  # type: ignore[attr-defined]
        tokens, owner = recipe.encoder.windows(  # type: ignore[attr-defined]
            texts, recipe.max_length, recipe.long_texts, recipe.prompt
        )
        windows = Windows(tokens, owner)
        codes = windows.merged(self._run(windows, n_texts), len(texts))
        return _unit_length(codes) if recipe.encoder.normalises else codes

    def _run(self, windows: Windows, n_texts: int) -> np.ndarray:
        """Return one code a window."""
        engine = get_engine(self.engine, self.recipe, self.device, n_texts)
        rows = None if self.batch_size == "auto" else int(self.batch_size)
        batches = batches_of(windows, engine.tokens_at_once(self.device), rows, self.recipe.encoder.padding)  # type: ignore[attr-defined]
        out = np.empty((len(windows.tokens), self.recipe.encoder.n_features), dtype=np.float32)
        for which, codes in engine.run(batches):
            out[which] = codes
        return out


def _unit_length(codes: np.ndarray) -> np.ndarray:
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
