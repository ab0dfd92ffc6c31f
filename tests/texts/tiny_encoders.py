"""Encoders of a few thousand weights, made where they are needed: nothing is downloaded."""

import string

import numpy as np
import torch

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "book", "the"]
VOCABULARY += [
    *string.ascii_lowercase,
    *string.digits,
    *(f"##{sign}" for sign in string.ascii_lowercase + string.digits),
]
VOCABULARY += [".", ",", "-", "+"]


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    numbers = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=50))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def save_tiny_encoder(folder, *, pooling="mean", normalises=True, window=16, seed=0):
    """Write a transformer of two layers as sentence-transformers does, and return the folder as text."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BertModel(config)
        for value in network.parameters():
            value.data.normal_(0, 0.2)
    plain = folder / "transformer"
    network.save_pretrained(plain)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer(), mask_token="[MASK]", **special).save_pretrained(plain)
    parts = [Transformer(str(plain), max_seq_length=window), Pooling(16, pooling)]
    model = SentenceTransformer(modules=[*parts, Normalize()] if normalises else parts, device="cpu")
    model.save(str(folder / "encoder"))
    return str(folder / "encoder")


def save_static_encoder(folder, seed=0):
    """Write static vectors as model2vec does, and return the folder as text."""
    from model2vec import StaticModel

    vectors = np.random.default_rng(seed).normal(size=(len(VOCABULARY), 8)).astype(np.float32)
    tokenizer = tiny_tokenizer()
    StaticModel(vectors, tokenizer, normalize=True).save_pretrained(folder / "static")
    return str(folder / "static")
