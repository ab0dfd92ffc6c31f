"""CNN codes: the activations of a fixed pretrained network as features."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._device import resolve_device
from sktl._estimator import ModuleSharingMixin
from sktl._extraction import Extractor, cache_for, codes_or_nan
from sktl._inputs import read, understand
from sktl._preprocessing import Preprocessing
from sktl.backbones import CODE_PRECISIONS, ENGINES, POOLINGS, load_backbone
from sktl.cache import CodeCache
from sktl.exceptions import WeightsError
from sktl.features._codes import CodesMixin
from sktl.features._dask_blocks import first_block, kind_of_all
from sktl.features._layer_names import LayerNamesMixin, layer_labels
from sktl.features._missing import MISSING, WithGaps, gap_filler, present
from sktl.features._recipe import recipe_of
from sktl.images import PictureSource, as_pictures


class CNNCodesTransformer(LayerNamesMixin, CodesMixin, ModuleSharingMixin):
    """Turn pictures into CNN codes: activations of a pretrained network that stays as it is.

    Codes of a network trained on ImageNet, with a linear classifier behind, are a strong start wherever pictures are
    few. Where they resemble ImageNet's, take the penultimate layer; where they do not (sketches, spectra, scans), an
    earlier one, or several: those have learned edges and textures rather than dogs and cars.

    Parameters
    ----------
    backbone : str, Module or callable, default="efficientnet_lite0"
        The network: the embedded one, which needs no download; any name of `sktl.list_backbones`; an ``nn.Module``;
        or a callable that returns one. A module's last linear layer counts as its classifier.
    weights : "default", None, str or path, default="default"
        Published weights (the best, or by their name), random values, or a ``.safetensors`` or ``.pth`` file. For a
        module, "default" means the values it has.
    layers : str, float or list of these, default="penultimate"
        Where the codes are taken: names of `sktl.list_layers`; a depth in (0, 1]; "penultimate", what enters the
        network's classifier (several: side by side) as the network computes it; "all", the last layer of each
        resolution. Several are concatenated. Layers differ in scale: take ``pooling="gem"`` for "all".
        Start with the default and, before a linear classifier, `Normalizer`: rows of unit length, as in
        `make_codes_classifier`.
    pooling : {"auto", "avg", "max", "avgmax", "gem", "flatten", "pyramid", "token", "tokenavg"}, default="auto"
        How a map becomes one vector. "auto" leaves "penultimate" as it enters the classifier, and takes the mean of
        other layers. Any other word pools, for "penultimate" the deepest layer before the classifier: mean, maximum,
        both, generalised mean (negatives count as zero), the whole map, means over a spatial pyramid. For a
        transformer: over its patches alone; or "token", its class token, "tokenavg", it beside the patches' mean.
    gem_power : float, default=3.0
        Power of the generalised mean of ``pooling="gem"``.
    pyramid_levels : tuple of int, default=(1, 2)
        Cells a side of each grid of ``pooling="pyramid"``.
    image_shape : tuple of int, default=None
        For rows of a 2-D X: (height, width), (height, width, channels) or (channels, height, width) in pixels. None
        takes a square if the width is a square number, three squares if it is three times one; else it must be given.
        (1, -1) is one line of pixels of any length.
    value_range : (float, float), default=None
        The values that are black and white: (0, 4095) for pictures of 12 bits in 16, (-1024, 3071) for tomograms, any
        two for floats. What lies outside is clipped. None goes by the type (0..255, 0..65535, or 0.0..1.0), and for
        rows of a 2-D X by what `fit` sees. In files it is about pixels of more than 8 bits.
    image_size : int or (int, int), default=None
        Height and width in pixels of what the network sees; None takes what the weights expect. Half costs a quarter.
        timm's transformers take all multiples of their patch. Where a size is refused, the error names the nearest.
    preprocessing : Preprocessing or dict, default=None
        Replaces what comes with the weights, wholly, or the fields that a dict names (``{"crop_pct": 1.0}``).
    batch_size : int or "auto", default="auto"
        Pictures that go through the network at once.
    device : str or torch.device, default="auto"
        "auto" is CUDA, then MPS, then the CPU.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        What layers compute in; codes are float32 always. "auto" is float32 on a CPU; on GPUs that have them the first
        of bfloat16 and float16 that moves the network's codes of example pictures by at most 0.5 % of their length,
        else float32. bfloat16's 8 bits move a ResNet's by 0.3 %, but those of networks of depthwise convolutions by
        3 to 10 %. A store keeps codes of different precision apart. "int8" is for CPUs (``pip install sktl[openvino]``)
        and never taken by "auto": OpenVINO multiplies in 8 bits, some twice as fast as in float32 where a core has
        VNNI or AMX; other x86 cores gain less, and weights take 7 bits there, so that no sum is cut off. Codes move by
        10 to 30 % of their length; linear classifiers lose nothing on average. Some seconds go into it first, in each
        process.
    calibration : pictures or None, default=None
        For "int8": what the ranges of layers are learned from, in any form that X may have. Some 64 are taken, spread
        over all. Give pictures of the kind that is to come. None takes shipped pictures: parts of two photographs,
        and pictures made to have the statistics of ImageNet. Neither depends on what came first: codes are the same in
        any order.
    engine : {"auto", "torch", "openvino"}, default="auto"
        What runs the network. "openvino" (``pip install sktl[openvino]``) is faster on CPUs; codes agree to 1e-3.
        "auto" takes it on a CPU, if it is installed and the pictures are many enough to repay its compiling.
    compile : bool, default=False
        Whether PyTorch compiles the network on CUDA: slow to start, faster on very many pictures.
    n_jobs : int, default=None
        Threads that decode and scale pictures ahead of the network; None is one a core.
    cache : None, "memory", path or CodeCache, default=None
        Where codes are kept, so that no picture is computed twice: nowhere, in this process, or in a (shared) folder.
    draft : bool, default=True
        Decode JPEG files of more than twice the needed size at a reduced scale. Codes then differ slightly from those
        of the same picture decoded in full.
    on_bad : {"error", "report"}, default="error"
        What `transform` does with files that cannot be read: one error that names all of them, or rows of NaN and a
        warning that names them. No rows are left out, for those of y would no longer belong to the others. The
        attribute `failures` of the error or the `PictureWarning` (``warnings.catch_warnings(record=True)`` records it)
        says what is wrong with each, by index. In collections of Dask's, missing ones count among them.
    root : path, default=None
        The folder in which relative paths lie.
    missing : {"error", "mean", "zero"}, default="error"
        What becomes of rows of a column without a picture (None, NaN, empty text): an error that names them, or a code
        in their place, the mean of the codes of `fit` or zeros, and one more column at the end, 1 where it is missing.
        "mean" computes codes in `fit` too: pass a `cache`, so that none is computed twice.
    random_state : int, default=0
        Fixes the random values of ``weights=None``.
    verbose : int, default=0
        Above 0 shows a line with the time left, once codes take more than 5 seconds.

    Attributes
    ----------
    layers_ : tuple of str
        The layers taken.
    layer_slices_ : dict of str to slice
        Which columns of the codes are whose.
    backbone_fingerprint_ : str
        Digest of the network, its code included: one that was changed after `fit` is refused.
    value_range_ : (float, float) or None
        `value_range`; or for rows of a 2-D X with values beyond [0, 1]: what was black and what was white in `fit`.
    n_features_in_ : int
        Pixels a row; for 2-D X only.
    feature_names_in_ : ndarray of str
        For a data frame only.

    Raises
    ------
    ValueError, TypeError
        For pictures that cannot be used, each of them named, and for parameters that do not fit the network.

    See Also
    --------
    sktl.list_backbones : Names of networks.
    sktl.list_layers : A network's layers.

    References
    ----------
    .. [1] A. S. Razavian, H. Azizpour, J. Sullivan and S. Carlsson, "CNN features off-the-shelf: an astounding
       baseline for recognition", CVPR Workshops, 2014.
    .. [2] J. Yosinski, J. Clune, Y. Bengio and H. Lipson, "How transferable are features in deep neural networks?",
       NeurIPS, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import CNNCodesTransformer
    >>> pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    >>> codes = CNNCodesTransformer(image_size=64).fit_transform(pictures)  # 64 for speed, here
    >>> codes.shape, codes.dtype
    ((3, 1280), dtype('float32'))
    """

    _unit = "pictures"

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        "backbone": [str, nn.Module, callable],
        "weights": [str, Path, None],
        "layers": [str, Interval(Real, 0, 1, closed="right"), list, tuple],
        "pooling": [StrOptions(set(POOLINGS))],
        "gem_power": [Interval(Real, 0, None, closed="neither")],
        "pyramid_levels": [tuple, list],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "preprocessing": [Preprocessing, Mapping, None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "device": [str, torch.device],
        "precision": [StrOptions(set(CODE_PRECISIONS))],
        "calibration": "no_validation",
        "engine": [StrOptions(set(ENGINES))],
        "compile": ["boolean"],
        "n_jobs": [Integral, None],
        "cache": [str, Path, CodeCache, None],
        "draft": ["boolean"],
        "on_bad": [StrOptions({"error", "report"})],
        "root": [str, os.PathLike, None],
        "missing": [StrOptions(set(MISSING))],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | nn.Module | Any = "efficientnet_lite0",
        *,
        weights: str | Path | None = "default",
        layers: str | float | list | tuple = "penultimate",
        pooling: str = "auto",
        gem_power: float = 3.0,
        pyramid_levels: tuple[int, ...] = (1, 2),
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        preprocessing: Preprocessing | Mapping[str, Any] | None = None,
        batch_size: int | str = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        calibration: Any = None,
        engine: str = "auto",
        compile: bool = False,
        n_jobs: int | None = None,
        cache: str | Path | CodeCache | None = None,
        draft: bool = True,
        on_bad: str = "error",
        root: str | os.PathLike | None = None,
        missing: str = "error",
        random_state: int = 0,
        verbose: int = 0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.layers = layers
        self.pooling = pooling
        self.gem_power = gem_power
        self.pyramid_levels = pyramid_levels
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.calibration = calibration
        self.engine = engine
        self.compile = compile
        self.n_jobs = n_jobs
        self.cache = cache
        self.draft = draft
        self.on_bad = on_bad
        self.root = root
        self.missing = missing
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> CNNCodesTransformer:
        """Check the pictures and the parameters, and load the network. No codes are computed.

        Parameters
        ----------
        X : array-like or sequence of pictures
            Pictures as arrays of shape (n, H, W), (n, H, W, 1 | 3 | 4) or (n, 1 | 3, H, W), uint8 or float in [0, 1];
            a sequence, or a column, of file paths, PIL images or encoded pictures (bytes, base64 text, open files);
            or a 2-D array of flattened images, one a row. Of a Dask collection its first block is looked at.
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

    def _learn(self, X: Any) -> None:
        X, lacking = present(first_block(given := X), self.missing, self.root)
        if lacking is not None and lacking.all() and len(lacking):
            raise ValueError(f"All {len(lacking)} pictures are missing (None, NaN or empty text); fit needs some.")
        kind = kind_of_all(given, understand(self, X, None), self.value_range)
        source = read(self, X, kind, reset=True)
        extractor = self._extractor()
        self._kind, self.value_range_, self.layers_ = kind, kind.value_range, extractor.recipe.layers
        self._identity = extractor.recipe.backbone.identity
        self.backbone_fingerprint_ = self._identity.fingerprint
        ends = np.cumsum(extractor.recipe.n_features).tolist()
        self.layer_slices_ = dict(zip(self.layers_, map(slice, [0, *ends[:-1]], ends)))
        self._n_features_out = ends[-1] + (lacking is not None)
        self._has_gaps, mean = lacking is not None, self.missing == "mean"
        self._fill = np.nanmean(self._codes_of(extractor, source), axis=0) if self._has_gaps and mean else None
        trace = extractor.recipe.backbone.trace(extractor.recipe.preprocessing.size)
        self._layer_labels = layer_labels(self.layers, trace, self.pooling)
        self._note_parameters()

    def _codes_of(self, extractor: Extractor, source: PictureSource) -> np.ndarray:
        return codes_or_nan(extractor, source) if self.on_bad == "report" else extractor.codes(source)

    def _all_codes(self, extractor: Any, source: Any) -> np.ndarray:
        return self._codes_of(extractor, source) if isinstance(extractor, Extractor) else extractor.codes(source)

    def _ready(self, X: Any) -> tuple[Any, Any]:
        self._validate_params()
        fitted = hasattr(self, "backbone_fingerprint_")
        if self.missing != "error" and not fitted:
            raise NotFittedError(f"With missing={self.missing!r}, fit this {type(self).__name__} before transform.")
        X, lacking = present(X, self.missing, self.root)
        if fitted and self._has_gaps and lacking is None:
            lacking = np.zeros(n_rows(X), dtype=bool)
        if lacking is not None and lacking.all() and len(lacking):
            return WithGaps(None, lacking), gap_filler(self, self._extractor())
        source, extractor = self._ready_for(X, fitted)
        if fitted and self._has_gaps and lacking is not None:
            return WithGaps(source, lacking), gap_filler(self, extractor)
        if lacking is not None and lacking.any():
            raise ValueError("Pictures are missing, and fit had a table of numbers. Fit on a column of pictures.")
        return source, extractor

    def _ready_for(self, X: Any, fitted: bool) -> tuple[PictureSource, Extractor]:
        if fitted:
            source: PictureSource = read(self, X, self._kind, reset=False)
        else:
            source = as_pictures(rows_on_host(X), image_shape=self.image_shape, value_range=self.value_range)
        extractor = self._extractor()
        if fitted and not self._identity.is_of(extractor.recipe.backbone.identity):
            raise WeightsError(
                f"This transformer was fitted with other values of backbone={_shown(self.backbone)}, "
                f"weights={self.weights!r}: fingerprint {self.backbone_fingerprint_[:12]}, now "
                f"{extractor.recipe.backbone.fingerprint[:12]}. Restore those weights, or fit again."
            )
        return source, extractor

    def _extractor(self) -> Extractor:
        backbone = load_backbone(self.backbone, self.weights, seed=self.random_state, holder=self)
        device = resolve_device(self.device)
        return Extractor(
            recipe=recipe_of(self, backbone, device),
            device=device,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            engine=self.engine,
            compile=bool(self.compile),
            cache=cache_for(backbone, self.cache),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _shown(backbone: Any) -> str:
    return repr(backbone) if isinstance(backbone, str) else type(backbone).__name__
