"""From the parameters of a transformer of pictures to the recipe of its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sktl._array_api import rows_on_host
from sktl._extraction import as_size
from sktl._preprocessing import Preprocessing
from sktl.backbones import (
    N_CALIBRATION,
    Backbone,
    Calibration,
    CodeRecipe,
    Pooling,
    agreeing_precision,
    photographs,
    resolve_code_precision,
    resolve_layers,
)
from sktl.images import as_pictures, iter_batches


def recipe_of(owner: Any, backbone: Backbone, device: torch.device) -> CodeRecipe:
    """Return what the parameters of `owner`, a `CNNCodesTransformer`, ask a network for."""
    dtype = resolve_code_precision(owner.precision, device, owner.engine)
    if owner.calibration is not None and dtype != torch.int8:
        raise ValueError(
            f"calibration is for precision='int8', but precision={owner.precision!r}. Leave it out, or set "
            "precision='int8'."
        )
    expected = backbone.preprocessing.resized_to(as_size(owner.image_size)).overridden_by(owner.preprocessing)
    layers = resolve_layers(owner.layers, backbone.trace(expected.size), owner.pooling)
    pooling = Pooling(owner.pooling, float(owner.gem_power), tuple(owner.pyramid_levels))
    recipe = CodeRecipe(
        backbone, layers, pooling, expected, dtype, bool(owner.draft),
        calibration=_calibration(owner, expected) if dtype == torch.int8 else None,
    )  # fmt: skip
    return agreeing_precision(recipe, device) if owner.precision == "auto" else recipe


def _calibration(owner: Any, preprocessing: Preprocessing) -> Calibration:
    if owner.calibration is None:
        return photographs(preprocessing.size)
    X = rows_on_host(owner.calibration)
    given = {"image_shape": owner.image_shape, "value_range": owner.value_range}
    source = as_pictures(X, **given, name="calibration")
    if len(source) < 2:
        raise ValueError(f"calibration must hold pictures of many kinds, some {N_CALIBRATION}; got {len(source)}.")
    which = np.unique(np.linspace(0, len(source) - 1, N_CALIBRATION).round().astype(int))
    batches = iter_batches(
        source, preprocessing, batch_size=16, n_jobs=owner.n_jobs, indices=which, draft=bool(owner.draft)
    )
    return Calibration(np.concatenate([batch.numpy() for _, batch in batches]))
