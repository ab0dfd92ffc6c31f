"""What decides a text's code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import xxhash

from sktl.texts._encoder import TextEncoder

TEXT_FORMAT = 1  # raise it when the same recipe comes to mean other codes


@dataclass(frozen=True)
class TextRecipe:
    """All that decides a text's code, and nothing else.

    Attributes
    ----------
    encoder : TextEncoder
        The network and its tokens.
    pooling : str
        From tokens to one vector; "auto" is the encoder's own.
    max_length : int
        Tokens that the network sees at once.
    long_texts : {"mean", "truncate"}
        What becomes of longer texts.
    prompt : str
        What is put in front of every text.
    precision : {"float32", "bfloat16", "float16", "int8"}
        What layers compute in.
    n_blocks : int or None
        How many of the network's blocks are read; None is all.
    """

    encoder: TextEncoder
    pooling: str
    max_length: int
    long_texts: str
    prompt: str
    precision: str
    n_blocks: int | None = None

    def cache_key(self, engine: str, device: torch.device) -> bytes:
        """Return 16 bytes that change with whatever changes a text's code."""
        parts: tuple = (TEXT_FORMAT, torch.__version__, self.encoder.versions, self.encoder.fingerprint, self.pooling,
                        self.max_length, self.long_texts, self.prompt, self.precision, engine, device.type)  # fmt: skip
        parts += () if self.n_blocks is None else (self.n_blocks,)
        return xxhash.xxh3_128_digest(repr(parts).encode())
