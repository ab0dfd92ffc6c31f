"""What a transformer of pictures or texts leaves to the machine, settled once for all workers: engine and precision."""

from __future__ import annotations

from typing import Any

import xxhash

from sktl._extraction import Extractor
from sktl._text_extraction import TextExtractor
from sktl.backbones import planned_engine
from sktl.texts import planned_engine as planned_text_engine

MANY = 10**9  # rows, where their number is not known


def settled(transformer: Any, extractor: Any, n_rows: int | None) -> tuple[dict[str, Any], int]:
    """Return the parameters that this machine settles, and how many numbers a code has.

    Parameters
    ----------
    transformer : CNNCodesTransformer or TextCodesTransformer
        Fitted or not.
    extractor : Extractor or TextExtractor
        Its own, on this machine.
    n_rows : int or None
        How many rows there are in all.
    """
    n_rows = MANY if n_rows is None else n_rows
    recipe, device = extractor.recipe, extractor.device
    if isinstance(extractor, TextExtractor):
        engine = planned_text_engine(extractor.engine, recipe, device, n_rows)
        precision, n_features = recipe.precision, recipe.encoder.n_features
    else:
        assert isinstance(extractor, Extractor)
        engine = planned_engine(extractor.engine, recipe, device, n_rows)
        asked, n_features = transformer.precision, sum(recipe.n_features)
        precision = str(recipe.dtype).removeprefix("torch.") if asked == "auto" else asked
    engine = engine if engine in ("torch", "openvino") else "torch"
    return {"engine": engine, "precision": precision}, getattr(transformer, "_n_features_out", n_features)


def recipe_key(transformer: Any, extractor: Any, engine: str) -> str:
    """Return a digest of all that decides a row's code, but for the row."""
    recipe, device = extractor.recipe, extractor.device
    if isinstance(extractor, TextExtractor):
        keys: list[bytes] = [recipe.cache_key(engine, device)]
    else:
        keys = recipe.cache_keys(engine, device)
    fill = getattr(transformer, "_fill", None)
    reading = getattr(transformer, "value_range_", None), getattr(transformer, "image_shape", None)
    gaps = getattr(transformer, "_has_gaps", False), None if fill is None else fill.tobytes()
    return xxhash.xxh3_128_hexdigest(repr((keys, reading, gaps)).encode())


def network_of(extractor: Any) -> Any:
    """Return what an extractor runs: it has a fingerprint."""
    recipe = extractor.recipe
    return recipe.encoder if isinstance(extractor, TextExtractor) else recipe.backbone
