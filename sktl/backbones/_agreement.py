"""Which of the fast precisions leaves a network's codes what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from sktl._device import autocast, exact_float32, reduced_precisions
from sktl.backbones._engine import CodeNetwork
from sktl.backbones._examples import example_pictures
from sktl.backbones._recipe import CodeRecipe

TOLERANCE = 5e-3  # relative to the codes' length, on examples; on real pictures it is then below 1e-2
N_EXAMPLES = 4


def agreeing_precision(
    recipe: CodeRecipe, device: torch.device, candidates: Sequence[torch.dtype] | None = None
) -> CodeRecipe:
    """Return the recipe in the first precision whose codes agree with float32's, in float32 if none does.

    bfloat16 has 8 bits of mantissa. Residual networks of dense convolutions hardly notice; depthwise convolutions
    do, whose few weights average no rounding out. float16 has 11, at the same speed, but a smaller range.

    Parameters
    ----------
    recipe : CodeRecipe
        What to compute; its dtype does not matter.
    device : torch.device
        Where.
    candidates : sequence of torch.dtype, optional
        The precisions to try, by default those that are faster than float32 on `device`.
    """
    candidates = reduced_precisions(device) if candidates is None else candidates
    recipe = replace(recipe, dtype=torch.float32)
    if not candidates:
        return recipe
    question = ("precision", recipe.layers, recipe.pooling, recipe.preprocessing, device, *candidates)
    found = recipe.backbone.remembered(question, lambda: _first_that_agrees(recipe, device, candidates))
    return replace(recipe, dtype=found)


@torch.inference_mode()
def _first_that_agrees(recipe: CodeRecipe, device: torch.device, candidates: Sequence[torch.dtype]) -> torch.dtype:
    network = CodeNetwork(recipe, device)
    pictures = example_pictures(N_EXAMPLES, recipe.preprocessing.size).to(device)
    with recipe.backbone.lock, exact_float32(device):
        with autocast(device, torch.float32):
            expected = network(pictures)
        for dtype in candidates:
            with autocast(device, dtype):
                found = network(pictures)
            # NaN and infinity, where values leave float16's range, fail the comparison too.
            if all((a - b).norm() <= TOLERANCE * b.norm() for a, b in zip(found, expected)):
                return dtype
    return torch.float32
