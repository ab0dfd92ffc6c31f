"""Encoders without a transformer: static vectors of tokens, and what else sentence-transformers builds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash

from sktl.texts._encoder import DirectEncoder


class StaticEncoder(DirectEncoder):
    """Mean of the static vectors of a text's tokens, by model2vec: some hundred times as fast as a transformer.

    Parameters
    ----------
    name : str
        What the user called it.
    model : model2vec.StaticModel
        The vectors and the tokenizer.
    versions : tuple of str
        Of the libraries.
    """

    window = 2**31 - 1

    def __init__(self, name: str, model: Any, versions: tuple[str, ...]):
        super().__init__()
        self.name = name
        self.versions = versions
        self.model = model
        self.n_features = int(model.dim)
        digest = xxhash.xxh3_128(repr(model.config).encode() + model.tokenizer.to_str().encode())
        for values in (model.embedding, getattr(model, "weights", None), getattr(model, "token_mapping", None)):
            if values is not None:
                digest.update(f"{values.dtype}{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
        self.fingerprint = digest.hexdigest()

    def longest(self) -> int | None:
        return None

    def encode(self, texts: Sequence[str], max_length: int | None) -> np.ndarray:
        with self.lock:
            codes = self.model.encode(list(texts), max_length=max_length, use_multiprocessing=False)
        return np.asarray(codes, dtype=np.float32)


class WholeEncoder(DirectEncoder):
    """A model of sentence-transformers of another form than transformer and pooling, run by its own `encode`.

    Parameters
    ----------
    name : str
        What the user called it.
    model : sentence_transformers.SentenceTransformer
        The model, on the CPU.
    versions : tuple of str
        Of the libraries.
    """

    window = 2**31 - 1

    def __init__(self, name: str, model: Any, versions: tuple[str, ...]):
        super().__init__()
        self.name = name
        self.versions = versions
        self.model = model.requires_grad_(False).eval()
        self.n_features = int(model.get_embedding_dimension())
        digest = xxhash.xxh3_128(repr([type(part).__qualname__ for part in model]).encode())
        for key, tensor in model.state_dict().items():
            digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        tokenizer: Any = getattr(model, "tokenizer", None)
        digest.update((tokenizer.to_str() if hasattr(tokenizer, "to_str") else repr(tokenizer)).encode())
        self.fingerprint = digest.hexdigest()

    def longest(self) -> int | None:
        return None

    def encode(self, texts: Sequence[str], max_length: int | None) -> np.ndarray:
        with self.lock:
            return self.model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False).astype(np.float32)
