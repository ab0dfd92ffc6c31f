"""A pretrained encoder of texts: how it cuts them into tokens, and the network that reads these."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import nn

from sktl._forking import ForkSafeLock
from sktl._memory import Remembered

POOLINGS = ("auto", "mean", "cls", "max")
LONG_TEXTS = ("mean", "truncate")
KEPT_NETWORKS = 4  # of an encoder, one a device and pooling


class TextEncoder(ABC):
    """An encoder, loaded once in a process and shared: never train or change it.

    Attributes
    ----------
    name : str
        What the user called it.
    fingerprint : str
        Digest of its values, its vocabulary and its settings.
    n_features : int
        Numbers a code.
    window : int
        Tokens, those that mark beginning and end included, that it reads at once.
    normalises : bool
        Whether its codes have unit length.
    prompt : str
        What it puts in front of every text if nothing else is said.
    has_network : bool
        Whether engines run it; else it computes codes itself.
    versions : tuple of str
        Versions of the libraries whose change may change a code.
    """

    name: str
    fingerprint: str
    n_features: int
    window: int
    normalises: bool = False
    prompt: str = ""
    has_network: bool = False
    versions: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.engines: Remembered[tuple, Any] = Remembered(KEPT_NETWORKS)

    def release(self) -> None:
        """Give back what can be made again."""
        with self.lock:
            self.engines.clear()

    @abstractmethod
    def longest(self) -> int | None:
        """Return the largest window that can be asked for; None where there is no bound."""

    def poolings(self) -> tuple[str, ...]:
        """Return the poolings that it offers."""
        return ("auto",)

    def n_blocks(self) -> int | None:
        """Return how many blocks its network has, one on another; None where it cannot be read in between."""
        return None


class DirectEncoder(TextEncoder):
    """Abstract: an encoder without a network that engines could run, static vectors say."""

    @abstractmethod
    def encode(self, texts: Sequence[str], max_length: int | None) -> np.ndarray:
        """Return float32 codes (n, n_features)."""


class SentenceEncoder(TextEncoder):
    """A transformer of tokens, as sentence-transformers describes it: transformer, pooling, perhaps dense layers.

    Parameters
    ----------
    name : str
        What the user called it.
    model : sentence_transformers.SentenceTransformer
        The model, on the CPU, in float32.
    versions : tuple of str
        Of the libraries.
    """

    has_network = True

    def __init__(self, name: str, model: Any, versions: tuple[str, ...]):
        super().__init__()
        parts = list(model)
        self.name = name
        self.versions = versions
        self.model = model.requires_grad_(False).eval()
        self.normalises = type(parts[-1]).__name__ == "Normalize"
        self._body = parts[:-1] if self.normalises else parts
        self.tokenizer = model.tokenizer
        self.prompt = model.prompts.get(model.default_prompt_name) or "" if model.default_prompt_name else ""
        self.window = int(model.max_seq_length or self.longest() or 512)
        self.n_features = int(model.get_embedding_dimension())
        self.fingerprint = self._digest()

    def longest(self) -> int | None:
        config = getattr(self._body[0], "config", None)
        positions = getattr(config, "max_position_embeddings", None)
        if positions is None:
            return None
        offset = getattr(config, "pad_token_id", None) or 0
        # RoBERTa and its kin number positions from behind the padding's number on.
        return int(positions) - (offset + 1 if getattr(config, "model_type", "") in _SHIFTED else 0)

    def poolings(self) -> tuple[str, ...]:
        return POOLINGS

    def windows(
        self, texts: Sequence[str], max_length: int, long_texts: str, prompt: str
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Cut texts into windows of tokens.

        Returns
        -------
        tokens : list of ndarray of int64
            One a window, marks of beginning and end included.
        owner : ndarray of int
            Which text each belongs to.
        """
        with self.lock:  # the tokenizer holds its settings as a state
            found = self.tokenizer(
                [prompt + text for text in texts], truncation=True, max_length=max_length, padding=False,
                return_overflowing_tokens=long_texts == "mean", return_attention_mask=False,
                return_token_type_ids=False, verbose=False,
            )  # fmt: skip
        owner = found.get("overflow_to_sample_mapping", range(len(texts)))
        return [np.asarray(ids, dtype=np.int64) for ids in found["input_ids"]], np.asarray(owner, dtype=np.intp)

    @property
    def padding(self) -> int:
        """Return the number of the token that fills rows up."""
        return int(self.tokenizer.pad_token_id or 0)

    def n_blocks(self) -> int | None:
        is_plain = [type(part).__name__ for part in self._body[1:]] == ["Pooling"]  # a dense layer reads the last block
        path = self._blocks_at() if is_plain else None
        return None if path is None else len(self._body[0].get_submodule(path))

    def _blocks_at(self) -> str | None:
        """Return where the transformer holds its blocks: the one list of as many modules as its settings say."""
        n = getattr(getattr(self._body[0], "config", None), "num_hidden_layers", None)
        lists = [(name, m) for name, m in self._body[0].named_modules() if isinstance(m, nn.ModuleList)]
        found = [name for name, module in lists if len(module) == n and len({type(block) for block in module}) == 1]
        return found[0] if len(found) == 1 else None

    def network(self, pooling: str, device: torch.device, n_blocks: int | None = None) -> nn.Module:
        """Return the network on a device: tokens (n, length) and their mask to codes (n, n_features).

        Of `n_blocks`, where that is a number; the values are shared with the whole network.
        """
        body = list(self._body)
        if n_blocks is not None:
            body[0] = _cut(body[0], str(self._blocks_at()), n_blocks)
        if pooling != "auto":
            place = next((i for i, part in enumerate(body) if type(part).__name__ == "Pooling"), None)
            if place is None:
                raise ValueError(f"pooling={pooling!r}: {self.name!r} pools in a way of its own; take pooling='auto'.")
            body[place] = type(body[place])(self._body[0].get_embedding_dimension(), pooling)
        network = TextNetwork(body, "token_type_ids" in self.tokenizer.model_input_names)
        return network if device.type == "cpu" else copy.deepcopy(network).to(device)

    def _digest(self) -> str:
        digest = xxhash.xxh3_128()
        for part in self.model:
            digest.update(f"{type(part).__module__}.{type(part).__qualname__}".encode())
            settings = part.get_config_dict() if hasattr(part, "get_config_dict") else {}
            digest.update(repr(sorted(settings.items(), key=str)).encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        shown = backend.to_str() if backend is not None else repr(sorted(self.tokenizer.get_vocab().items()))
        digest.update(shown.encode())
        digest.update(repr(sorted(self.tokenizer.special_tokens_map.items())).encode())
        return digest.hexdigest()


def _cut(module: nn.Module, path: str, n: int) -> nn.Module:
    """Return a module whose list of modules at `path` ends after the first `n`; all else is the same objects."""
    name, _, rest = path.partition(".")
    copied = copy.copy(module)
    inner: Any = module._modules[name]
    copied._modules = module._modules | {name: _cut(inner, rest, n) if rest else inner[:n]}
    return copied


_SHIFTED = ("roberta", "xlm-roberta", "mpnet", "camembert", "xlm-roberta-xl", "data2vec-text", "ibert", "longformer")


class TextNetwork(nn.Module):
    """Tokens and their mask to codes, before these are brought to unit length."""

    def __init__(self, parts: list[nn.Module], wants_types: bool):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.wants_types = wants_types

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return codes (n, n_features)."""
        features: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask}
        if self.wants_types:
            features["token_type_ids"] = torch.zeros_like(tokens)
        for part in self.parts:
            features = part(features)
        return features["sentence_embedding"]
