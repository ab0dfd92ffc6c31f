"""From pictures to codes: decoding ahead, the network, the store. What every family of estimators extracts with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch

from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.backbones import (
    Backbone,
    CodeRecipe,
    Engine,
    auto_batch_size,
    filled_up,
    get_engine,
    planned_engine,
    resuming_engine,
)
from sktl.cache import CodeCache, MemoryCache, open_cache
from sktl.exceptions import BadImageError, CacheWarning, PictureWarning
from sktl.images import PictureSource, iter_batches
from sktl.images._errors import bad_images

CACHED_BLOCK = 2048  # pictures looked up in the store at once
CLAIMED_PICTURES = 64  # pictures one process takes on at a time, where several share a store
STORED_PICTURES = 16  # pictures written to the store in one transaction


@dataclass(frozen=True)
class Extractor:
    """Computes the codes of pictures by a recipe.

    Parameters
    ----------
    recipe : CodeRecipe
        What to compute.
    device : torch.device
        Where the network runs.
    batch_size : int or "auto"
        Pictures that go through the network at once.
    n_jobs : int or None
        Threads that decode.
    engine : {"auto", "torch", "openvino"}
        What runs the network.
    compile : bool
        Whether the network is compiled on CUDA.
    cache : CodeCache or None
        Where codes are kept.
    resumes : bool
        Whether to look in the store for the whole output of an earlier layer, and go on from there; for one layer.
    watch : callable(n) or None
        Told of how many pictures there are codes by now.
    """

    recipe: CodeRecipe
    device: torch.device
    batch_size: int | str = "auto"
    n_jobs: int | None = None
    engine: str = "auto"
    compile: bool = False
    cache: CodeCache | None = None
    resumes: bool = False
    watch: Callable[[int], None] | None = field(default=None, compare=False)

    def codes(self, source: PictureSource) -> np.ndarray:
        """Return the codes of all pictures, float32 of shape (n, n_features)."""
        out = np.empty((len(source), sum(self.recipe.n_features)), dtype=np.float32)
        for start, block in self.iter_codes(source):
            out[start : start + len(block)] = block
        return out

    def iter_codes(
        self, source: PictureSource, block_size: int | None = None
    ) -> Generator[tuple[int, np.ndarray], None, None]:
        """Yield (index of the first picture, codes) in order, in blocks of `block_size`, or as they come."""
        parts = self._cached(source, self.cache) if self.cache is not None else self._streamed(source)
        start = 0
        with contextlib.closing(regrouped(parts, block_size)) as blocks:
            for block in blocks:
                yield start, block
                start += len(block)

    def _streamed(self, source: PictureSource) -> Generator[np.ndarray, None, None]:
        source.check(self.n_jobs)
        engine = get_engine(self.engine, self.recipe, self.device, len(source), self.compile)
        for which, codes in self._run(self._pictures(source, np.arange(len(source)), engine), engine):
            self._tell(int(which[-1]) + 1)
            yield np.concatenate(codes, axis=1) if len(codes) > 1 else codes[0]

    def _cached(self, source: PictureSource, cache: CodeCache) -> Generator[np.ndarray, None, None]:
        n_layers = len(self.recipe.layers)
        is_checked = False
        for start in range(0, len(source), CACHED_BLOCK):
            try:
                digests = source.digests(start, min(start + CACHED_BLOCK, len(source)), self.n_jobs)
            except BadImageError:
                source.check(self.n_jobs)  # names the bad files of all blocks
                raise
            codes = self._looked_up(cache, digests, len(source))
            if codes is None:
                if not is_checked:  # what is found by its content has been read before
                    source.check(self.n_jobs)
                    is_checked = True
                engine = get_engine(self.engine, self.recipe, self.device, len(source), self.compile)
                codes = cache.get_or_compute(
                    self._keys(digests, engine.name),
                    partial(self._missing, source, start, engine, digests),
                    claim_size=n_layers * self._claimed(engine),
                )
            self._tell(start + len(digests))
            yield np.stack([np.concatenate(codes[i : i + n_layers]) for i in range(0, len(codes), n_layers)])

    def _keys(self, digests: Sequence[bytes], engine: str) -> list[bytes]:
        suffixes = self.recipe.cache_keys(engine, self.device)  # one a layer
        return [digest + suffix for digest in digests for suffix in suffixes]

    def _looked_up(self, cache: CodeCache, digests: Sequence[bytes], n_pictures: int) -> list | None:
        """Return the codes if the store has them all; then no engine is built, let alone compiled."""
        planned = planned_engine(self.engine, self.recipe, self.device, n_pictures)
        return looked_up(cache, planned, self.engine == "auto", partial(self._keys, digests))

    def _missing(
        self, source: PictureSource, start: int, engine: Engine, digests: Sequence[bytes], positions: Sequence[int]
    ):
        """Yield (positions, codes) of what the store lacks; a position is a picture and one of its layers."""
        if self.resumes:
            positions = list(positions)
            for done, codes in self._resumed(digests, positions):
                self._tell(start + len(done))
                yield done, codes
        if positions:
            yield from self._computed(source, start, engine, positions)

    def _resumed(self, digests: Sequence[bytes], positions: list[int]):
        """Yield (positions, codes) of pictures of which the store has an earlier layer; they leave `positions`."""
        assert self.cache is not None
        for earlier in self.recipe.earlier_blocks():
            (suffix,) = earlier.cache_keys("torch", self.device)
            blocks = self.cache.get_many([digests[position] + suffix for position in positions])
            found = {position: block for position, block in zip(positions, blocks) if block is not None}
            if not found:
                continue
            try:
                engine = resuming_engine(self.recipe, earlier.layers[0], self.device)
            except ValueError:  # something goes round that layer
                continue
            size = self._batch_size(engine)
            places = list(found)
            parts = [np.asarray(places[i : i + size]) for i in range(0, len(places), size)]
            batches = ((part, torch.from_numpy(np.stack([found[i] for i in part.tolist()]))) for part in parts)
            for which, (codes,) in self._run(batches, engine):
                yield which.tolist(), list(codes)
            positions[:] = [position for position in positions if position not in found]
            if not positions:
                return

    def _computed(self, source: PictureSource, start: int, engine: Engine, positions: Sequence[int]):
        """Yield (positions, codes), computed from the pictures."""
        n_layers = len(self.recipe.layers)
        wanted = set(positions)
        layers = sorted({position % n_layers for position in positions})
        pictures = np.unique(np.asarray(positions) // n_layers)
        if engine.name == "torch":  # another engine would have to compile the part anew
            recipe = self.recipe.with_layers(tuple(self.recipe.layers[layer] for layer in layers))
            engine = get_engine("torch", recipe, self.device, len(source), self.compile)
        else:
            layers = list(range(n_layers))
        done: list[int] = []
        values: list[np.ndarray] = []
        try:
            for indices, codes in self._run(self._pictures(source, start + pictures, engine), engine):
                self._tell(int(indices[-1]) + 1)
                for layer, code in zip(layers, codes):
                    for index, value in zip(indices, code):
                        position = int(index - start) * n_layers + layer
                        if position in wanted:
                            done.append(position)
                            values.append(value)
                if len(done) >= STORED_PICTURES * len(layers):
                    yield done, values
                    done, values = [], []
        except BadImageError as error:
            # The rest of the list is looked through, so that one error names every bad file in it.
            rest = np.arange(start + int(pictures[-1]) + 1, len(source))
            failures = source.failures(rest, self.recipe.preprocessing, self.n_jobs)
            raise bad_images({**error.failures, **failures}, len(source)) from error
        if done:
            yield done, values

    def _tell(self, n_done: int) -> None:
        if self.watch is not None:
            self.watch(n_done)

    def _pictures(self, source: PictureSource, indices: np.ndarray, engine: Engine) -> Iterator:
        return iter_batches(
            source, self.recipe.preprocessing, batch_size=self._batch_size(engine), n_jobs=self.n_jobs,
            indices=indices, draft=self.recipe.draft,
        )  # fmt: skip

    def _claimed(self, engine: Engine) -> int:
        """Return how many pictures are taken on at a time: whole batches, for a part of one would be filled up."""
        most = max(1, min(CLAIMED_PICTURES, 256 // len(self.recipe.layers)))
        size = self._batch_size(engine)
        return most // size * size if size <= most else most

    def _batch_size(self, engine: Engine) -> int:
        is_auto = self.batch_size == "auto"
        size = self.recipe.preprocessing.size
        return auto_batch_size(engine.name, self.device, size) if is_auto else int(self.batch_size)

    def _run(self, batches: Any, engine: Engine):
        """Yield (indices, one array a layer) for each batch."""
        is_auto = self.batch_size == "auto"
        fed = self._fed(batches, engine) if is_auto and self.device.type == "cpu" else batches
        with contextlib.closing(batches), contextlib.closing(engine.run(fed)) as results:
            for which, codes in results:
                yield which, tuple(self._stored(code[: len(which)]) for code in codes)

    def _fed(self, batches: Iterator, engine: Engine) -> Iterator:
        """Yield batches as they are run; a store wants codes that are the same to the bit in any company."""
        size = self._batch_size(engine)
        for number, (indices, batch) in enumerate(batches):
            is_small = number == 0 and self.cache is None  # and no batch follows, unless it is full
            yield indices, engine.fed(batch, size) if is_small else filled_up(batch, size)

    def _stored(self, code: np.ndarray) -> np.ndarray:
        if self.recipe.storage == "float32":
            return code
        largest = float(np.finfo(np.float16).max)
        return np.clip(code, -largest, largest).astype(np.float16)


def codes_and_failures(extractor: Extractor, source: PictureSource) -> tuple[np.ndarray, dict[int, str]]:
    """Return the codes, NaN for pictures that cannot be read, and what is wrong with each of these, by index."""
    failures: dict[int, str] = {}
    while True:
        rest = np.setdiff1d(np.arange(len(source)), list(failures))
        out = np.full((len(source), sum(extractor.recipe.n_features)), np.nan, dtype=np.float32)
        try:
            if len(rest):
                out[rest] = extractor.codes(source.subset(rest) if failures else source)
        except BadImageError as error:
            failures |= {int(rest[i]): reason for i, reason in error.failures.items()}
            if not error.failures:
                raise
            extractor = replace(extractor, watch=None)  # which has counted some of them
            continue
        return out, {i: failures[i] for i in sorted(failures)}


def codes_or_nan(extractor: Extractor, source: PictureSource) -> np.ndarray:
    """Return the codes, NaN for pictures that cannot be read, which one warning names."""
    out, failures = codes_and_failures(extractor, source)
    if failures:
        warn_user(
            PictureWarning(
                f"{len(failures)} of {len(source)} pictures cannot be read, and their codes are NaN: "
                f"{shorten(f'[{i}] {failures[i]}' for i in failures)}. np.isnan(codes).all(axis=1) finds "
                "them; this warning's attribute 'failures' says of all what is wrong.",
                failures,
            ),
        )
    return out


def as_size(image_size: Any) -> int | tuple[int, int] | None:
    """Return an `image_size` in plain numbers."""
    if image_size is None or isinstance(image_size, Integral):
        return image_size if image_size is None else int(image_size)
    if len(image_size) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in image_size):
        raise ValueError(f"image_size must be a side in pixels, or (height, width); got {image_size!r}.")
    return int(image_size[0]), int(image_size[1])


def cache_for(backbone: Backbone, cache: Any) -> CodeCache | None:
    """Open the store that `cache` means, or this process's own for a network that no other process would recognise."""
    store = open_cache(cache)
    if store is None or backbone.is_stable or isinstance(store, MemoryCache):
        return store
    warn_user(
        f"What {backbone.name} computes depends on more than its values and its code show "
        f"({shorten(backbone.identity.unknown)}), so another process could not tell it from other networks. Its codes "
        "are kept in memory, for this process only. Define such parts in a file, of plain values and Python, to keep "
        "them in a folder.",
        CacheWarning,
    )
    return open_cache("memory")


def looked_up(
    cache: CodeCache, planned: str, is_left_to_us: bool, keys: Callable[[str], list[bytes]]
) -> list[np.ndarray] | None:
    """Return the codes of `keys` of an engine's name if the store has them all, else None.

    Where the engine is left to us, codes that any of them has computed will do.
    """
    for engine in dict.fromkeys((planned, "openvino", "torch") if is_left_to_us else (planned,)):
        codes = cache.get_many(keys(engine))
        if all(code is not None for code in codes):
            return codes  # type: ignore[return-value]
    return None


def regrouped(parts: Any, block_size: int | None) -> Generator[np.ndarray, None, None]:
    """Yield the rows of `parts` in blocks of `block_size` (None leaves them as they are)."""
    held: list[np.ndarray] = []
    n_held = 0
    with contextlib.closing(parts):
        for part in parts:
            if block_size is None:
                yield part
                continue
            held.append(part)
            n_held += len(part)
            if n_held >= block_size:
                rows = np.concatenate(held)
                whole = n_held - n_held % block_size
                for start in range(0, whole, block_size):
                    yield rows[start : start + block_size]
                held, n_held = [rows[whole:]], n_held - whole
    if n_held:
        yield np.concatenate(held)
